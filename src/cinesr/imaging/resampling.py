"""Exact resampling of one axis to any pixel size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@lru_cache(maxsize=16)
def band_limited_matrix(size: int, new_size: int, ratio: float) -> Matrix:
    """Band-limited resampling of one axis as a matrix, (new_size, size).

    The signal is taken for mirrored at its outer edges, so that it is a sum of cosines (the DCT-II;
    Martucci, IEEE Trans. Signal Processing 42:1038, 1994), which is evaluated at the new pixels'
    centres. Frequencies that the new pixels cannot hold are left out; constants stay exact. The
    middle of the axis stays where it is.

    Args:
        size: Pixels along the axis.
        new_size: Pixels after resampling.
        ratio: Size of a new pixel in old ones.
    """
    centres = size / 2.0 + (np.arange(new_size) + 0.5 - new_size / 2.0) * ratio
    frequency = np.arange(size)
    kept = frequency[frequency * ratio < size] if ratio > 1.0 else frequency
    angle = np.pi / size * kept
    new = np.cos(centres[:, None] * angle)
    old = np.cos((np.arange(size)[:, None] + 0.5) * angle)
    weight = np.where(kept == 0, 1.0, 2.0) / size
    matrix = (new * weight) @ old.T
    matrix.setflags(write=False)
    return matrix


def pixels_for(size: int, ratio: float) -> int:
    """How many new pixels cover an axis best.

    Args:
        size: Old pixels along the axis.
        ratio: Size of a new pixel in old ones.
    """
    return max(1, round(size / ratio))
