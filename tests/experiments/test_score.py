"""The scoring script, run as a user runs it, against figures computed another way."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import dicom_cases
from cinesr.degradation import Degradation, resize_bicubic
from cinesr.evaluation.lpips import lpips
from cinesr.experiment.baseline import fit_linear_filter
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import load
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.catalogue import read_model
from model_cases import card, write_model

SCRIPT = Path(__file__).parents[2] / "experiments" / "score.py"
SIZE = 64
PEOPLE = ("anna", "ben")
LEARNED_FROM = "carl"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with a few slices each, one of them with a mask and with DICOM."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate((*PEOPLE, LEARNED_FROM)):
        (folder / "slices" / name).mkdir(parents=True)
        cine = make_phantom(size=SIZE, slices=6 + seed, phases=1, seed=seed)
        frames = IntensityRule.of(cine).apply(np.asarray(cine.frames))
        for index, frame in enumerate(np.clip(frames[0] * 200, 0, 255).astype(np.uint8)):
            Image.fromarray(frame).save(folder / "slices" / name / f"IM-{index}.png")
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[28:36, 20:30] = 255
    (folder / "masks" / "anna").mkdir(parents=True)
    Image.fromarray(mask).save(folder / "masks" / "anna" / "IM-0.png")
    dicom_cases.write_cine_series(
        folder / "dicom" / "ben", slices=2, phases=6, rows=SIZE, columns=SIZE
    )
    split = {"train": [LEARNED_FROM], "validation": PEOPLE, "test": []}
    (folder / "splits.json").write_text(json.dumps(split))
    return folder


def run(data: Path, output: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = [SCRIPT, data, "-o", output, "--split", "validation", "--jobs", "1", *arguments]
    environment = {**os.environ, "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax")}
    return subprocess.run(
        [sys.executable, *map(str, line)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    says = card(2, "twice") | {"degradation": {"methods": ["kspace"]}}
    return write_model(tmp_path_factory.mktemp("m") / "m.onnx", "nearest", scale=2, says=says)


@pytest.fixture(scope="module")
def results(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("scores")
    page = output / "page.md"
    page.write_text("Before.\n<!-- tables -->\nold\n<!-- end of tables -->\nAfter.\n")
    run(data, output, "--models", model, "--page", page, "--stamp")
    found: dict[str, Any] = json.loads((output / "twice.validation.json").read_text())
    return found | {"page": page.read_text()}


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
    assert "### 8-bit slices, x2" in page
    mean = results["slices"]["kspace"]["psnr"]["model"]["mean"]
    assert f"{mean:.2f} (" in page
    assert "2 people, 13 frames" in page
    assert "1 people, 2 frames" in page


def test_a_page_without_marks_is_left_as_it_is(data: Path, model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Words.\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(data, tmp_path, "--models", model, "--parts", "constant", "--page", page)
    assert "has no marks to put the tables between" in caught.value.stderr
    assert page.read_text() == "Words.\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.md"]


def test_bicubic_reproduces_what_public_networks_are_compared_with(
    scd: Path, tmp_path: Path
) -> None:
    """Bicubic interpolation alone: no model is looked at on the test people."""
    done = run(scd, tmp_path, "--models", "--parts", "public", "--split", "test")
    assert done.stderr.count(" reproduces the published ") == 2
    assert "bicubic interpolation 31.61 / 28.28 / 0.303 over 39 slices" in done.stderr
