"""What a model's card does not cover is said, once, in a sentence with what to do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter

import cinesr
import dicom_cases
from cinesr.cli import main
from cinesr.imaging.cine import Cine
from cinesr.imaging.files import load, save
from cinesr.imaging.geometry import Geometry
from cinesr.upscaling.catalogue import Model
from cinesr.upscaling.coverage import not_covered, recorded_result
from cinesr.upscaling.upscale import Upscaler, upscale_path
from model_cases import card, write_model

BLUR = "this model inverts a blur (sigma 1.0 low-resolution pixels) that a real scan has not"


def picture() -> Cine:
    """64 rows of 2 mm, 48 columns of 1.5 mm."""
    noise = np.random.default_rng(7).random((1, 1, 64, 48))
    frames = gaussian_filter(noise, (0, 0, 3, 3))
    frames = (frames - frames.min()) / np.ptp(frames) * 3000
    affine = np.diag([1.5, 2.0, 8.0, 1.0])
    return Cine(frames.astype(np.uint16), Geometry.from_affine(affine, slices=1), name="picture")


def model(scale: int = 2, methods: tuple[str, ...] = (), **facts: Any) -> Model:
    degradation = {"degradation": {"methods": list(methods)}} if methods else {}
    return Model(Path("m.onnx"), card(scale, "mine") | degradation | facts, graph=None)


class TestSpacing:
    @pytest.mark.parametrize(
        ("meant", "words"),
        [
            ([1.5, 2.0], None),
            ([1.64, 1.84], None),
            ([1.7, 2.0], "finer than anything it has seen"),
            ([1.2, 1.8], "learned from 1.2-1.8 mm pixels, finer than the 1.5-2 mm here"),
            ([5.48, 5.48], "from 5.5 mm pixels to 2.7 mm; here it goes from 1.5-2 mm to 0.75-1 mm"),
        ],
    )
    def test_pixels_beyond_the_card_are_said(self, meant: list[float], words: str | None) -> None:
        found = not_covered(model(input_spacing_mm=meant), picture())
        assert (found == []) if words is None else (len(found) == 1 and words in found[0])

    def test_an_older_card_says_it_by_its_targets(self) -> None:
        assert not_covered(model(data={"spacing_mm": [0.75, 1.0]}), picture()) == []
        (found,) = not_covered(model(data={"spacing_mm": [2.0, 2.0]}), picture())
        assert "from 4 mm pixels to 2 mm" in found

    def test_nothing_is_said_of_what_is_not_known(self) -> None:
        unknown = replace(picture(), geometry=Geometry.assumed())
        assert not_covered(model(input_spacing_mm=[9.0, 9.0]), unknown) == []
        assert not_covered(model(data={"spacing_mm": None}), picture()) == []
        assert not_covered(model(), picture()) == []


class TestHistory:
    def test_what_was_learned_needs_no_word(self) -> None:
        low = cinesr.degrade(picture(), method="kspace", scale=2)
        assert not_covered(model(methods=("thesis", "kspace")), low) == []
        assert not_covered(model(methods=("thesis", "kspace")), picture()) == []

    def test_a_degradation_that_was_not_learned(self) -> None:
        low = cinesr.degrade(picture(), method="kspace", scale=2)
        (found,) = not_covered(model(methods=("bicubic", "johnson")), low)
        assert "degraded by kspace, and mine learned only bicubic, johnson: choose" in found

    def test_a_scale_that_is_not_the_degradations(self) -> None:
        low = cinesr.degrade(picture(), method="kspace", scale=4)
        (found,) = not_covered(model(methods=("kspace", "thesis")), low)
        assert "degraded to 1/4 and mine goes up by 2: choose a model of scale 4" in found

    def test_a_result_is_not_upscaled_again(self, tmp_path: Path) -> None:
        path = write_model(tmp_path / "m.onnx", scale=2)
        once = cinesr.upscale(picture(), model=path, threads=1)
        twice = cinesr.upscale(once, model=path, threads=1)
        assert not once.notes
        (note,) = twice.notes
        assert "itself a result of cinesr (super-resolved x2)" in note
        assert "upscale the original scan" in note


class TestBlur:
    def test_a_thesis_model_is_for_thesis_images_alone(self) -> None:
        thesis = model(methods=("thesis",))
        assert not_covered(thesis, cinesr.degrade(picture(), method="thesis", scale=2)) == []
        (found,) = not_covered(thesis, picture())
        assert found == f"{BLUR}; expect overshoot; use fidelity-x2 or fidelity-x4 for scans"
        other = not_covered(thesis, cinesr.degrade(picture(), method="bicubic", scale=2))
        assert [BLUR in found for found in other] == [False, True]

    @pytest.mark.parametrize("methods", [(), ("bicubic",), ("thesis", "bicubic")])
    def test_no_other_model_is_blamed(self, methods: tuple[str, ...]) -> None:
        assert not_covered(model(methods=methods), picture()) == []


class TestRecords:
    def test_an_array_is_known_by_the_record_beside_it(self, tmp_path: Path) -> None:
        upscaler = Upscaler(write_model(tmp_path / "m.onnx", scale=2), threads=1)
        save(picture(), tmp_path / "a.npy")
        upscale_path(tmp_path / "a.npy", tmp_path / "a_x2.npy", upscaler)
        run = upscale_path(tmp_path / "a_x2.npy", tmp_path / "b.npy", upscaler)
        assert "itself a result of cinesr" in run["series"][0]["notes"][0]
        derivation = recorded_result(tmp_path / "a_x2.npy")
        assert derivation is not None
        assert derivation.label == "super-resolved x2"
        assert recorded_result(tmp_path / "a.npy") is None

    def test_a_folder_is_known_by_the_record_in_it(self, tmp_path: Path) -> None:
        upscaler = Upscaler(write_model(tmp_path / "m.onnx", scale=2), threads=1)
        save(picture(), tmp_path / "in" / "a.npy")
        upscale_path(tmp_path / "in", tmp_path / "out", upscaler)
        run = upscale_path(tmp_path / "out" / "a_x2.npy", tmp_path / "b.npy", upscaler)
        assert run["series"][0]["notes"] == []
        (tmp_path / "out" / "preview.png").unlink()
        run = upscale_path(tmp_path / "out", tmp_path / "again", upscaler)
        assert any("itself a result of cinesr" in note for note in run["series"][0]["notes"])

    @pytest.mark.parametrize(
        "content",
        [
            *("words", "3", "[]", "{}", '{"output": 3, "scale": 2, "tool": "t"}'),
            *('{"output": "a.npy", "scale": "2", "tool": "t"}', '{"output": "a.npy", "scale": 2}'),
            '{"output": "other.npy", "scale": 2, "tool": "t"}',
            b"\xff\xfe",
        ],
    )
    def test_a_record_of_something_else_says_nothing(
        self, tmp_path: Path, content: str | bytes
    ) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "a.run.json").write_bytes(data)
        assert recorded_result(tmp_path / "a.npy") is None


class TestFromFileToFile:
    """Every warning reaches stderr, run.json and, in Python, the notes of the result."""

    @pytest.fixture
    def thesis(self, tmp_path: Path) -> Path:
        says = card(2, "sharp") | {"degradation": {"methods": ["thesis"]}}
        return write_model(tmp_path / "sharp.onnx", scale=2, says=says)

    def ran(self, *arguments: object) -> tuple[str, dict[str, Any]]:
        line = ["upscale", *map(str, arguments), "--threads", "1", "--json"]
        result = CliRunner().invoke(main, line)
        assert result.exit_code == 0, result.stderr
        (run,) = json.loads(result.stdout)["runs"]
        return result.stderr, run

    @pytest.mark.parametrize("suffix", ["", ".nii.gz", ".png", ".tif"])
    def test_each_format_remembers(self, thesis: Path, tmp_path: Path, suffix: str) -> None:
        scan = picture()
        if not suffix:
            scan = load(
                dicom_cases.write_cine_series(
                    tmp_path / "scan", slices=1, phases=1, rows=64, columns=48
                )
            )
        for method, expected in (("thesis", 0), ("johnson", 2)):
            low, high = (tmp_path / f"{method}{end}{suffix}" for end in ("", "_high"))
            save(cinesr.degrade(scan, method=method, scale=2), low)
            said, run = self.ran(low, "-o", high, "--model", thesis)
            (series,) = run["series"]
            notes = series["notes"]
            assert len(notes) == expected
            assert all(f"note  {note}" in said for note in notes)
            assert cinesr.upscale(load(low), model=thesis, threads=1).notes == tuple(notes)
        said, run = self.ran(high, "-o", tmp_path / f"twice{suffix}", "--model", thesis)
        assert "itself a result of cinesr" in said
        record = tmp_path / ("twice/run.json" if not suffix else "twice.run.json")
        assert "itself a result of cinesr" in record.read_text()

    def test_quiet_says_it_in_the_record_alone(self, thesis: Path, tmp_path: Path) -> None:
        save(picture(), tmp_path / "a.nii")
        said, run = self.ran(
            tmp_path / "a.nii", "-o", tmp_path / "b.nii", "--model", thesis, "--quiet"
        )
        assert said == ""
        assert BLUR in run["series"][0]["notes"][0]
