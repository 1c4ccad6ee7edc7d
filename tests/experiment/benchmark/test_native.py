"""Borders on scans as they are: against what is known of a disc, and of what blurs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from cinesr.cli import main
from cinesr.experiment.benchmark.native import pool_around
from model_cases import card, write_model


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with a bright disc each, blurred by 0.8 and by 1.1 pixels, and its mask."""
    folder = tmp_path_factory.mktemp("discs")
    places = np.arange(96)
    inside = np.hypot(places[:, None] - 50.3, places[None, :] - 44.6) < 18
    for name, sigma in (("anna", 0.8), ("ben", 1.1)):
        for kind in ("slices", "masks"):
            (folder / kind / name).mkdir(parents=True)
        picture = 60 + 120 * ndimage.gaussian_filter(inside.astype(float), sigma)
        Image.fromarray(np.rint(picture).astype(np.uint8)).save(folder / "slices" / name / "a.png")
        Image.fromarray((inside * 255).astype(np.uint8)).save(folder / "masks" / name / "a.png")
        # A slice without a ventricle has no border to measure.
        for kind in ("slices", "masks"):
            Image.fromarray(np.zeros((96, 96), np.uint8)).save(folder / kind / name / "b.png")
    (folder / "splits.json").write_text(json.dumps({"validation": ["anna", "ben"], "train": []}))
    return folder


def test_widths_are_in_mm_and_by_person(discs: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", "nearest", scale=2, says=card(2, "nearest"))
    line = ["benchmark", model, "--data", discs, "-o", tmp_path / "out", "--split", "validation"]
    line += ["--parts", "native", "--spacing", "1.2", "--pictures", tmp_path / "pictures"]
    done = CliRunner().invoke(main, list(map(str, line)))
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "out" / "nearest.validation.json").read_text())
    found = results["native"]["people"]
    assert (found["slices"], found["people"]) == (2, 2)
    # Bicubic interpolation and the pixels themselves add a little to the blur.
    blurred = np.mean([2.563 * 1.2 * np.hypot(sigma, 0.29) for sigma in (0.8, 1.1)])
    assert found["edge_mm"]["bicubic"]["mean"] == pytest.approx(blurred, rel=0.04)
    assert found["pixel_mm"]["model"]["mean"] == pytest.approx(1.2)
    change = found["edge_change"]["model"]["mean"]
    assert found["edge_change"]["bicubic"]["mean"] == 0
    gain = found["edge_mm"]["margin"]["mean"] / found["edge_mm"]["bicubic"]["mean"]
    assert change == pytest.approx(100 * gain, abs=1.0)
    # All of Anna's borders are narrower than 3 mm, and none of Ben's.
    (anna,), (ben,) = (kept_rows(tmp_path, name) for name in ("anna", "ben"))
    assert anna["narrow_change"] == anna["edge_change"]
    assert "narrow_change" not in ben
    assert found["narrow_change"]["model"]["mean"] == pytest.approx(anna["narrow_change"])
    assert found["narrow_change"]["worst"]["person"] == "anna"
    assert found["narrow_change"]["bicubic"]["mean"] == 0
    assert "| people, 2 people, 2 slices | bicubic |" in done_tables(tmp_path)
    pictures = sorted(path.name for path in (tmp_path / "pictures" / "native").iterdir())
    assert pictures == ["anna.png", "ben.png"]


def kept_rows(folder: Path, person: str) -> list[dict[str, Any]]:
    (path,) = (folder / "out" / "cache").glob(f"native_{person}_nearest_*.json")
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def done_tables(folder: Path) -> str:
    return (folder / "out" / "tables.validation.md").read_text()


def test_a_pool_is_what_is_bright_around_a_pixel() -> None:
    picture = np.full((60, 60), 0.2, np.float32)
    picture[20:40, 20:40] = 1.0
    picture[28:31, 28:31] = 0.3  # A papillary muscle belongs to it.
    picture[20:40, 45:55] = 1.0  # Another chamber, joined by one bright line.
    picture[30, 40:45] = 1.0
    expected = np.zeros((60, 60), bool)
    expected[20:40, 20:40] = True
    expected[30, 40] = True  # Where the line begins.
    corners = np.hypot(*np.meshgrid(*2 * [np.arange(60) - 29.5])) > 12
    found = pool_around(picture, (35, 35))
    assert np.array_equal(found & ~corners, expected & ~corners)
    assert not found[:, 42:].any()
    # A pixel of what is darker has no pool around it.
    assert not pool_around(picture, (29, 29)).any()
