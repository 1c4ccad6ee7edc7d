"""The folder of a run is one program's, and what was there before is nobody's to replace."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cinesr.errors import OutputError
from cinesr.learning.dataset import Split
from cinesr.learning.folder import held, refuse_files_of_others
from cinesr.learning.training import _open_folder

SPLIT = Split(("a",), ("b",), ())


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        with pytest.raises(OutputError, match="another run of cinesr is at work"):
            held(tmp_path / "run").__enter__()
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not list((tmp_path / "run").iterdir())


def test_a_killed_run_lets_go_of_its_folder(tmp_path: Path) -> None:
    program = (
        "import os, signal; from pathlib import Path; from cinesr.learning.folder import held\n"
        f"with held(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert len(list(tmp_path.iterdir())) == 1, "it left nothing, so nothing is shown"
    with held(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["config.json", "card.json", "tensorboard", "model.keras"])
def test_files_of_somebody_else_are_not_replaced(tiny, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(OutputError, match=f"no run's of cinesr: {name}; they would"):
        _open_folder(tmp_path, tiny(), SPLIT, resume=False)
    assert [path.read_text() for path in tmp_path.iterdir()] == ['{"mine": 1}']


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(tiny, tmp_path: Path) -> None:
    _open_folder(tmp_path, tiny(), SPLIT, resume=False)
    (tmp_path / "log.csv").write_text("half an epoch")
    _open_folder(tmp_path, replace(tiny(), seed=5), SPLIT, resume=False)
    assert json.loads((tmp_path / "config.json").read_text())["config"]["seed"] == 5


def test_other_files_may_lie_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    refuse_files_of_others(tmp_path, ["report.html"])


def test_a_split_that_stands_there_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text('{"test": [], "validation": ["b"], "train": ["a"]}')
    before = path.read_text()
    SPLIT.write(path)
    assert path.read_text() == before
    Split(("b",), ("a",), ()).write(path)
    assert json.loads(path.read_text())["train"] == ["b"]
