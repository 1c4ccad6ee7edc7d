"""The best that a linear filter can do: what a network has to beat before it has learned anything.

Bicubic interpolation knows nothing of the blur that a degradation adds, so that a network seems to
win by decibels where it has learned no more than a fixed sharpening filter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cinesr.errors import CinesrError

WINDOW = 9
"""Low-resolution pixels along each side of what the filter looks at."""

Image = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearFilter:
    """One linear filter for each of the scale x scale places of an output pixel in its input pixel.

    Args:
        coefficients: (window * window + 1, scale * scale), the last row is the bias.
        scale: Output pixels per input pixel, per axis.
        window: Side of what each filter looks at, in low-resolution pixels.
    """

    coefficients: Matrix
    scale: int
    window: int

    def apply(self, low: NDArray[Any]) -> Image:
        """Upscales a slice.

        Args:
            low: (row, column), of any size.

        Returns:
            (scale * row, scale * column), float32.
        """
        rows, columns = low.shape
        phases = (_neighbourhoods(low, self.window) @ self.coefficients).reshape(
            rows, columns, self.scale, self.scale
        )
        high = phases.transpose(0, 2, 1, 3).reshape(rows * self.scale, columns * self.scale)
        return np.asarray(high, dtype=np.float32)


def fit_linear_filter(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]], *, scale: int, window: int = WINDOW
) -> LinearFilter:
    """The filter with the least squared error over all pixels of all pairs.

    The normal equations are summed pair by pair in float64, so memory does not grow with the data.

    Args:
        pairs: Low resolution (row, column) and high resolution (scale * row, scale * column).
        scale: Between the two.
        window: Odd number of low-resolution pixels along each side of what is looked at.

    Raises:
        CinesrError: There are no pairs, or their sizes do not fit.
    """
    inputs = window * window + 1
    gram, moments = np.zeros((inputs, inputs)), np.zeros((inputs, scale * scale))
    for low, high in pairs:
        rows, columns = low.shape
        if high.shape != (rows * scale, columns * scale):
            raise CinesrError(
                f"A linear filter was to be fitted to pictures of {low.shape} and {high.shape} "
                f"pixels; expected the second {scale} times as large."
            )
        seen = _neighbourhoods(low, window)
        phases = high.reshape(rows, scale, columns, scale).transpose(0, 2, 1, 3)
        gram += seen.T @ seen
        moments += seen.T @ phases.reshape(-1, scale * scale).astype(np.float64)
    if not gram.any():
        raise CinesrError("A linear filter was to be fitted to no picture; expected at least one.")
    # Degraded pictures lack frequencies, so that many filters are as good: the smallest is taken.
    coefficients = np.linalg.lstsq(gram, moments, rcond=None)[0]
    return LinearFilter(np.asarray(coefficients, np.float64), scale, window)


def _neighbourhoods(low: NDArray[Any], window: int) -> Matrix:
    """The window around each pixel and a one, (pixel, window * window + 1)."""
    padded = np.pad(np.asarray(low, np.float64), window // 2, mode="edge")
    seen = sliding_window_view(padded, (window, window)).reshape(low.size, window * window)
    return np.concatenate([seen, np.ones((low.size, 1))], axis=1)
