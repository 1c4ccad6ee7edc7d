"""Frames on disk: each is read or computed once, kept exactly, and never fills the memory."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from cinesr.imaging.cine import Frame, LazyFrames
from cinesr.viewer.errors import RequestError, no_room


class Spool:
    """The frames of one series in one file, in their stored type.

    Plain reads and writes, not a memory map: a full disk is then an error that can be told, not the
    end of the process.

    Args:
        folder: Where to make the file.
        shape: (time, slice, row, column).
        dtype: Of the frames.
        compute: Gives a frame that is asked for before it was written; a series that is written
            frame by frame needs none.
        keeps: Whether to write what was computed. False where computing is as quick as reading.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, int, int, int],
        dtype: np.dtype[Any],
        compute: Callable[[int, int], Frame] | None = None,
        *,
        keeps: bool = True,
    ) -> None:
        self.folder, self.shape, self.dtype = folder, shape, dtype
        self._compute, self._keeps = compute, keeps
        self._path = folder / f"{secrets.token_hex(8)}.frames"
        self._frame_bytes = self.shape[2] * self.shape[3] * self.dtype.itemsize
        self._is_written = np.zeros(self.shape[:2], dtype=bool)
        self._lock = threading.Lock()
        self._path.touch(exist_ok=False)

    def read(self, time: int, slice_index: int, rows: range | None = None) -> Frame:
        """One frame, (row, column).

        Args:
            time: Phase.
            slice_index: Slice.
            rows: Only these, one after another; all where none are named.

        Raises:
            RequestError: The series was closed meanwhile.
            CinesrError: Its file is broken.
        """
        wanted = rows or range(self.shape[2])
        if self._compute and not self._keeps:
            with self._opened("rb"):  # Nothing is read of a series that was closed.
                return self._compute(time, slice_index)[wanted.start : wanted.stop]
        with self._lock:
            if self._compute and not self._is_written[time, slice_index]:
                frame = self._compute(time, slice_index)
                self.write(time, slice_index, frame)
                return frame[wanted.start : wanted.stop]
        columns = self.shape[3]
        with self._opened("rb") as file:
            before = wanted.start * columns * self.dtype.itemsize
            file.seek(self._offset(time, slice_index) + before)
            flat = np.fromfile(file, self.dtype, len(wanted) * columns)
        return flat.reshape(len(wanted), columns)

    def write(self, time: int, slice_index: int, frame: Frame) -> None:
        """Keeps a frame.

        Raises:
            RequestError: The series was closed meanwhile, or there is no room.
        """
        try:
            with self._opened("r+b") as file:
                file.seek(self._offset(time, slice_index))
                file.write(np.ascontiguousarray(frame, dtype=self.dtype).data)
        except OSError as error:
            raise no_room() from error
        self._is_written[time, slice_index] = True

    def lazy_frames(self, before: Callable[[], None] | None = None) -> LazyFrames:
        """The frames as a cine holds them.

        Args:
            before: Called before each reading; what it raises ends the reading.
        """

        def read(time: int, slice_index: int) -> Frame:
            if before:
                before()
            return self.read(time, slice_index)

        return LazyFrames(self.shape, self.dtype, read)

    def discard(self) -> None:
        """Removes the file; whoever reads from now on is told that the series is closed."""
        self._path.unlink(missing_ok=True)

    def _offset(self, time: int, slice_index: int) -> int:
        return (time * self.shape[1] + slice_index) * self._frame_bytes

    def _opened(self, mode: Literal["rb", "r+b"]) -> BinaryIO:
        try:
            return self._path.open(mode)
        except FileNotFoundError as error:
            raise RequestError("The series was closed.", status=404) from error
