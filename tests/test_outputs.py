"""Nothing of a user's is lost: what a command may replace, and what it takes for its input."""

import errno
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import dicom_cases
from cinesr.cli import main
from cinesr.imaging import finding
from cinesr.imaging.cine import Cine
from cinesr.imaging.files import open_cines, save
from cinesr.imaging.geometry import Geometry
from model_cases import write_model

PICTURE = dicom_cases.expected_frame(0, 0, 32, 32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("models") / "bicubic.onnx"))


def cli(*line: object) -> Result:
    result = CliRunner().invoke(main, [str(part) for part in line])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(Cine(PICTURE[None, None], Geometry.assumed()), path)


def refused(folder: Path, words: str, *line: object) -> None:
    """A command that changes nothing and says why."""
    before = tree(folder)
    result = cli(*line)
    assert (result.exit_code, result.stdout) == (3, "")
    assert words in result.stderr
    assert tree(folder) == before


class TestInputs:
    @pytest.mark.parametrize("command", ["upscale", "degrade"])
    @pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
    def test_a_folder_that_holds_the_input_is_no_output(
        self, model: str, tmp_path: Path, command: str, overwrite: list[str]
    ) -> None:
        scan = dicom_cases.write_cine_series(tmp_path / "work" / "scan", slices=1, phases=2)
        assert cli("degrade", scan, "-o", tmp_path / "work" / "low").exit_code == 0
        options = ["--model", model] if command == "upscale" else []
        for source in ("low", "low/IM_0001.dcm", "scan"):
            line = [command, tmp_path / "work" / source, "-o", tmp_path / "work"]
            refused(tmp_path, "holds the input", *line, *options, *overwrite)

    def test_a_link_to_what_the_output_holds_is_an_input_too(
        self, model: str, tmp_path: Path
    ) -> None:
        scan = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
        out = tmp_path / "out"
        assert cli("upscale", scan, "-o", out, "--model", model).exit_code == 0
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "a.dcm").symlink_to(out / "IM_0001.dcm")
        line = ["upscale", tmp_path / "links", "-o", out, "--model", model, "--overwrite"]
        refused(tmp_path, "holds the input", *line)

    def test_one_input_is_not_the_output_of_another(self, model: str, tmp_path: Path) -> None:
        picture(tmp_path / "a.npy")
        assert cli("upscale", tmp_path / "a.npy", "--model", model).exit_code == 0
        before = tree(tmp_path)
        both = [tmp_path / "a.npy", tmp_path / "a_x4.npy"]
        result = cli("upscale", *both, "--model", model, "--overwrite")
        assert "a_x4.npy is the input itself" in result.stderr
        after = tree(tmp_path)
        assert {name: after[name] for name in before} == before
        assert "a_x4_x4.npy" in after

    def test_a_preview_that_is_the_input_stays(self, model: str, tmp_path: Path) -> None:
        picture(tmp_path / "a.preview.png")
        line = ["upscale", tmp_path / "a.preview.png", "-o", tmp_path / "a.png", "--overwrite"]
        refused(tmp_path, "a.preview.png is the input itself", *line, "--model", model)


