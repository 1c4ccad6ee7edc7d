"""The network that finds the blood pool, on discs; and what is said of what it found."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from cinesr.cli import main
from cinesr.errors import UnfitImageError
from cinesr.experiment.benchmark import segmenter
from cinesr.experiment.benchmark.bench import Bench
from cinesr.experiment.benchmark.segmentation import dice
from model_cases import card, write_model

SPLITS = {"train": ["t0", "t1", "t2", "t3"], "validation": ["anna", "ben"], "test": ["blank"]}
PIXEL_MM = 1.5


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People with a bright disc each among others that are less bright, and its mask."""
    folder = tmp_path_factory.mktemp("discs")
    places = np.arange(64)
    for seed, name in enumerate(name for people in SPLITS.values() for name in people):
        rng = np.random.default_rng(seed)
        (folder / "slices" / name).mkdir(parents=True)
        row, column, radius = rng.uniform(24, 40), rng.uniform(24, 40), rng.uniform(8, 12)
        inside = np.hypot(places[:, None] - row, places[None, :] - column) < radius
        picture = 40 + 160 * ndimage.gaussian_filter(inside.astype(float), 0.8)
        picture[:8] = 90
        stored = np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255)
        Image.fromarray(stored.astype(np.uint8)).save(folder / "slices" / name / "a.png")
        if name != "blank":
            (folder / "masks" / name).mkdir(parents=True)
            mask = Image.fromarray((inside * 255).astype(np.uint8))
            mask.save(folder / "masks" / name / "a.png")
    (folder / "splits.json").write_text(json.dumps(SPLITS))
    return folder


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """A network that learns discs in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter, "FILTERS", (4, 8, 8))
        patch.setattr(segmenter, "CROP", 48)
        patch.setattr(segmenter, "BATCH", 4)
        patch.setattr(Bench, "__init__", _with_fewer_steps(Bench.__init__))
        segmenter.segmenter.cache_clear()
        yield
    segmenter.segmenter.cache_clear()


def _with_fewer_steps(make: Any) -> Any:
    return lambda *places, **names: make(*places, **{"segmenter_steps": 160, **names})


def run(discs: Path, output: Path, model: Path) -> dict[str, Any]:
    line = ["benchmark", model, "--data", discs, "-o", output, "--split", "validation"]
    line += ["--parts", "segmentation", "--spacing", PIXEL_MM]
    done = CliRunner().invoke(main, list(map(str, line)))
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((output / "four.validation.json").read_text())
    return found["segmentation"] | {"tables": (output / "tables.validation.md").read_text()}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def model(output: Path) -> Path:
    return write_model(output / "m.onnx", "nearest", scale=4, says=card(4, "four"))


@pytest.fixture(scope="module")
def results(discs: Path, output: Path, model: Path, small: None) -> dict[str, Any]:
    return run(discs, output, model)


def test_the_network_finds_discs_that_it_has_not_seen(results: dict[str, Any]) -> None:
    found = results["GE-like"]
    assert found["dice"]["native"]["mean"] > 0.9
    assert found["dice"]["native"] == results["random"]["dice"]["native"]
    assert (found["slices"], found["people"]) == (2, 2)


def test_what_was_brought_back_is_scored_and_differences_are_paired(
    results: dict[str, Any],
) -> None:
    found = results["GE-like"]["dice"]
    assert set(found) >= {"native", "bicubic", "linear", "model", "margin", "margin_over_linear"}
    assert len({found[who]["mean"] for who in ("native", "bicubic", "linear", "model")}) == 4
    difference = found["model"]["mean"] - found["bicubic"]["mean"]
    assert found["margin"]["mean"] == pytest.approx(difference)
    area = results["GE-like"]["area_error_mm2"]["model"]["mean"]
    assert area >= abs(results["GE-like"]["area_bias_mm2"]["model"]["mean"])
    # A whole number of pixels in each of two slices.
    assert 2 * area / PIXEL_MM**2 == pytest.approx(round(2 * area / PIXEL_MM**2))
    assert "### The blood pool found by a U-Net, x4" in results["tables"]


def test_a_trained_network_is_kept(
    discs: Path, output: Path, model: Path, results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(segmenter, "train", fails)
    segmenter.segmenter.cache_clear()
    for path in (output / "cache").glob("segmentation*.json"):
        path.unlink()
    again = run(discs, output, model)
    assert again["GE-like"]["dice"]["model"] == results["GE-like"]["dice"]["model"]


def test_without_masks_there_is_nothing_to_learn(discs: Path, tmp_path: Path, small: None) -> None:
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["blank"]}))
    (tmp_path / "slices").symlink_to(discs / "slices")
    with pytest.raises(UnfitImageError, match="no slice of the train split has a mask"):
        segmenter.segmenter(Bench(tmp_path, "train", tmp_path / "cache"))


def test_a_crop_takes_the_mask_along() -> None:
    rng = np.random.default_rng(0)
    pool = np.zeros((80, 90), bool)
    pool[30:50, 40:52] = True
    for _ in range(20):
        seen, filled = segmenter.crop(pool.astype(np.float32), pool, rng)
        assert seen.shape == filled.shape == (segmenter.CROP, segmenter.CROP)
        if filled.any() and not filled.all():
            threshold = (seen.min() + seen.max()) / 2
            assert dice(ndimage.binary_erosion(seen > threshold), filled) > 0.7
            assert seen[filled].mean() > seen[~filled].mean() + 0.5 * np.ptp(seen)


def test_dice_of_known_masks() -> None:
    one, other = np.zeros((2, 4, 4), bool)
    assert dice(one, other) == 1.0
    one[0], other[:, 0] = True, True
    assert dice(one, other) == pytest.approx(2 * 1 / 8)
    assert dice(one, one) == 1.0
