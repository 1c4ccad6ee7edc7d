"""The gain over the size of the truth's pixels, and the pictures for a page."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import dicom_cases
from cinesr.cli import main
from cinesr.experiment.benchmark import sizes
from model_cases import card, write_model

SPACING_MM = 1.4


@pytest.fixture(scope="module")
def output(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes of each source, and the pictures of the scanner's part."""
    output = tmp_path_factory.mktemp("sizes")
    model = write_model(output / "m.onnx", "nearest", scale=2, says=card(2, "twice"))
    dicom_cases.write_cine_series(output / "finer", slices=2, phases=3, rows=48, columns=48)
    line = ["benchmark", model, "--data", data, "-o", output, "--split", "validation"]
    line += ["--parts", "sizes,scanner", "--finer", output / "finer", "--spacing", SPACING_MM]
    line += ["--pictures", output / "pictures", "--every", 6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "PEOPLE_FACTORS", (1.0, 1.25))
        patch.setattr(sizes, "FINER_FACTORS", (1.0,))
        patch.setattr(sizes, "FINER_STEP", 2)
        done = CliRunner().invoke(main, list(map(str, line)))
    assert done.exit_code == 0, done.output
    return output


def test_gains_stand_at_the_size_of_the_truths_pixels(output: Path) -> None:
    results = json.loads((output / "twice.validation.json").read_text())["sizes"]
    assert set(results) == {"people x1", "people x1.25", "animal, finer x1"}
    drawn = json.loads((output / "pictures" / "sizes.json").read_text())
    line = drawn["twice (x2), people"]
    # One of the two people has DICOM, whose own spacing counts.
    own = results["people x1"]["truth_mm"]["model"]["mean"]
    assert line["truth_mm"] == pytest.approx([own, 1.25 * own])
    assert own != pytest.approx(SPACING_MM)
    for name, measure in (("whole", "psnr"), ("body", "psnr_body")):
        gains = [results[f"people {factor}"][measure] for factor in ("x1", "x1.25")]
        expected = [found["model"]["mean"] - found["bicubic"]["mean"] for found in gains]
        assert line[name] == pytest.approx(expected)
    assert len(drawn["twice (x2), animal, finer"]["truth_mm"]) == 1
    with Image.open(output / "pictures" / "sizes.png") as plot:
        assert plot.width > plot.height


def test_the_finer_cine_is_scored_as_one_person(output: Path) -> None:
    found = json.loads((output / "twice.validation.json").read_text())["sizes"]["animal, finer x1"]
    assert (found["people"], found["slices"]) == (1, 1)
    assert found["psnr"]["margin"]["low"] is None


def test_the_example_shows_the_heart_on_its_own_grey_scale(output: Path) -> None:
    with Image.open(output / "pictures" / "comparison-twice.png") as picture:
        shown = np.asarray(picture)
    # Four panels; the magnified truth, the last of the second row, uses the grey scale up.
    magnified = shown[-384:, -384:].max(axis=2)
    assert shown.shape[1] == 4 * 384 + 3 * 8
    assert np.percentile(magnified, 99) > 200
