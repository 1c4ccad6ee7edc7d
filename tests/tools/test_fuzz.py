"""Spoilt files in short; `tools/fuzz.py` has thousands of each format."""

import json
import shutil
import warnings
from pathlib import Path

import fuzz
import fuzz_seeds
import kills
import pytest

from cinesr.learning.config import read_config

SEED, COUNT = 11, 40


@pytest.mark.parametrize("kind", fuzz_seeds.FORMATS)
def test_spoilt_files_are_read_or_refused_in_words(kind: str, tmp_path: Path) -> None:
    if kind == "dicom-compressed":
        pytest.importorskip("openjpeg")
        pytest.importorskip("jpeg_ls")
    for name, content in fuzz_seeds.seeds(kind):
        (tmp_path / name).write_bytes(content)
        assert fuzz.attempt(kind, tmp_path, tmp_path / name) == "read"
        (tmp_path / name).unlink()
    for index in range(COUNT):
        folder = tmp_path / "in"
        folder.mkdir()
        for name, content in fuzz_seeds.mutant(kind, SEED, index):
            (folder / name).write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What libraries think of a spoilt file.
            for path in sorted(folder.iterdir()):
                assert fuzz.attempt(kind, tmp_path, path) in ("read", "refused", "unfit")
        shutil.rmtree(folder)
        assert not list(tmp_path.iterdir())


def test_a_mutant_is_the_same_again() -> None:
    for kind in ("npy", "nifti", "png"):
        mutants = [fuzz_seeds.mutant(kind, 3, index) for index in range(20)]
        assert mutants == [fuzz_seeds.mutant(kind, 3, index) for index in range(20)]
        whole = {content for _, content in fuzz_seeds.seeds(kind)}
        assert sum(files[-1][1] not in whole for files in mutants) > 15


def test_a_batch_counts_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fuzz.run("npy", seed=1, first=0, count=12)
    assert (found["count"], found["faults"]) == (12, [])
    assert found["read"] + found["refused"] == 12
    assert "| npy | 12 |" in fuzz.markdown([found], 1)


def test_faults_are_told_with_their_number() -> None:
    found = {"format": "npy", "count": 0, "read": 0, "refused": 0, "slowest_s": 0.0}
    found |= {"peak_mb": 0, "faults": []}
    line = {"end": 4, "how": "traceback", "seconds": 0.5, "told": "KeyError: 1 at a.py:3"}
    assert fuzz._take(line, found, 4) == 5
    assert found["faults"] == [{"index": 4, "told": "KeyError: 1 at a.py:3"}]
    assert "1 x KeyError: 1 at a.py:3 (cases [4])" in fuzz.markdown([found], 0)


def test_the_configuration_of_the_kill_test_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(kills.CONFIG)
    assert read_config(tmp_path / "mine.toml").network.scale == 2


def test_half_an_output_would_be_noticed(tmp_path: Path) -> None:
    (upscale, _, export) = kills.COMMANDS
    assert kills.whole(upscale, tmp_path) is None
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(json.dumps({"files": ["run.json", "IM_0001.dcm"]}))
    assert "half an output" in str(kills.whole(upscale, tmp_path))
    (tmp_path / "new.onnx").write_bytes(b"half")
    with pytest.raises(Exception, match="is not an ONNX model"):
        kills.whole(export, tmp_path)
    (tmp_path / ".out.cinesr-partial").mkdir()
    (tmp_path / "tmp" / "cinesr-run-1").mkdir(parents=True)
    assert kills.left_behind(tmp_path) == [".out.cinesr-partial", "tmp/cinesr-run-1"]
