"""Which axis of an array is time, slice, row and column, where its file does not say.

Axes are named by letters in the array's order, as ImageJ and OME do: t for time, z for slices, y
for rows, x for columns.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError

CINE_AXES = "tzyx"
"""The order of a cine's frames."""
_USUAL = {2: "yx", 3: "tyx", 4: CINE_AXES}


def parsed_axes(axes: str) -> str:
    """Axes as a user names them, checked.

    Args:
        axes: Two to four of the letters t, z, y, x; both y and x are needed.

    Raises:
        UnfitImageError: Other letters, one twice, or no y or x.
    """
    letters = axes.lower() if isinstance(axes, str) else ""
    if len(set(letters)) < len(letters) or not {"y", "x"} <= set(letters) <= set(CINE_AXES):
        raise UnfitImageError(
            f"The axes were named {axes!r}; expected the letters t (time), z (slice), y (row) and "
            "x (column) in the array's order, each at most once, y and x always.",
            hint='Name them so: --axes tzyx in the shell, axes="tzyx" in Python.',
        )
    return letters


def axes_of(shape: tuple[int, ...], *, name: str, axes: str | None = None) -> str:
    """The axes of an array by letter: as named, or as is usual where that is beyond doubt.

    Args:
        shape: Of the array.
        name: Of its file, for messages.
        axes: As named by the user; where not given, the usual (row, column), (time, row, column) or
            (time, slice, row, column), if the last two axes look like the picture.

    Raises:
        UnfitImageError: The array has no two to four axes, or the names do not fit them, or none
            were given and the picture seems to lie along other axes than the last two.
    """
    if len(shape) not in _USUAL or 0 in shape:
        raise UnfitImageError(
            f"{name}: an array of shape {shape}; expected (row, column), (time, row, column) or "
            "(time, slice, row, column).",
            hint="Reshape the array and save it again.",
        )
    if axes is not None:
        letters = parsed_axes(axes)
        if len(letters) == len(shape):
            return letters
        raise UnfitImageError(
            f"{name}: an array of shape {shape}, and {len(letters)} axes were named "
            f"({letters}); expected one letter for each of its {len(shape)} axes.",
            hint="Name them with --axes, such as --axes " + _USUAL[len(shape)] + ".",
        )
    shorter_sides = [min(pair) for pair in pairwise(shape)]
    if max(shorter_sides) > shorter_sides[-1]:
        start = shorter_sides.index(max(shorter_sides))
        rest = iter("zt" if len(shape) == 4 else "t")
        place = {start: "y", start + 1: "x"}
        guess = "".join(place.get(axis) or next(rest) for axis in range(len(shape)))
        raise UnfitImageError(
            f"{name}: an array of shape {shape}, whose axes have no names; "
            f"({', '.join(_WORDS[letter] for letter in _USUAL[len(shape)])}) is usual, but the "
            "last two do not look like the picture.",
            hint=f'Name the axes: --axes {guess} in the shell, axes="{guess}" in Python, if that '
            "is their order; or save the array in the usual order.",
        )
    return _USUAL[len(shape)]


_WORDS = {"t": "time", "z": "slice", "y": "row", "x": "column"}


def arranged(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """The same values as (time, slice, row, column), without a copy.

    Args:
        array: As many axes as letters.
        axes: As `axes_of` gives them.
    """
    present = [letter for letter in CINE_AXES if letter in axes]
    ordered = array.transpose([axes.index(letter) for letter in present])
    lengths = dict(zip(present, ordered.shape, strict=True))
    return ordered.reshape([lengths.get(letter, 1) for letter in CINE_AXES])


def in_order(frames: NDArray[Any], axes: str) -> NDArray[Any]:
    """Takes `arranged` back: (time, slice, row, column) in the order that `axes` names.

    Args:
        frames: Four axes; those that `axes` does not name have length one.
        axes: As `axes_of` gives them.
    """
    present = [letter for letter in CINE_AXES if letter in axes]
    lengths = dict(zip(CINE_AXES, frames.shape, strict=True))
    return frames.reshape([lengths[letter] for letter in present]).transpose(
        [present.index(letter) for letter in axes]
    )


def require_grey(dtype: np.dtype[Any], *, name: str) -> None:
    """Refuses values that are no grey picture.

    Args:
        dtype: Of the array.
        name: Of its file, for the message.

    Raises:
        UnfitImageError: Neither whole numbers nor floats of up to 64 bits.
    """
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnfitImageError(
            f"{name}: an array of {dtype}; expected whole numbers or floats.",
            hint="Save grey values, for example with numpy.save(file, image.astype('float32')).",
        )
