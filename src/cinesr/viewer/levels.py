"""Frames with fewer pixels, for panes that are smaller than a frame: averages of stored values."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cinesr.degradation import bicubic_matrix
from cinesr.imaging.cine import Frame
from cinesr.viewer.frames import Part

Floats = NDArray[np.floating[Any]]
Interpolator = Callable[[Frame, Part], Floats]
"""Gives a part of the enlargement of a frame."""


def averaged(stored: Frame, level: int) -> Floats:
    """The means of 2^level x 2^level pixels, so that the outer edges stay where they are.

    Those at the last rows and columns are of the pixels that there are.

    Args:
        stored: (row, column).
        level: From 0.
    """
    # Sums of 16-bit numbers are exact in float32 up to 16 x 16 of them.
    is_small = stored.dtype.itemsize <= 2 or stored.dtype == np.float32
    with np.errstate(invalid="ignore"):  # Inf less Inf: shown as any other NaN.
        rows = _averaged_rows(stored, level, "float32" if is_small else "float64")
        return _averaged_rows(rows.T, level, rows.dtype.name).T


def _averaged_rows(values: NDArray[Any], level: int, dtype: str) -> Floats:
    step = 2**level
    sums = values[::step].astype(dtype)
    for offset in range(1, step):
        part = values[offset::step]
        sums[: len(part)] += part
    full, rest = divmod(len(values), step)
    sums[:full] /= step
    sums[full:] /= rest or 1
    return sums


def bicubic_interpolator(shape: tuple[int, int], scale: int) -> Interpolator:
    """Bicubic enlargement of no more than what is asked for.

    Interpolation and averaging are one sparse matrix per axis: a frame that is shown smaller is
    never computed in full.

    Args:
        shape: (rows, columns) of the frames.
        scale: Of the enlargement.
    """
    rows, columns = shape

    @lru_cache(maxsize=8)
    def matrix(size: int, level: int) -> Any:
        full = bicubic_matrix(size, size * scale)
        return csr_array(_averaged_rows(full, level, "float64"))

    def interpolated(low: Frame, part: Part) -> Floats:
        down = matrix(rows, part.level)[part.rows.start : part.rows.stop]
        across = matrix(columns, part.level)[part.columns.start : part.columns.stop]
        return np.asarray((across @ (down @ low.astype(np.float64)).T).T)

    return interpolated
