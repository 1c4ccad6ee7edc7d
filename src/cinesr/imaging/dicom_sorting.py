"""Sorts the frames of DICOM files into stacks: slices along the normal, phases along time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError
from cinesr.imaging.dicom_frames import StoredFrame
from cinesr.imaging.geometry import Geometry

SAME_PLANE_MM = 0.05
"""Positions are written with few decimals: frames this close lie in one plane."""

SAME_GRID = 1e-4
"""Direction cosines and spacings this close are equal."""

AXIAL = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Stack:
    """The sorted frames of one cine.

    Args:
        planes: [slice][time]; as many phases in every slice.
        notes: What was joined or assumed.
    """

    planes: list[list[StoredFrame]]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> StoredFrame:
        """The first phase of the lowest slice."""
        return self.planes[0][0]


def sort_frames(frames: list[StoredFrame]) -> list[Stack]:
    """Sorts the frames of any number of series into stacks, in the order of the series.

    Frames are grouped by series, grid and plane. Planes go along the slice normal; the frames of a
    plane by trigger time, then temporal position, then instance number.

    Args:
        frames: In any order; every one with its spacing.

    Raises:
        UnfitImageError: One series holds images of several sizes, or a plane several positions.
    """
    stacks: list[Stack] = []
    for series in _grouped(frames, lambda frame: frame.text("SeriesInstanceUID")):
        _require_one_size(series)
        stacks.extend(_stacks_of_series(series))
    return sorted(_joined(stacks), key=lambda stack: _series_order(stack.first))


def _grouped(
    frames: Iterable[StoredFrame], key: Callable[[StoredFrame], Hashable]
) -> list[list[StoredFrame]]:
    groups: dict[Hashable, list[StoredFrame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())


def _require_one_size(series: list[StoredFrame]) -> None:
    for frame in series:
        if frame.rows_columns != series[0].rows_columns:
            sizes = ["x".join(map(str, each.rows_columns)) for each in (series[0], frame)]
            raise UnfitImageError(
                f"{series[0].file.path} is {sizes[0]} pixels and {frame.file.path} is {sizes[1]}, "
                "in one series; expected one size (rows x columns).",
                hint="Move the files of each size to a folder of their own.",
            )


def _kind(frame: StoredFrame) -> tuple[Any, ...]:
    """What tells apart images of one place: magnitude from phase, and the stored type."""
    kinds = frame.file.header.get("ImageType") or ()
    return (*list(kinds)[2:], frame.file.dtype.str, frame.position_mm is None)


def _grid(frame: StoredFrame) -> NDArray[np.float64]:
    orientation = AXIAL if frame.orientation is None else frame.orientation
    return np.concatenate([orientation, np.asarray(frame.spacing_mm)])


def _stacks_of_series(series: list[StoredFrame]) -> list[Stack]:
    stacks = []
    for alike in _grouped(series, _kind):
        grids: list[list[StoredFrame]] = []
        for frame in alike:
            for group in grids:
                if np.abs(_grid(group[0]) - _grid(frame)).max() < SAME_GRID:
                    group.append(frame)
                    break
            else:
                grids.append([frame])
        for group in grids:
            stacks.extend(_stacks_of_grid(group))
    return stacks


def _stacks_of_grid(frames: list[StoredFrame]) -> list[Stack]:
    planes = [_by_time(plane) for plane in _planes(frames)]
    notes: tuple[str, ...] = ()
    if frames[0].position_mm is None:
        notes += ("No position or orientation in the files: axial slices at the origin assumed.",)
    if any(_has_ties(plane) for plane in planes):
        notes += ("Several frames of a plane share a trigger time: sorted by instance number.",)
    counts: dict[int, list[list[StoredFrame]]] = defaultdict(list)
    for plane in planes:
        counts[len(plane)].append(plane)
    if len(counts) > 1:
        each = ", ".join(f"{len(same)} slices of {n} phases" for n, same in sorted(counts.items()))
        notes += (f"The slices of one series differ in phases and come apart: {each}.",)
    return [Stack(same, notes) for same in counts.values()]


def _height_mm(frame: StoredFrame) -> float:
    """How far along the normal of the slices a frame lies."""
    if frame.position_mm is None or frame.orientation is None:
        return frame.slice_location_mm
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return float(normal @ frame.position_mm)


def _planes(frames: list[StoredFrame]) -> list[list[StoredFrame]]:
    planes: list[list[StoredFrame]] = []
    for frame in sorted(frames, key=_height_mm):
        if planes and _height_mm(frame) - _height_mm(planes[-1][0]) < SAME_PLANE_MM:
            planes[-1].append(frame)
        else:
            planes.append([frame])
    for plane in planes:
        for frame in plane:
            if frame.position_mm is None or plane[0].position_mm is None:
                continue
            apart = float(np.abs(frame.position_mm - plane[0].position_mm).max())
            if apart > SAME_PLANE_MM:
                raise UnfitImageError(
                    f"{frame.file.path} and {plane[0].file.path} lie in one plane of one series, "
                    f"but {apart:.2f} mm apart within it; expected one position for all phases.",
                    hint="Move them to folders of their own.",
                )
    return planes


def _by_time(plane: list[StoredFrame]) -> list[StoredFrame]:
    has_times = not any(np.isnan(frame.trigger_ms) for frame in plane)
    return sorted(
        plane,
        key=lambda frame: (
            frame.trigger_ms if has_times else 0.0,
            *frame.order,
            frame.file.path.name,
        ),
    )


def _has_ties(plane: list[StoredFrame]) -> bool:
    times = [frame.trigger_ms for frame in plane]
    return not np.isnan(times).any() and 1 < len(set(times)) < len(times)


def _joined(stacks: list[Stack]) -> list[Stack]:
    """Joins the series of a scanner that makes one series of each slice (Siemens does)."""
    of_series: dict[str, int] = defaultdict(int)
    for stack in stacks:
        of_series[stack.first.text("SeriesInstanceUID")] += 1
    result: list[Stack] = []
    groups: list[list[Stack]] = []
    for stack in stacks:
        first = stack.first
        alone = of_series[first.text("SeriesInstanceUID")] == 1 and len(stack.planes) == 1
        if not alone or first.position_mm is None:
            result.append(stack)
            continue
        for group in groups:
            if _belong_together(group[0], stack):
                group.append(stack)
                break
        else:
            groups.append([stack])
    for group in groups:
        result.extend(_join(group))
    return result


def _belong_together(one: Stack, other: Stack) -> bool:
    def identity(stack: Stack) -> tuple[Any, ...]:
        first = stack.first
        return (
            first.text("StudyInstanceUID"),
            first.text("FrameOfReferenceUID"),
            first.text("SeriesDescription").rstrip("0123456789 _-.#()"),
            first.rows_columns,
            len(stack.planes[0]),
            _kind(first),
        )

    grids_differ = np.abs(_grid(one.first) - _grid(other.first)).max() >= SAME_GRID
    return identity(one) == identity(other) and not grids_differ


def _join(group: list[Stack]) -> list[Stack]:
    group = sorted(group, key=lambda stack: _height_mm(stack.first))
    heights = np.array([_height_mm(stack.first) for stack in group])
    if len(group) == 1:
        return group
    if np.diff(heights).min() < SAME_PLANE_MM:
        note = "Several series of one slice each lie in the same plane: they were not joined."
        return [replace(stack, notes=(*stack.notes, note)) for stack in group]
    note = f"{len(group)} series of one slice each were joined into one stack."
    notes = dict.fromkeys([*(each for stack in group for each in stack.notes), note])
    return [Stack([stack.planes[0] for stack in group], tuple(notes))]


def _series_order(frame: StoredFrame) -> tuple[int, str, float]:
    number = frame.text("SeriesNumber")
    return int(number) if number.isdecimal() else 0, frame.text("SeriesInstanceUID"), frame.order[1]


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
            np.array([0.0, 0.0, _height_mm(frame)])
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
        step = float(np.mean(steps) if is_even else np.median(steps))
    directions = np.stack([row, column, direction], axis=1)
    return Geometry(directions, (column_mm, row_mm, step), positions)


def times_ms_of(stack: Stack) -> NDArray[np.float64]:
    """When each phase was taken, after the first; NaN where the files do not say."""
    times = np.array([[frame.trigger_ms for frame in plane] for plane in stack.planes])
    relative = times - times[:, :1]
    if times.shape[1] == 1:
        return np.zeros(1)
    if np.isnan(relative).any() or not relative.any():
        return np.full(times.shape[1], np.nan)
    # Slices are taken in other breath-holds, at other heart rates.
    return np.asarray(np.median(relative, axis=0))
