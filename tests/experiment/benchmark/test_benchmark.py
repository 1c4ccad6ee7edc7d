"""The benchmark, run as a user runs it, against figures computed another way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cinesr.cli import main
from cinesr.degradation import Degradation, resize_bicubic
from cinesr.evaluation.lpips import lpips
from cinesr.experiment.baseline import fit_linear_filter
from cinesr.experiment.benchmark import candidates
from cinesr.experiment.benchmark.bench import SCANNER_SETTINGS, drawn_recipe, measured_slices
from cinesr.experiment.benchmark.run import PARTS, PartOf
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import load
from cinesr.upscaling.catalogue import read_model
from model_cases import card, write_model

SIZE = 64
PEOPLE = ("anna", "ben")
LEARNED_FROM = "carl"
WITH_A_TRUTH = "slices,dicom,public,constant,scanner,drawn"


def run(data: Path, output: Path, *arguments: object, split: str = "validation") -> Result:
    line = ["benchmark", *arguments, "--data", data, "-o", output, "--split", split]
    return CliRunner().invoke(main, list(map(str, line)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    says = card(2, "twice") | {"degradation": {"methods": ["kspace"]}}
    return write_model(tmp_path_factory.mktemp("m") / "m.onnx", "nearest", scale=2, says=says)


@pytest.fixture(scope="module")
def results(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("scores")
    page = output / "page.md"
    page.write_text("Before.\n<!-- tables -->\nold\n<!-- end of tables -->\nAfter.\n")
    done = run(data, output, model, "--page", page, "--stamp", "--parts", WITH_A_TRUTH)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((output / "twice.validation.json").read_text())
    return found | {"page": page.read_text()}


def test_another_reader_of_acquisitions_makes_other_results(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, told = candidates.candidates_of([str(model), f"b={model}@truly"])
    baseline = candidates.Candidate("bicubic", 2)
    before = [each.key for each in (read, told, baseline)]
    monkeypatch.setattr(candidates, "reader_digest", lambda: "another")
    after = [each.key for each in (read, told, baseline)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, True]


def test_slices_are_averaged_by_person(data: Path, results: dict[str, Any]) -> None:
    whole, bicubic, similarity = [], [], []
    for name in PEOPLE:
        scores = []
        for path in sorted((data / "slices" / name).iterdir()):
            cine = load(path)
            truth = IntensityRule.of(cine).apply(cine.frame(0, 0))
            low = Degradation("johnson", 2).apply(truth)
            near = np.repeat(np.repeat(low, 2, axis=0), 2, axis=1)
            smooth = resize_bicubic(low, truth.shape)
            scores.append(
                (
                    peak_signal_noise_ratio(truth, near, data_range=truth.max()),
                    peak_signal_noise_ratio(truth, smooth, data_range=truth.max()),
                    structural_similarity(
                        truth,
                        near,
                        data_range=truth.max(),
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                    ),
                )
            )
        for column, value in zip((whole, bicubic, similarity), np.mean(scores, 0), strict=True):
            column.append(value)
    found = results["slices"]["johnson"]
    assert (found["slices"], found["people"]) == (13, 2)
    assert found["psnr"]["model"]["mean"] == pytest.approx(np.mean(whole), abs=1e-3)
    assert found["psnr"]["bicubic"]["mean"] == pytest.approx(np.mean(bicubic), abs=1e-3)
    margin = np.subtract(whole, bicubic)
    assert found["psnr"]["margin"]["mean"] == pytest.approx(np.mean(margin), abs=1e-3)
    assert found["psnr"]["margin"]["low"] == pytest.approx(min(margin), abs=1e-3)
    assert found["ssim"]["model"]["mean"] == pytest.approx(np.mean(similarity), abs=1e-3)
    assert found["psnr_heart"]["model"]["low"] is None
    # Repeated pixels are a pattern of two pixels if anything is.
    assert found["checkerboard"]["model"]["mean"] > found["checkerboard"]["bicubic"]["mean"]
    assert found["checkerboard_truth"]["model"] == found["checkerboard_truth"]["bicubic"]


def scaled_slices(data: Path, name: str) -> list[np.ndarray]:
    cines = [load(path) for path in sorted((data / "slices" / name).iterdir())]
    return [IntensityRule.of(cine).apply(cine.frame(0, 0)) for cine in cines]


def test_the_linear_filter_is_fitted_on_the_people_to_learn_from(
    data: Path, results: dict[str, Any]
) -> None:
    recipe = Degradation("thesis", 2)
    learned = scaled_slices(data, LEARNED_FROM)
    fitted = fit_linear_filter(((recipe.apply(it), it) for it in learned), scale=2)
    expected = [
        np.mean(
            [
                peak_signal_noise_ratio(it, fitted.apply(recipe.apply(it)), data_range=it.max())
                for it in scaled_slices(data, name)
            ]
        )
        for name in PEOPLE
    ]
    found = results["slices"]["thesis"]["psnr"]
    assert found["linear"]["mean"] == pytest.approx(np.mean(expected), abs=0.01)
    assert found["margin_over_linear"]["mean"] == pytest.approx(
        found["model"]["mean"] - found["linear"]["mean"], abs=1e-6
    )
    assert "| best linear filter |" in results["page"]


def test_every_tenth_dicom_frame_counts(results: dict[str, Any]) -> None:
    found = results["dicom"]["kspace"]
    assert (found["slices"], found["people"]) == (2, 1)
    assert set(results["dicom"]) == {"thesis", "johnson", "bicubic", "kspace"}


def test_the_public_way_takes_every_fifth_slice_as_it_is(
    data: Path, results: dict[str, Any]
) -> None:
    scores = []
    for name in PEOPLE:
        for path in sorted((data / "slices" / name).iterdir())[::5]:
            truth = np.asarray(Image.open(path), np.float32) / 255
            picture = Image.fromarray(truth).resize((32, 32), Image.Resampling.BICUBIC)
            back = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).clip(0, 1)
            body = truth > 0.05
            scores.append(
                (
                    -10 * np.log10(np.mean((truth - back) ** 2)),
                    -10 * np.log10(np.mean((truth - back)[body] ** 2)),
                    lpips(truth, back, data_range=1.0),
                )
            )
    found = results["public"]["bicubic"]
    assert found["slices"] == len(scores) == 4
    measured = [found[name]["bicubic"]["mean"] for name in ("psnr", "psnr_body", "lpips")]
    assert measured == pytest.approx(np.mean(scores, 0), abs=1e-4)


def test_a_constant_stays_and_the_card_and_the_page_say_it_all(
    model: Path, results: dict[str, Any]
) -> None:
    assert results["constant"]["largest_deviation"] < 1e-6
    stamped = read_model(model)
    assert stamped.card["results"] == {key: results[key] for key in results if key != "page"}
    assert "(kspace) dB on 2 validation people" in stamped.summary()["PSNR"]
    page = results["page"]
    assert page.startswith("Before.\n<!-- tables -->\n")
    assert page.endswith("\n<!-- end of tables -->\nAfter.\n")
    assert "old" not in page
    assert "### 8-bit slices, recipes of papers, x2" in page
    mean = results["slices"]["kspace"]["psnr"]["model"]["mean"]
    assert f"{mean:.2f} (" in page
    assert "2 people, 13 frames" in page
    assert "1 people, 2 frames" in page


def test_a_page_without_marks_is_left_as_it_is(data: Path, model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Words.\n")
    done = run(data, tmp_path, model, "--parts", "constant", "--page", page)
    assert done.exit_code == 3
    assert "has no marks to put the tables between" in done.stderr
    assert page.read_text() == "Words.\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    ("arguments", "split", "words"),
    [
        (("--parts", "slices,nothing"), "validation", "There is no part nothing"),
        (("bicubic",), "test", "the test split has no people"),
        (("no-such-model",), "validation", "no-such-model"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    data: Path, tmp_path: Path, arguments: tuple[str, ...], split: str, words: str
) -> None:
    done = run(data, tmp_path, *arguments, split=split)
    assert done.exit_code == 3
    assert words in done.stderr


def test_two_candidates_of_one_name_are_refused(data: Path, model: Path, tmp_path: Path) -> None:
    done = run(data, tmp_path, model, f"twice={model}")
    assert done.exit_code == 3
    assert "More than one candidate is named twice" in done.stderr


def test_scanner_inputs_are_made_of_shrunken_slices(data: Path, results: dict[str, Any]) -> None:
    """At a fixed setting without noise worth naming, against skimage."""
    recipe = Degradation("scanner", 2, keep=(1.0, 0.9), noise=0.002)
    whole, bicubic, heart = [], [], []
    for name in PEOPLE:
        for path in sorted((data / "slices" / name).iterdir()):
            stored = Image.fromarray(np.asarray(Image.open(path), np.float32) / 255)
            # 64 pixels over 1.25 are 51, of which 48 are a multiple of 4.
            truth = np.asarray(stored.resize((48, 48), Image.Resampling.LANCZOS))
            low = recipe.measure(truth, generator=np.random.default_rng(0))
            near = np.repeat(np.repeat(low, 2, axis=0), 2, axis=1).clip(0, 1)
            whole.append((name, peak_signal_noise_ratio(truth, near, data_range=1)))
            smooth = resize_bicubic(low, truth.shape).clip(0, 1)
            bicubic.append((name, peak_signal_noise_ratio(truth, smooth, data_range=1)))
            if (name, path.name) == ("anna", "IM-0.png"):
                # The box of rows 4 to 60 and columns 0 to 54, three quarters as large.
                box = slice(3, 45), slice(0, 41)
                heart.append(peak_signal_noise_ratio(truth[box], near[box], data_range=1))
    found = results["scanner"]["sharp"]
    assert (found["slices"], found["people"]) == (13, 2)
    persons = [
        [np.mean([x for who, x in side if who == name]) for name in PEOPLE]
        for side in (whole, bicubic)
    ]
    # Another draw of the noise.
    assert found["psnr"]["model"]["mean"] == pytest.approx(np.mean(persons[0]), abs=0.02)
    assert found["psnr"]["bicubic"]["mean"] == pytest.approx(np.mean(persons[1]), abs=0.02)
    gains = np.subtract(*persons)
    assert found["psnr"]["worst"]["mean"] == pytest.approx(min(gains), abs=0.03)
    assert found["psnr"]["worst"]["person"] == PEOPLE[int(np.argmin(gains))]
    assert found["psnr_heart"]["model"]["mean"] == pytest.approx(heart[0], abs=0.03)


def test_the_linear_filter_knows_each_setting(results: dict[str, Any]) -> None:
    """It undoes what a window took away, which bicubic interpolation does not."""
    found = results["scanner"]["strongly filtered"]["psnr"]
    assert found["linear"]["mean"] > found["bicubic"]["mean"] + 1
    assert set(results["scanner"]) == {*SCANNER_SETTINGS, "random"}


def test_all_slices_of_a_person_are_acquired_in_one_way() -> None:
    recipes = {
        (person, scale): drawn_recipe(person, scale) for person in PEOPLE for scale in (2, 4)
    }
    assert len({recipe.acquisition.keep for recipe in recipes.values()}) == 4
    assert drawn_recipe("anna", 2) == recipes["anna", 2]


def test_the_noise_of_each_slice_is_its_own_and_comes_again() -> None:
    recipe = Degradation("scanner", 2, noise=0.02)
    flat = [np.full((16, 16), 0.5, np.float32)] * 2
    first, second = measured_slices(flat, recipe, "anna", 2)
    assert np.abs(first - second).max() > 0.01
    assert np.array_equal(measured_slices(flat, recipe, "anna", 2)[1], second)
    assert not np.array_equal(measured_slices(flat, recipe, "ben", 2)[0], first)


def test_what_was_measured_is_not_measured_again(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(data, tmp_path, model, "--parts", "slices,constant", "--every", 6).exit_code == 0
    first = json.loads((tmp_path / "twice.validation.json").read_text())

    def fails(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setitem(PARTS, "slices", PartOf(fails, PARTS["slices"].baselines))  # type: ignore
    # Another part beside it, and a stamped card, change nothing of what was measured.
    done = run(data, tmp_path, model, "--parts", "slices,public", "--every", 6, "--stamp")
    assert done.exit_code == 0
    second = json.loads((tmp_path / "twice.validation.json").read_text())
    assert second["slices"] == first["slices"]
    assert second["constant"] == first["constant"]
    assert run(data, tmp_path, model, "--parts", "slices", "--every", 6).exit_code == 0
    with pytest.raises(AssertionError, match="measured again"):
        CliRunner().invoke(
            main,
            [
                *map(str, ("benchmark", model, "--data", data, "-o", tmp_path)),
                "--split",
                "validation",
                "--parts",
                "slices",
                "--every",
                "5",
            ],
            catch_exceptions=False,
        )


def test_bicubic_reproduces_what_public_networks_are_compared_with(
    scd: Path, tmp_path: Path
) -> None:
    """Bicubic interpolation alone: no model is looked at on the test people."""
    done = run(scd, tmp_path, "bicubic", "--parts", "public", split="test")
    assert done.stderr.count(" reproduces the published ") == 2
    assert "bicubic interpolation 31.61 / 28.28 / 0.303 over 39 slices" in done.stderr


@pytest.mark.parametrize(("scale", "whole", "body"), [(2, 31.85, 28.91), (4, 27.59, 24.43)])
def test_bicubic_reproduces_the_trial_of_one_slice_at_a_time(
    scd: Path, tmp_path: Path, scale: int, whole: float, body: float
) -> None:
    """Bicubic interpolation alone, and of that only the PSNR of 39 slices."""
    assert run(scd, tmp_path, "bicubic", "--parts", "drawn", split="test").exit_code == 0
    found = json.loads((tmp_path / f"bicubic-x{scale}.test.json").read_text())["drawn"]["drawn"]
    assert found["slices"] == 39
    assert found["psnr"]["model"]["mean"] == pytest.approx(whole, abs=0.005)
    assert found["psnr_body"]["model"]["mean"] == pytest.approx(body, abs=0.005)
