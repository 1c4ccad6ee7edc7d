"""Which axis of a NIfTI file runs across the slices.

Scanners write the slices along the third axis. Programs that turn files to a standard orientation
(RAS) put them anywhere; what stays is that slices lie further apart than pixels, and the header's
`dim_info`, whose bits 4 and 5 name the slice axis (https://nifti.nimh.nih.gov/nifti-1).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError
from cinesr.imaging.axes import parsed_axes

AxisOrder: TypeAlias = tuple[int, int, int]
"""The file's axes, counted from 0, that are the column, the row and the slice."""

FILE_ORDER: AxisOrder = (0, 1, 2)
_OF_SLICES: tuple[AxisOrder, ...] = ((1, 2, 0), (0, 2, 1), FILE_ORDER)
_NAMES = ("first", "second", "third")

DISTINCT = 1.5
"""Slices that are so many times as far apart as pixels are told by that."""
BEYOND_DOUBT = 3.0
"""At this, `dim_info` is taken for a leftover from before the file was turned: pixels of an image
that was made coarser lie at most twice as far apart as its slices."""


def axis_order(
    header: Nifti1Header,
    affine: NDArray[np.float64],
    *,
    name: str,
    axes: str | None = None,
    spacing_is_named: bool = False,
) -> tuple[AxisOrder, tuple[str, ...]]:
    """Finds the slice axis; the other two are column and row, in the file's order.

    Args:
        header: Of the file.
        affine: Index along the file's axes to millimetres.
        name: Of the file, for messages.
        axes: The file's axes by letter, such as "zxyt", for a header that does not say.
        spacing_is_named: The user named the in-plane spacing, so that the header tells nothing.

    Returns:
        The order, and what a reader should know about it.

    Raises:
        UnfitImageError: `axes` are needed and make no sense.
    """
    shape = (*header.get_data_shape(), 1)[:3]
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    single = [axis for axis in range(3) if shape[axis] == 1]
    if len(single) == 1:
        return _OF_SLICES[single[0]], _told(single[0], steps)
    if single:
        return FILE_ORDER, ()
    written = header.get_dim_info()[2]
    widest = int(np.argmax(steps))
    lead = float(steps[widest] / np.max(np.delete(steps, widest)))
    if spacing_is_named:
        return _OF_SLICES[2 if written is None else written], ()
    if lead > (DISTINCT if written is None else BEYOND_DOUBT):
        return _OF_SLICES[widest], _told(widest, steps)
    if written is not None:
        return _OF_SLICES[written], _told(written, steps)
    if axes is not None:
        return _named_order(axes, header, name=name), ()
    if widest == 2 and lead > 1.01:
        return FILE_ORDER, ()
    return FILE_ORDER, (
        f"the header does not say which axis runs across the slices (steps of {_steps(steps)} mm): "
        "the third is assumed; name the axes with --axes, such as zxy",
    )


def moved_axes(order: AxisOrder) -> NDArray[np.float64]:
    """The (4, 4) matrix from (column, row, slice) to indices along the file's axes."""
    matrix = np.zeros((4, 4))
    matrix[order, (0, 1, 2)] = 1.0
    matrix[3, 3] = 1.0
    return matrix


def file_shape(order: AxisOrder, columns: int, rows: int, slices: int) -> tuple[int, int, int]:
    """The lengths of the file's first three axes."""
    lengths = dict(zip(order, (columns, rows, slices), strict=True))
    return lengths[0], lengths[1], lengths[2]


def _told(axis: int, steps: NDArray[np.float64]) -> tuple[str, ...]:
    if axis == 2:
        return ()
    return (
        f"the slices lie along the file's {_NAMES[axis]} axis (steps of {_steps(steps)} mm); the "
        "result keeps the file's order of axes",
    )


def _steps(steps: NDArray[np.float64]) -> str:
    return " x ".join(f"{step:.4g}" for step in steps)


def _named_order(axes: str, header: Nifti1Header, *, name: str) -> AxisOrder:
    dimensions = len(header.get_data_shape())
    letters = parsed_axes(axes)
    if set(letters[:3]) != set("xyz") or letters[3:] not in ("", "t") or len(letters) < dimensions:
        raise UnfitImageError(
            f"{name}: the axes were named {axes!r}; expected x, y and z in the order of the file's "
            f"first three axes, then t: a NIfTI file of {dimensions} dimensions has them so.",
            hint="Name them with --axes, such as --axes zxyt.",
        )
    return letters.index("x"), letters.index("y"), letters.index("z")
