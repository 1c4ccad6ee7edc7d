"""Files that are decoded as a whole: checked when opened, kept in memory only while in use."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnreadableFileError
from cinesr.imaging.cine import Frame, LazyFrames

Decoder = Callable[[Path], NDArray[Any]]


@lru_cache(maxsize=4)
def _decoded(decode: Decoder, path: Path, opening: object) -> NDArray[Any]:
    # A folder of a thousand files must not end up in memory because each was opened once. Each
    # opening decodes anew: clocks of file systems are too coarse to tell one content from the next.
    return decode(path)


def whole_file_frames(path: Path, decode: Decoder) -> LazyFrames:
    """Frames of a file that cannot be read in parts; a broken file is noticed at once.

    Args:
        path: The file.
        decode: A module-level function that gives the stored values, (time, slice, row, column).

    Raises:
        UnreadableFileError: By `decode`; or later, when the file changed after it was opened.
    """
    opening = object()
    modified_ns = path.stat().st_mtime_ns
    stored = _decoded(decode, path, opening)
    shape, dtype = stored.shape, stored.dtype.newbyteorder("=")

    def read(time: int, slice_index: int) -> Frame:
        if not path.exists() or path.stat().st_mtime_ns != modified_ns:
            raise UnreadableFileError(
                f"{path.name} was removed or changed while it was in use; expected the file as "
                "it was when it was opened.",
                hint="Run again, and write the result to another place.",
            )
        return np.array(_decoded(decode, path, opening)[time, slice_index], dtype=dtype)

    return LazyFrames((shape[0], shape[1], shape[2], shape[3]), dtype, read)
