"""What `cinesr train` says about its pace."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cinesr.cli import main
from cinesr.learning.crops import CropStream

CONFIG = """
name = "tiny"
output = "run"
[data]
folder = '{folder}'
[degradation]
methods = ["bicubic"]
[network]
architecture = "residual"
scale = 2
filters = 4
blocks = 1
[loss]
name = "mae"
[optimisation]
epochs = 1
steps_per_epoch = 60
batch_size = 2
crop = 16
validation_slices = 1
"""


def train(folder: Path, scans: Path, *options: str) -> Result:
    config = folder / "tiny.toml"
    config.write_text(CONFIG.format(folder=scans))
    # Rich draws its progress line where it is told that somebody looks.
    environment = {"FORCE_COLOR": "1", "COLUMNS": "160"}
    line = ["train", str(config), *options]
    result = CliRunner().invoke(main, line, env=environment, catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, f"{folder / 'run'}\n")
    return result


def test_the_progress_line_shows_the_pace_and_starved_epochs_are_told(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = CropStream.batch

    def slow(stream: CropStream, step: int) -> object:
        time.sleep(0.02)
        return prepared(stream, step)

    monkeypatch.setattr(CropStream, "batch", slow)
    told = train(tmp_path, scans).stderr
    assert "Reading tiny" in told
    assert "Training tiny, " in told
    assert " steps/s, device " in told
    assert "Epoch 1: for " in told
    assert "of its time the training waited for crops" in told


def test_quiet_is_quiet(scans: Path, tmp_path: Path) -> None:
    assert train(tmp_path, scans, "--quiet").stderr == ""
