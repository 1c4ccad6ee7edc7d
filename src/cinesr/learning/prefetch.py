"""Batches prepared ahead of the training, so that it does not wait for its input.

A thread is enough where a step takes long. A device that takes hundreds of batches a second is
served by processes: threads of one interpreter take turns at Python code, the training's included.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from functools import lru_cache, partial
from itertools import count, islice
from pathlib import Path
from threading import Thread
from time import perf_counter

import numpy as np
from threadpoolctl import ThreadpoolController

from cinesr.errors import CinesrError, OutputError
from cinesr.imaging.scratch import scratch_folder
from cinesr.learning.crops import Batch, CropStream

Task = Callable[[int], Batch]

LEAST_AHEAD = 8
AHEAD_PER_PROCESS = 2


class Prefetcher:
    """Batches from a step on, prepared in the background, a bounded number of them ahead.

    The step alone decides a batch, so that it is the same to the bit however many prepare it.

    Args:
        stream: Gives the batch of a step.
        first_step: Of the batches.
        processes: How many prepare batches; 0 for a thread of this process.

    Attributes:
        seconds_waited: For batches that were asked for and not ready yet, in all.
    """

    def __init__(self, stream: CropStream, *, first_step: int = 0, processes: int = 0) -> None:
        self._stream, self._first_step, self._processes = stream, first_step, processes
        self.seconds_waited = 0.0

    def batches(self) -> Generator[Batch, None, None]:
        """Batches in order, without end; whoever prepares them leaves when this is closed.

        Raises:
            CinesrError: A process that prepares batches was killed, or could not start.
            OutputError: There is no room for the pictures that processes share.
        """
        with self._workers() as (pool, task):
            steps = count(self._first_step)
            ahead = max(LEAST_AHEAD, AHEAD_PER_PROCESS * self._processes)
            waiting = deque(pool.submit(task, step) for step in islice(steps, ahead))
            while True:
                asked = perf_counter()
                batch = waiting.popleft().result()
                self.seconds_waited += perf_counter() - asked
                waiting.append(pool.submit(task, next(steps)))
                yield batch

    @contextmanager
    def _workers(self) -> Iterator[tuple[Executor, Task]]:
        if not self._processes:
            with _closing(ThreadPoolExecutor(1, "crops")) as pool:
                yield pool, self._stream.batch
            return
        # A process that is forked while the training's threads run can hang; a fresh one cannot.
        fresh = multiprocessing.get_context("spawn")
        try:
            with (
                _shared(self._stream) as folder,
                _closing(
                    ProcessPoolExecutor(self._processes, fresh, _start_process, (folder,))
                ) as pool,
            ):
                yield pool, partial(_shared_batch, folder)
        except BrokenProcessPool as error:
            raise CinesrError(
                "A process that prepares crops ended by itself.",
                hint="It may have run out of memory. In a script of your own, call `train` under "
                "`if __name__ == '__main__':`, because each process imports the script anew.",
            ) from error


def one_blas_thread() -> AbstractContextManager[object]:
    """Has numpy multiply in one thread, from the call on until the context is left.

    Crops are small matrices. With several threads numpy's OpenBLAS makes them no faster, and its
    threads wait for more work in a busy loop, on the cores that train: on two cores, one of them
    taken, crops were seen to cost thirty times as much processor time.
    """
    controller = ThreadpoolController()
    # PyTorch trains with an OpenBLAS of its own on some processors.
    ours = [
        library["filepath"]
        for library in controller.info()
        if library["internal_api"] == "openblas" and "torch" not in Path(library["filepath"]).parts
    ]
    limit: AbstractContextManager[object] = controller.select(filepath=ours).limit(limits=1)
    return limit


@contextmanager
def _closing(pool: Executor) -> Iterator[Executor]:
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _shared(stream: CropStream) -> Iterator[Path]:
    """A folder with a stream for other processes, which all map the same pictures into memory."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder("crops"))
            _write_stream(stream, folder)
        except OSError as error:
            size = sum(picture.nbytes for picture in stream.pictures)
            raise OutputError(
                f"The training pictures cannot be written for other processes: {error}.",
                hint=f"Set TMPDIR to a folder with {size / 1e6:.0f} MB to spare.",
            ) from error
        yield folder


def _write_stream(stream: CropStream, folder: Path) -> None:
    template = copy(stream)
    template.pictures = ()
    # The layout in memory stays as well: it may decide how a product of matrices is rounded.
    layouts = [(picture.shape, not picture.flags.c_contiguous) for picture in stream.pictures]
    (folder / "stream").write_bytes(pickle.dumps((template, layouts)))
    with (folder / "pictures").open("wb") as file:
        for picture, (_, transposed) in zip(stream.pictures, layouts, strict=True):
            np.ascontiguousarray(picture.T if transposed else picture).tofile(file)


@lru_cache(maxsize=1)
def _shared_stream(folder: Path) -> CropStream:
    stream: CropStream
    stream, layouts = pickle.loads((folder / "stream").read_bytes())
    numbers = np.asarray(np.memmap(folder / "pictures", np.float32, "r"))
    pictures, start = [], 0
    for shape, transposed in layouts:
        end = start + int(np.prod(shape))
        part = numbers[start:end]
        pictures.append(part.reshape(shape[::-1]).T if transposed else part.reshape(shape))
        start = end
    stream.pictures = tuple(pictures)
    return stream


def _shared_batch(folder: Path, step: int) -> Batch:
    return _shared_stream(folder).batch(step)


def _start_process(folder: Path) -> None:
    """Has a process leave the cores to others, and end when the training ends, however it does."""
    one_blas_thread()
    # Ctrl-C reaches every process of a terminal; the training is the one to answer it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, args=(folder,), daemon=True).start()


def _end_with_parent(folder: Path) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Who was killed could not tidy up.
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
