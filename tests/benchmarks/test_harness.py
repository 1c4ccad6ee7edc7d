"""Rivals take turns, figures are medians, and results are left whole."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import harness
import numpy as np
import pytest

from cinesr.errors import ConfigError

BENCHMARKS = Path(harness.__file__).parent


class Clock:
    """The machine's clock, moved on by who is timed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("harness.time.perf_counter", lambda: self.now)
        monkeypatch.setattr("harness.time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def takes(self, *seconds: float) -> Callable[[], None]:
        left = iter(seconds)

        def run() -> None:
            self.now += next(left)

        return run


def test_the_median_and_the_spread_leave_out_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    rivals = {"fast": clock.takes(50, 3, 1, 2), "slow": clock.takes(90, 10, 30, 50)}
    found = harness.interleaved(rivals, repeats=3, warm_up=1)
    assert {name: (it.median, it.low, it.high) for name, it in found.items()} == {
        "fast": pytest.approx((2, 1, 3)),
        "slow": pytest.approx((30, 10, 50)),
    }


def test_rivals_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    calls: list[str] = []
    rivals = {name: lambda name=name: calls.append(name) for name in "abc"}
    harness.interleaved(rivals, repeats=2, warm_up=1)
    assert "".join(calls) == "abc" * 3


def test_a_timing_in_parts_and_units() -> None:
    timing = harness.Timing.of([0.4, 0.1, 0.2, 0.3]).per(10)
    assert timing.to_dict(unit=1e-3) == pytest.approx({"median": 25, "low": 10, "high": 40})


def test_the_matrix_product_counts_a_multiplication_and_an_addition() -> None:
    product = harness.MatrixProduct(side=100)
    product()
    assert product.gigaflops(0.5) == pytest.approx(2 * 100**3 / 0.5 / 1e9)


def test_the_machine_is_told() -> None:
    found = harness.machine()
    assert found["float32_product_gflops"] > 0.1
    assert found["processor"]
    assert found["versions"]["numpy"] == np.__version__
    assert harness.machine(12.5)["float32_product_gflops"] == 12.5


def test_a_table_is_aligned_and_is_markdown() -> None:
    assert harness.table(("who", "ms"), [("engine", "1.5"), ("a", "22")]) == (
        "| who    |  ms |\n|--------|----:|\n| engine | 1.5 |\n| a      |  22 |\n"
    )


def test_results_are_left_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (1, 2):
        harness.write(tmp_path / "new", "speed", {"value": value}, "a table\n")
    assert json.loads((tmp_path / "new" / "speed.json").read_text()) == {"value": 2}
    assert (tmp_path / "new" / "speed.md").read_text() == "a table\n"
    assert len(list((tmp_path / "new").iterdir())) == 2
    assert "a table" in capsys.readouterr().out


def python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux pins processes")
def test_cores_are_kept_to_by_the_process_and_its_children() -> None:
    code = (
        "import harness, os, subprocess, sys; print(harness.use_cores(1)); sys.stdout.flush();"
        "subprocess.run([sys.executable, '-c', 'import os; print(len(os.sched_getaffinity(0)),"
        ' os.environ["OMP_NUM_THREADS"])\'])'
    )
    assert python(code).stdout.split() == ["1", "1", "1"]


@pytest.mark.parametrize("threads", [0, 10_000])
def test_cores_that_are_not_there_are_refused(threads: int) -> None:
    with pytest.raises(ConfigError, match=f"--threads {threads}: this process may use"):
        harness.use_cores(threads)


def test_an_error_is_told_in_words() -> None:
    ended = python("import harness; harness.run(lambda: harness.use_cores(0))")
    assert ended.returncode == 3
    assert ended.stderr.startswith("Error: --threads 0: this process may use")
    assert "Traceback" not in ended.stderr
