"""Stacks of slices: the frames of one cine, what they share, where and when they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.imaging.dicom_frames import StoredFrame
from cinesr.imaging.geometry import Geometry

SAME_PLANE_MM = 0.05
"""Positions are written with few decimals: frames this close lie in one plane."""

SAME_GRID = 1e-4
"""Direction cosines and spacings this close are equal."""

SAME_ECHO_MS = 0.1
"""Echoes of one sequence are half a millisecond apart or more."""

HOLE_TOLERANCE = 0.1
"""Steps between slices this close to a whole multiple of their distance, relatively, are gaps."""

AXIAL = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Stack:
    """The sorted frames of one cine.

    Args:
        planes: [slice][time]; as many phases in every slice.
        times_ms: [slice]; of each phase after the first; NaN where the files do not say.
        notes: What was joined or assumed.
    """

    planes: list[list[StoredFrame]]
    times_ms: list[NDArray[np.float64]]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> StoredFrame:
        """The first phase of the lowest slice."""
        return self.planes[0][0]


def series_of(frame: StoredFrame) -> tuple[str, ...]:
    """What frames of one series share.

    SeriesInstanceUID alone does not say it: anonymisers take it away, or give one to all.
    """
    keywords = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber")
    return (*map(frame.text, keywords), frame.text("SeriesDescription"))


def kind(frame: StoredFrame) -> tuple[Any, ...]:
    """What tells apart images of one place: magnitude from phase, size, and the stored type."""
    return (
        *frame.kind,
        frame.rows_columns,
        frame.file.dtype.str,
        frame.position_mm is None,
    )


def grid(frame: StoredFrame) -> NDArray[np.float64]:
    """Orientation, spacing and echo time; those of one grid differ by less than `SAME_GRID`."""
    orientation = AXIAL if frame.orientation is None else frame.orientation
    echo = frame.echo_ms * SAME_GRID / SAME_ECHO_MS
    return np.concatenate([orientation, np.asarray(frame.spacing_mm), [echo]])


def height_mm(frame: StoredFrame) -> float:
    """How far along the normal of the slices a frame lies."""
    if frame.position_mm is None or frame.orientation is None:
        return frame.slice_location_mm
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return float(normal @ frame.position_mm)


def number_of(frame: StoredFrame) -> int:
    """SeriesNumber, 0 where missing."""
    number = frame.text("SeriesNumber")
    return int(number) if number.isdecimal() else 0


def geometry_of(stack: Stack) -> Geometry:
    """Where the voxels of a stack lie; not known where the files hold no position."""
    firsts = [plane[0] for plane in stack.planes]
    first = stack.first
    row_mm, column_mm = first.spacing_mm or (1.0, 1.0)
    orientation = AXIAL if first.orientation is None else first.orientation
    row = orientation[:3] / np.linalg.norm(orientation[:3])
    column = orientation[3:] / np.linalg.norm(orientation[3:])
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    positions = np.array(
        [
            np.array([0.0, 0.0, height_mm(frame)])
            if frame.position_mm is None
            else frame.position_mm
            for frame in firsts
        ]
    )
    step, direction = first.slice_step_mm, normal
    if len(firsts) > 1:
        way = positions[-1] - positions[0]
        direction = way / np.linalg.norm(way)
        steps = np.diff(positions @ direction)
        # The mean fits positions of few decimals best; a gap in the stack would distort it.
        is_even = np.ptp(steps) < 0.01 * np.median(steps)
        step = float(np.mean(steps)) if is_even else _common_step(steps, step)
    directions = np.stack([row, column, direction], axis=1)
    return Geometry(directions, (column_mm, row_mm, step), positions)


def _common_step(steps: NDArray[np.float64], told: float) -> float:
    """The distance of which all steps are whole multiples: slices are missing between some.

    Args:
        steps: Between neighbouring slices, in millimetres; not all equal.
        told: SpacingBetweenSlices or the slice thickness, for stacks where every step is a gap.
    """
    for step in (float(steps.min()), told):
        times = np.maximum(np.rint(steps / step), 1)
        if (np.abs(steps - times * step) < HOLE_TOLERANCE * step).all():
            return float(steps.sum() / times.sum())
    return float(np.median(steps))


def holes_in(geometry: Geometry) -> tuple[str, ...]:
    """Says where slices are missing in a stack."""
    step = geometry.spacing_mm[2]
    heights = (geometry.positions_mm - geometry.positions_mm[0]) @ geometry.directions[:, 2]
    found = []
    for below, distance in enumerate(np.diff(heights)):
        missing = round(float(distance) / step) - 1
        if missing > 0 and abs(distance - (missing + 1) * step) < HOLE_TOLERANCE * step:
            where = (
                f"between slices {below} and {below + 1} (counted from 0), {distance:.4g} mm apart"
            )
            found.append(
                f"{missing} {'slice is' if missing == 1 else 'slices are'} missing {where}"
            )
    if not found:
        return ()
    return (f"The stack has a hole: {'; '.join(found)}. Slices are {step:.4g} mm apart.",)


def times_ms_of(stack: Stack) -> NDArray[np.float64]:
    """When each phase was taken, after the first; NaN where the files do not say."""
    times = np.array(stack.times_ms)
    if times.shape[1] == 1:
        return np.zeros(1)
    known = times[~np.isnan(times).any(axis=1) & times.any(axis=1)]
    if not len(known):
        # One slice that knows some of its times is better than none.
        known = times[[int(np.isnan(times).sum(axis=1).argmin())]]
        return np.full(times.shape[1], np.nan) if not np.nan_to_num(known).any() else known[0]
    # Slices are taken in other breath-holds, at other heart rates.
    return np.asarray(np.median(known, axis=0))
