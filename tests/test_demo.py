"""The demo does the whole job anywhere, with nothing but the package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cinesr.cli import main
from cinesr.imaging.files import load

CINESR = (sys.executable, "-B", "-c", "from cinesr.cli import main; main()")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def run(place: Path) -> subprocess.CompletedProcess[str]:
    """The demo in an empty folder with an empty home."""
    return subprocess.run(
        [*CINESR, "demo"],
        cwd=place,
        env={**os.environ, "HOME": str(place / "home"), "CINESR_MODELS": str(place / "none")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_says_where_its_pictures_are(place: Path, run) -> None:
    assert (run.returncode, "Error" in run.stderr) == (0, False), run.stderr
    pictures = [Path(line) for line in run.stdout.splitlines()]
    assert [path.name for path in pictures] == ["comparison.png", "low_x4.preview.png"]
    for path, panels in zip(pictures, (4, 2), strict=True):
        assert path.parent == place / "demo"
        with Image.open(path) as picture:
            picture.load()
            assert picture.size[0] > panels * 300
    assert "bicubic: PSNR (dB)" in run.stderr
    assert "fidelity-x4: PSNR (dB)" in run.stderr


def test_what_it_leaves_fits_together(place: Path, run) -> None:
    folder = place / "demo"
    assert sorted(path.name for path in folder.iterdir()) == [
        "comparison.png",
        "low.nii.gz",
        "low_x4.nii.gz",
        "low_x4.preview.png",
        "run.json",
        "truth.nii.gz",
    ]
    truth, low, result = (load(folder / f"{name}.nii.gz") for name in ("truth", "low", "low_x4"))
    assert result.shape == truth.shape == (6, 2, 4 * low.shape[2], 4 * low.shape[3])
    assert result.geometry.is_close(truth.geometry)
    assert result.dtype == truth.dtype == np.uint16
    record = json.loads((folder / "run.json").read_text())
    assert record["input"] == str(folder / "low.nii.gz")
    assert record["output"] == str(folder / "low_x4.nii.gz")
    scores = record["scores"]
    assert scores["fidelity-x4"]["PSNR (dB)"] > scores["bicubic"]["PSNR (dB)"] > 20
    assert not list(place.glob(".*"))


def test_an_earlier_demo_is_replaced_only_where_allowed(place: Path, run) -> None:
    before = (place / "demo" / "run.json").read_bytes()
    refused = CliRunner().invoke(main, ["demo", "-o", str(place / "demo")])
    assert refused.exit_code == 3
    assert "exists already" in refused.stderr
    assert (place / "demo" / "run.json").read_bytes() == before
    again = CliRunner().invoke(main, ["demo", "-q", "-o", str(place / "demo"), "--overwrite"])
    assert (again.exit_code, again.stderr) == (0, "")
    assert (place / "demo" / "run.json").read_bytes() != before


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("years of work")
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "demo"), "--overwrite"])
    assert result.exit_code == 3
    assert "no earlier result: thesis.txt" in result.stderr
