"""Two cines in one patient space: their axes brought into one order, and the part that both cover.

Nothing is resampled: axes are exchanged and reversed, and voxels taken where the grids coincide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.geometry import Geometry

LARGEST_TILT = 0.02
"""Sine of the angle between axes that still count as the same."""


def turned(cine: Cine, target: Geometry) -> Cine | None:
    """The same voxels with their axes in the order and direction of another grid.

    Args:
        cine: What to turn.
        target: The other grid.

    Returns:
        The cine itself where its axes run so already; None where they run in directions of their
        own, or where slices that are not evenly spaced would become rows or columns.
    """
    own = cine.geometry
    relative = np.linalg.inv(target.directions) @ own.directions
    signs = np.rint(relative)
    is_exchange = (
        np.abs(signs).sum(axis=0).tolist() == np.abs(signs).sum(axis=1).tolist() == [1] * 3
    )
    if not is_exchange or np.abs(relative - signs).max() > LARGEST_TILT:
        return None
    source = [int(np.argmax(np.abs(row))) for row in signs]
    reversed_axes = [axis for axis in range(3) if signs[axis, source[axis]] < 0]
    if source == [0, 1, 2] and not reversed_axes:
        return cine
    if source[2] != 2 and not own.is_evenly_spaced:
        return None
    # Of the frames' axes (time, slice, row, column), that of (column, row, slice)[n] is 3 - n.
    frames = np.asarray(cine.frames).transpose(0, *(3 - source[axis] for axis in (2, 1, 0)))
    frames = np.flip(frames, tuple(3 - axis for axis in reversed_axes))
    return replace(cine, frames=frames, geometry=_turned_geometry(cine, source, reversed_axes))


def _turned_geometry(cine: Cine, source: list[int], reversed_axes: list[int]) -> Geometry:
    own = cine.geometry
    flips = np.where(np.isin(np.arange(3), reversed_axes), -1.0, 1.0)
    steps = own.directions * np.asarray(own.spacing_mm)
    lengths = cine.shape[:0:-1]
    start = np.zeros(3)
    for axis in reversed_axes:
        if source[axis] != 2:
            start += steps[:, source[axis]] * (lengths[source[axis]] - 1)
    if source[2] == 2:
        positions = own.positions_mm[::-1] if 2 in reversed_axes else own.positions_mm
    else:
        if any(source[axis] == 2 for axis in reversed_axes):
            start += steps[:, 2] * (lengths[2] - 1)
        along = steps[:, source[2]] * flips[2]
        count = np.arange(lengths[source[2]])[:, None]
        positions = own.positions_mm[0] + count * along
    column_mm, row_mm, slice_mm = (own.spacing_mm[axis] for axis in source)
    return replace(
        own,
        directions=own.directions[:, source] * flips,
        spacing_mm=(column_mm, row_mm, slice_mm),
        positions_mm=positions + start,
    )


@dataclass(frozen=True)
class Overlap:
    """The part that two grids share.

    Args:
        slices: (reference, candidate) indices of each slice that both have.
        rows: First row of both and how many.
        columns: First column of both and how many.
    """

    slices: tuple[tuple[int, int], ...]
    rows: tuple[int, int, int]
    columns: tuple[int, int, int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to compare."""
        return not self.slices or self.rows[2] <= 0 or self.columns[2] <= 0


def same_steps(reference: Cine, candidate: Cine, tolerance_px: float) -> bool:
    """Whether pixels of both are of one size and direction, to within a drift over the image."""
    ours, theirs = (
        cine.geometry.directions[:, :2] * np.asarray(cine.geometry.spacing_mm[:2])
        for cine in (reference, candidate)
    )
    pixels = np.maximum(reference.shape[:1:-1], candidate.shape[:1:-1])
    drift = np.linalg.norm((ours - theirs) * pixels, axis=0)
    return bool(drift.max() <= tolerance_px * min(reference.geometry.spacing_mm[:2]))


def offsets_px(reference: Cine, candidate: Cine) -> NDArray[np.float64]:
    """From every reference slice to every candidate slice: (reference, candidate, 3).

    Columns and rows in reference pixels, and the distance of the planes likewise.
    """
    ours = reference.geometry
    apart = candidate.geometry.positions_mm[None] - ours.positions_mm[:, None]
    along = apart @ np.linalg.inv(ours.directions).T
    column_mm, row_mm, _ = ours.spacing_mm
    return np.asarray(along / [column_mm, row_mm, min(column_mm, row_mm)])


def overlap(reference: Cine, candidate: Cine, tolerance_px: float) -> Overlap | None:
    """The voxels that both have, on grids of the same steps.

    Args:
        reference: One of them.
        candidate: The other, its axes as the reference's.
        tolerance_px: How far a voxel may lie from its fellow.

    Returns:
        None where pixels of one lie between those of the other.
    """
    apart = offsets_px(reference, candidate)
    pairs = [
        (int(ours), int(theirs))
        for ours, theirs in np.argwhere(np.abs(apart[..., 2]) <= tolerance_px)
    ]
    shifts = np.array([apart[pair][:2] for pair in pairs]).reshape(-1, 2)
    whole = np.rint(shifts[:1])
    if np.abs(shifts - whole).max(initial=0) > tolerance_px:
        return None
    column, row = (int(shift) for shift in whole[0]) if pairs else (0, 0)
    return Overlap(
        tuple(pairs),
        _shared(row, reference.shape[2], candidate.shape[2]),
        _shared(column, reference.shape[3], candidate.shape[3]),
    )


def _shared(shift: int, ours: int, theirs: int) -> tuple[int, int, int]:
    """First index in both and how many, where the other begins `shift` after the first."""
    first = max(shift, 0)
    return first, first - shift, min(ours, theirs + shift) - first


def part(cine: Cine, slices: list[int], rows: slice, columns: slice) -> Cine:
    """Some slices, rows and columns of a cine, read when they are asked for."""
    geometry = cine.geometry
    step = geometry.directions * np.asarray(geometry.spacing_mm)
    first = step[:, 0] * (columns.start or 0) + step[:, 1] * (rows.start or 0)

    def read(time: int, index: int) -> NDArray[np.generic]:
        return cine.frame(time, slices[index])[rows, columns]

    size = len(range(*rows.indices(cine.shape[2]))), len(range(*columns.indices(cine.shape[3])))
    return replace(
        cine,
        frames=LazyFrames((cine.shape[0], len(slices), *size), cine.dtype, read),
        geometry=replace(geometry, positions_mm=geometry.positions_mm[slices] + first),
    )
