"""Pixels that fill an image up to its rectangle, but are no picture (DICOM PS3.3, C.7.5.1.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

SMALLEST_REGION_PX = 64
"""Fewer pixels of a value that a picture may have as well are taken for picture."""


@dataclass(frozen=True)
class Padding:
    """The values of padding pixels, on the scale of the stored ones.

    Args:
        low: Lowest value.
        high: Highest value; the same where the file names one.
    """

    low: float
    high: float

    def mask(self, frame: NDArray[Any]) -> Mask:
        """Which pixels of a frame are padding.

        No magnitude is negative; but zero is also what a scanner writes where there is no signal,
        so that of zeros and above only large regions at the border count, as warping leaves them.

        Args:
            frame: (row, column), stored values.
        """
        found = np.asarray((frame >= self.low) & (frame <= self.high))
        if self.high < 0 or not found.any():
            return found
        from scipy import ndimage

        regions, _ = ndimage.label(found)
        border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
        sizes = np.bincount(regions.ravel())
        counts = np.zeros(len(sizes), dtype=bool)
        counts[np.unique(border)] = True
        counts &= sizes >= SMALLEST_REGION_PX
        counts[0] = False
        return np.asarray(counts[regions])


def without_padding(frame: NDArray[Any], padding: Padding | None) -> NDArray[Any]:
    """The pixels of a frame that are picture: the frame itself where none is padding.

    Args:
        frame: (row, column), stored values.
        padding: None where the file names none.
    """
    if padding is None:
        return frame
    mask = padding.mask(frame)
    return frame[~mask] if mask.any() else frame


def filled(frame: NDArray[Any], padding: Padding | None, *, empty: float = 0) -> NDArray[Any]:
    """A frame with padding replaced by the nearest picture, so that no filter sees an edge there.

    Args:
        frame: (row, column), stored values.
        padding: None where the file names none.
        empty: What a frame of nothing but padding becomes.
    """
    if padding is None:
        return frame
    mask = padding.mask(frame)
    if not mask.any():
        return frame
    if mask.all():
        return np.full_like(frame, empty)
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    return np.asarray(frame[tuple(nearest)])


def put_back(
    result: NDArray[Any],
    frame: NDArray[Any],
    padding: Padding | None,
    *,
    ratios: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """A result with the padding of its source, in each pixel whose centre lies in it.

    Args:
        result: (row, column), with its middle where the frame has it, stored values.
        frame: The source.
        padding: None where the file names none.
        ratios: Height and width of a pixel in those of the source; where not given, both show the
            same field of view.
    """
    if padding is None:
        return result
    mask = padding.mask(frame)
    if not mask.any():
        return result
    rows, columns = (
        _sources(new, size, ratios[axis] if ratios else size / new)
        for axis, (new, size) in enumerate(zip(result.shape, frame.shape, strict=True))
    )
    at = np.ix_(rows, columns)
    return np.where(mask[at], frame[at].astype(result.dtype), result)


def _sources(new_size: int, size: int, ratio: float) -> NDArray[np.intp]:
    """In which old pixel along an axis the centre of each new one lies."""
    centres = size / 2 + (np.arange(new_size) + 0.5 - new_size / 2) * ratio
    return np.clip(centres.astype(np.intp), 0, size - 1)


def shrunk_back(result: NDArray[Any], frame: NDArray[Any], padding: Padding | None) -> NDArray[Any]:
    """A smaller result with the padding of its source, where half of a pixel or more was padding.

    Args:
        result: (row, column), a whole number of times fewer pixels than the frame, stored values.
        frame: The source.
        padding: None where the file names none.
    """
    if padding is None:
        return result
    mask = padding.mask(frame)
    if not mask.any():
        return result
    rows, columns = result.shape
    scale = frame.shape[0] // rows
    share = mask.reshape(rows, scale, columns, scale).mean(axis=(1, 3))
    value = frame[mask].min()
    return np.where(share >= 0.5, value, result).astype(result.dtype)
