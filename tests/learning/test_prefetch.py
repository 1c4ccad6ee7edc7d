"""Batches that are prepared ahead: the same ones, in order, whoever prepares them."""

import multiprocessing
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from cinesr.errors import CinesrError, OutputError
from cinesr.learning.config import (
    DataConfig,
    DegradationConfig,
    NetworkConfig,
    OptimisationConfig,
    TrainingConfig,
    VariationConfig,
)
from cinesr.learning.crops import CropStream
from cinesr.learning.dataset import SliceSet
from cinesr.learning.prefetch import LEAST_AHEAD, Prefetcher, one_blas_thread

CONFIG = TrainingConfig(
    name="any",
    output="out",
    data=DataConfig("scans"),
    seed=5,
    degradation=DegradationConfig(("thesis", "kspace"), noise=0.1, blur=0.6),
    variation=VariationConfig((0.6, 1.1), contrast=1.3, zoom=3.0, synthetic=0.2),
    network=NetworkConfig("residual", scale=2),
    optimisation=OptimisationConfig(batch_size=3, crop=24),
)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> CropStream:
    """Over slices of several sizes and of both layouts in memory."""
    monkeypatch.setattr(CropStream, "SYNTHETIC_IMAGES", 1)
    shapes = [(64, 96), (48, 48), (70, 64), (50, 38)]
    images = [np.random.default_rng(rows).random((rows, n), np.float32) for rows, n in shapes]
    images[2:] = [np.asfortranarray(image) for image in images[2:]]
    return CropStream(SliceSet(tuple(images), tuple("abcd"), None), CONFIG)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Counted(CropStream):
    """Remembers which steps were asked for, and takes its time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.steps: list[int] = []
        self.seconds = seconds

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(self.seconds)
        self.steps.append(step)
        return np.full(1, step, np.float32), np.zeros(1, np.float32)


@pytest.mark.parametrize(("processes", "first"), [(0, 0), (0, 7), (1, 3), (3, 0)])
def test_batches_are_those_of_their_steps_to_the_bit(
    stream: CropStream, temporary: Path, processes: int, first: int
) -> None:
    prefetcher = Prefetcher(stream, first_step=first, processes=processes)
    with closing(prefetcher.batches()) as batches:
        for step, found in enumerate(islice(batches, 24), first):
            for ours, expected in zip(found, stream.batch(step), strict=True):
                assert ours.dtype == expected.dtype == np.float32
                assert np.array_equal(ours, expected)
    # Nothing of it stays: no process, no thread, no file.
    assert not multiprocessing.active_children()
    assert not [it for it in threading.enumerate() if it.name.startswith("crops")]
    assert not list(temporary.iterdir())


def test_no_more_batches_are_prepared_than_will_be_taken_soon() -> None:
    counted = Counted()
    with closing(Prefetcher(counted, first_step=2).batches()) as batches:
        for taken in range(1, 4):
            next(batches)
            deadline = time.monotonic() + 10
            while len(counted.steps) < taken + LEAST_AHEAD and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(0.05)
            assert counted.steps == list(range(2, 2 + taken + LEAST_AHEAD))


def test_waiting_is_counted_where_there_was_any() -> None:
    slow = Prefetcher(Counted(seconds=0.05))
    with closing(slow.batches()) as batches:
        started = time.perf_counter()
        for _ in islice(batches, 6):
            pass
        spent = time.perf_counter() - started
    # Whoever takes does nothing else: all of the time is waiting.
    assert 6 * 0.05 <= slow.seconds_waited <= spent

    fast = Prefetcher(Counted())
    with closing(fast.batches()) as batches:
        next(batches)
        before = fast.seconds_waited
        for _ in islice(batches, 5):
            time.sleep(0.05)
    assert fast.seconds_waited - before < 0.05


def test_an_error_comes_out_where_its_batch_is_taken() -> None:
    class Broken(Counted):
        def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            if step == 2:
                raise ValueError("step 2")
            return super().batch(step)

    batches = Prefetcher(Broken()).batches()
    assert [next(batches)[0][0] for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match="step 2"):
        next(batches)
    assert not [it for it in threading.enumerate() if it.name.startswith("crops")]


def test_a_killed_process_is_told(stream: CropStream, temporary: Path) -> None:
    with closing(Prefetcher(stream, processes=1).batches()) as batches:
        next(batches)
        (process,) = multiprocessing.active_children()
        process.kill()
        with pytest.raises(CinesrError, match="prepares crops ended by itself") as caught:
            list(islice(batches, 50))
    assert "out of memory" in (caught.value.hint or "")
    assert not list(temporary.iterdir())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_the_pictures_is_told(stream: CropStream, temporary: Path) -> None:
    with (
        files_of_at_most(20_000),
        pytest.raises(OutputError, match="training pictures cannot be written") as caught,
    ):
        next(Prefetcher(stream, processes=1).batches())
    assert "TMPDIR to a folder with 0 MB" in (caught.value.hint or "")
    assert not list(temporary.iterdir())


def test_no_folder_for_the_pictures_is_told(
    stream: CropStream, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    with pytest.raises(OutputError, match="cannot be written for other processes"):
        next(Prefetcher(stream, processes=1).batches())


KILLED = """
import multiprocessing, os, signal, sys, tempfile
import numpy as np
from cinesr.learning.config import DataConfig, TrainingConfig
from cinesr.learning.crops import CropStream
from cinesr.learning.dataset import SliceSet
from cinesr.learning.prefetch import Prefetcher

if __name__ == "__main__":
    tempfile.tempdir = sys.argv[1]
    slices = SliceSet((np.ones((96, 96), np.float32),), ("a",), None)
    stream = CropStream(slices, TrainingConfig("any", "out", DataConfig("scans")))
    batches = Prefetcher(stream, processes=1).batches()
    next(batches)
    print(multiprocessing.active_children()[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_end_with_a_training_that_was_killed(temporary: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(temporary)], capture_output=True, text=True, check=False
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    process = Path("/proc") / result.stdout.strip()
    deadline = time.monotonic() + 20
    while (process.exists() or list(temporary.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not process.exists()
    assert not list(temporary.iterdir())


def blas_threads() -> list[int]:
    return [
        library["num_threads"]
        for library in threadpool_info()
        if library["internal_api"] == "openblas" and "torch" not in Path(library["filepath"]).parts
    ]


def test_numpy_multiplies_in_one_thread_and_then_as_before() -> None:
    before = blas_threads()
    if not before:
        pytest.skip("numpy multiplies with something else than OpenBLAS")
    with one_blas_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_threads_of_blas_do_not_change_a_bit(stream: CropStream) -> None:
    plain = [stream.batch(step) for step in range(8)]
    with one_blas_thread():
        single = [stream.batch(step) for step in range(8)]
    for ours, theirs in zip(plain, single, strict=True):
        assert all(map(np.array_equal, ours, theirs))