class TestStrangers:
    @pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
    @pytest.mark.parametrize("theirs", ["q.npy", "q.run.json", "q.preview.png"])
    def test_one_file_of_somebody_keeps_all(
        self, model: str, tmp_path: Path, theirs: str, overwrite: list[str]
    ) -> None:
        picture(tmp_path / "a.npy")
        (tmp_path / theirs).write_text('{"mine": 1}')
        line = ["upscale", tmp_path / "a.npy", "-o", tmp_path / "q.npy", "--model", model]
        refused(tmp_path, f"{theirs} ", *line, *overwrite)

    def test_a_result_is_replaced_with_its_record_and_preview(
        self, model: str, tmp_path: Path
    ) -> None:
        picture(tmp_path / "a.npy")
        line = ["upscale", tmp_path / "a.npy", "-o", tmp_path / "q.npy", "--model", model]
        assert cli(*line).exit_code == 0
        before = tree(tmp_path)
        (tmp_path / "q.npy").write_bytes(b"broken meanwhile")
        assert cli(*line, "--overwrite").exit_code == 0
        assert tree(tmp_path).keys() == before.keys()
        assert tree(tmp_path)["q.npy"] == before["q.npy"]

    def test_a_record_from_before_records_named_their_files(
        self, model: str, tmp_path: Path
    ) -> None:
        picture(tmp_path / "a.npy")
        line = ["upscale", tmp_path / "a.npy", "-o", tmp_path / "q.npy", "--model", model]
        assert cli(*line).exit_code == 0
        record = json.loads((tmp_path / "q.run.json").read_text())
        del record["files"]
        (tmp_path / "q.run.json").write_text(json.dumps(record))
        assert cli(*line, "--overwrite").exit_code == 0
        record["output"] = "other.npy"
        (tmp_path / "q.run.json").write_text(json.dumps(record))
        refused(tmp_path, "q.npy is no earlier result", *line, "--overwrite")

    def test_degrade_replaces_its_own_twins_alone(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.nii.gz")
        picture(tmp_path / "mine.nii.gz")
        line = ["degrade", tmp_path / "a.nii.gz", "-o"]
        assert cli(*line, tmp_path / "low.nii.gz").exit_code == 0
        assert cli(*line, tmp_path / "low.nii.gz", "--overwrite").exit_code == 0
        words = "mine.nii.gz is no earlier result"
        refused(tmp_path, words, *line, tmp_path / "mine.nii.gz", "--overwrite")
        refused(tmp_path, "exists already", *line, tmp_path / "mine.nii.gz")

    def test_a_record_names_what_was_written(self, model: str, tmp_path: Path) -> None:
        for name in ("a.npy", "b.npy"):
            picture(tmp_path / "in" / name)
        assert cli("upscale", tmp_path / "in", "-o", tmp_path / "out", "--model", model)
        record = json.loads((tmp_path / "out" / "run.json").read_text())
        assert record["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())
        assert record["pictures"] == ["preview.png"]


def test_an_input_that_cannot_be_searched_is_told_in_words(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "scan")

    for folder in ("scan", "out"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(finding.os, "walk", refuse)
    result = cli("upscale", tmp_path / "scan", "-o", tmp_path / "out", "--model", model)
    assert result.exit_code == 3
    assert "scan could not be read: Permission denied" in result.stderr


class TestResultsAmongInputs:
    @pytest.mark.parametrize("name", ["a.npy", "a.nii.gz", "a.png", "a.tif", "dicom"])
    def test_an_output_within_its_input_is_no_input(
        self, model: str, tmp_path: Path, name: str
    ) -> None:
        scan = tmp_path / "scan"
        if name == "dicom":
            dicom_cases.write_cine_series(scan, slices=1, phases=2)
        else:
            picture(scan / name)
        line = ["upscale", scan, "-o", scan / "out", "--model", model, "--json"]
        shapes = []
        for options in ([], ["--overwrite"], ["--overwrite"]):
            result = cli(*line, *options)
            assert result.exit_code == 0, result.stderr
            (run,) = json.loads(result.stdout)["runs"]
            shapes.append([series["shape"] for series in run["series"]])
        assert shapes[0] == shapes[1] == shapes[2]
        assert len(shapes[0]) == 1
        assert any("earlier results of cinesr left aside" in it for it in run["series"][0]["notes"])

    def test_a_result_beside_its_input_is_no_input(self, model: str, tmp_path: Path) -> None:
        picture(tmp_path / "in" / "a.npy")
        for _ in range(2):
            assert cli("upscale", tmp_path / "in" / "a.npy", "--model", model, "--overwrite")
        (cine,) = open_cines(tmp_path / "in")
        assert cine.name == "a.npy"
        assert cine.notes == ("1 earlier results of cinesr left aside: a_x4.npy",)

    def test_a_result_beside_packed_dicom_is_no_input(self, model: str, tmp_path: Path) -> None:
        scan = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
        for file in list(scan.iterdir()):
            (scan / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        assert cli("upscale", scan, "-o", scan / "out", "--model", model).exit_code == 0
        (cine,) = open_cines(scan)
        assert cine.shape == (2, 1, *dicom_cases.expected_frame(0, 0).shape)

    @pytest.mark.parametrize("name", ["low", "low.nii.gz"])
    def test_a_twin_within_its_input_is_no_input(self, tmp_path: Path, name: str) -> None:
        scan = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
        assert cli("degrade", scan, "-o", scan / name, "--method", "kspace").exit_code == 0
        (cine,) = open_cines(scan)
        assert cine.shape == (2, 1, *dicom_cases.expected_frame(0, 0).shape)

    def test_results_alone_are_read(self, model: str, tmp_path: Path) -> None:
        scan = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
        assert cli("upscale", scan, "-o", tmp_path / "out", "--model", model).exit_code == 0
        (cine,) = open_cines(tmp_path / "out")
        assert not any("skipped" in note or "left aside" in note for note in cine.notes)
        picture(tmp_path / "in" / "a.npy")
        assert cli("upscale", tmp_path / "in", "-o", tmp_path / "out2", "--model", model)
        (cine,) = open_cines(tmp_path / "out2")
        np.testing.assert_array_equal(cine.shape[2:], (128, 128))

    def test_whoever_looks_at_results_gets_them(self, model: str, tmp_path: Path) -> None:
        scan = dicom_cases.write_cine_series(tmp_path / "scan", slices=1, phases=2)
        assert cli("upscale", scan, "-o", scan / "out", "--model", model).exit_code == 0
        assert len(open_cines(scan)) == 1
        assert len(open_cines(scan, with_results=True)) == 2
