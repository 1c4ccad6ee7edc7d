"""Whether an image is a label map: numbers of structures, drawn by people or networks.

Between label 1 and label 3 there is no grey: what a network makes of them is no label of anything.
"""

from __future__ import annotations

import re

import numpy as np

from cinesr.imaging.cine import Cine

MOST_LABELS = 8
HIGHEST_LABEL = 15
"""Of a file whose name says nothing; or 0 and 255, a mask. A picture has dozens of grey values."""
_MASK = (0.0, 255.0)
MOST_NAMED_LABELS = 32
"""Of a file whose name is that of a label map."""
EVEN_SHARE = 0.8
"""Of neighbouring pixels in a row, so many are equal at least: structures are even inside."""

_HINTS = re.compile(
    r"(?<![a-z])(gt|segs?|segmentations?|masks?|labels?|labelmap|annotations?|contours?)(?![a-z])"
)
"""Names alone decide nothing: in super-resolution, "gt" may well be a picture."""


def labels_of(cine: Cine) -> tuple[float, ...]:
    """The labels of a label map; empty for a picture.

    A label map has few values, all of them whole numbers, and even areas in a frame. One frame is
    read of most pictures, and all frames of a label map.

    Args:
        cine: As opened.
    """
    is_named = _HINTS.search(cine.name.lower()) is not None
    most = MOST_NAMED_LABELS if is_named else MOST_LABELS
    found: set[float] = set()
    equal = pairs = most_in_a_frame = 0
    for time, slice_index in np.ndindex(cine.shape[:2]):
        frame = cine.frame(time, slice_index)
        values = np.unique(frame)
        if len(values) > most or not _are_whole(values):
            return ()
        most_in_a_frame = max(most_in_a_frame, len(values))
        found.update(float(value) for value in values)
        if len(found) > most:
            return ()
        equal += int(np.count_nonzero(frame[:, 1:] == frame[:, :-1]))
        pairs += frame[:, 1:].size
    labels = tuple(sorted(found))
    if not is_named and labels != _MASK and not 0 <= labels[0] <= labels[-1] <= HIGHEST_LABEL:
        return ()
    if most_in_a_frame < 2 or equal < EVEN_SHARE * pairs:
        return ()
    return labels


def _are_whole(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bool:
    if values.dtype.kind in "iu":
        return True
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())
