"""The benchmark of the training, as small as it goes."""

import json
import subprocess
import sys
from pathlib import Path

import harness
import pytest

SCRIPT = Path(harness.__file__).with_name("training.py")
SMALL = ("--threads", "1", "--repeats", "2", "--seconds", "0.1", "--size", "48", "--filters", "4")


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, str(SCRIPT), *SMALL, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_training(tmp_path: Path) -> None:
    name = "mse-nearest jax float32"
    ended = run("--output", tmp_path, "--only", name)
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "training.json").read_text())
    assert name in (tmp_path / "training.md").read_text()
    (rival,) = found["rivals"]
    assert rival["name"] == name
    assert rival["batch_size"] == 8
    speed = rival["steps_per_second"]
    assert 0 < speed["low"] <= speed["median"] <= speed["high"]
    assert 0 <= rival["device_busy"]["low"] <= rival["device_busy"]["median"] <= 1
    assert rival["batches_per_second_of_one_thread"] > 0
    # Two operations each, once forwards and twice backwards.
    operations = 6 * rival["multiply_adds"] * speed["median"] / 1e9
    assert rival["gflops"] == pytest.approx(operations)


def test_rivals_that_do_not_exist_are_told(tmp_path: Path) -> None:
    ended = run("--output", tmp_path, "--only", "mse-nearest abacus")
    assert ended.returncode == 3
    assert "--only 'mse-nearest abacus': no rival's name holds that" in ended.stderr
    assert "'mse-nearest jax float32'" in ended.stderr
