"""Filters along one axis, in numpy alone: importing scipy would take a quarter of a run's start."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def gaussian_taps(sigma: float, shift: float = 0.0) -> tuple[Values, Values]:
    """Taps of a Gaussian blur out to four sigma, and of that blur's slope.

    Args:
        sigma: In pixels.
        shift: So many pixels ahead of the centre the taps look.

    Returns:
        Taps that blur, whose sum is 1, and taps that give the slope per pixel.
    """
    radius = int(np.ceil(4 * sigma + abs(shift)))
    distance = np.arange(-radius, radius + 1) - shift
    blur = np.exp(-0.5 * (distance / sigma) ** 2)
    blur /= blur.sum()
    return blur, blur * distance / sigma**2


def correlate(picture: NDArray[Any], taps: Values, *, axis: int) -> Values:
    """Slides taps along an axis; the outermost pixels repeat beyond the border.

    Args:
        picture: (row, column).
        taps: An odd number; the middle one lies on the pixel itself.
        axis: 0 to slide down the rows, 1 across the columns.
    """
    radius = taps.size // 2
    lines = np.moveaxis(picture, axis, 0)
    padded = np.pad(lines, ((radius, radius), (0, 0)), mode="edge")
    result = np.zeros(lines.shape)
    for place, tap in enumerate(taps):
        result += tap * padded[place : place + len(lines)]
    return np.moveaxis(result, 0, axis)


def moving_sums(picture: NDArray[Any], length: int, *, axis: int) -> Values:
    """Sums of neighbours along an axis, as many as `length`; zeros lie beyond the border.

    Args:
        picture: (row, column).
        length: Of each run, which reaches `length // 2` pixels back from its own.
        axis: 0 to sum down the rows, 1 across the columns.
    """
    lines = np.moveaxis(picture, axis, 0)
    before = length // 2
    padded = np.pad(lines, ((before + 1, length - 1 - before), (0, 0)))
    totals = np.cumsum(padded, axis=0, dtype=np.float64)
    return np.moveaxis(totals[length:] - totals[:-length], 0, axis)
