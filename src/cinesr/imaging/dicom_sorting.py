"""Sorts the frames of DICOM files into stacks: slices along the normal, phases along time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

import numpy as np

from cinesr.errors import UnfitImageError
from cinesr.imaging.dicom_acquisitions import acquisitions
from cinesr.imaging.dicom_frames import StoredFrame
from cinesr.imaging.dicom_joining import joined
from cinesr.imaging.dicom_kinds import words_of
from cinesr.imaging.dicom_order import Plane, in_order
from cinesr.imaging.dicom_stacks import (
    SAME_GRID,
    SAME_PLANE_MM,
    Stack,
    grid,
    height_mm,
    kind,
    number_of,
    series_of,
)


def sort_frames(frames: list[StoredFrame]) -> list[Stack]:
    """Sorts the frames of any number of series into stacks, in the order of the series.

    Frames are grouped by series, kind (image type, echo, size), grid, plane and acquisition. Planes
    go along the slice normal; the frames of a plane as `dicom_order.in_order` says.

    Args:
        frames: In any order; every one with its spacing.

    Raises:
        UnfitImageError: In every series, frames of one plane lie apart within it.
    """
    stacks: list[Stack] = []
    unfit: list[UnfitImageError] = []
    for series in grouped(frames, series_of):
        try:
            stacks.extend(_stacks_of_series(series))
        except UnfitImageError as error:
            unfit.append(error)
    if unfit and not stacks:
        raise unfit[0]
    notes = tuple(f"A series was left out: {error.message}" for error in unfit)
    stacks = [replace(stack, notes=(*stack.notes, *notes)) for stack in joined(stacks)]
    return sorted(stacks, key=_series_order)


def grouped(
    frames: Iterable[StoredFrame], key: Callable[[StoredFrame], Hashable]
) -> list[list[StoredFrame]]:
    """Frames that are alike, in the order in which each group begins."""
    groups: dict[Hashable, list[StoredFrame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())


def _stacks_of_series(series: list[StoredFrame]) -> list[Stack]:
    stacks = []
    for alike in grouped(series, kind):
        told = _told_apart(alike[0], series)
        grids: list[list[StoredFrame]] = []
        for frame in alike:
            for group in grids:
                if np.abs(grid(group[0]) - grid(frame)).max() < SAME_GRID:
                    group.append(frame)
                    break
            else:
                grids.append([frame])
        for group in grids:
            stacks += [
                replace(stack, notes=(*stack.notes, *told)) for stack in _stacks_of_grid(group)
            ]
    return [replace(stack, notes=(*stack.notes, *_sizes(series))) for stack in stacks]


def _told_apart(frame: StoredFrame, series: list[StoredFrame]) -> tuple[str, ...]:
    """What tells the pictures of this frame's kind from others of its series."""
    others = {each.kind for each in series} - {frame.kind}
    if not others:
        return ()
    own = [
        word
        for at, part in enumerate(frame.kind)
        if any(other[at : at + 1] != (part,) for other in others)
        for word in words_of(part)
    ]
    return (
        f"One series holds {len(others) + 1} kinds of pictures: each is a series of its own, this "
        f"one of {', '.join(dict.fromkeys(own)) or 'those that say nothing of it'}.",
    )


def _sizes(series: list[StoredFrame]) -> tuple[str, ...]:
    sizes = dict.fromkeys(f"{frame.rows_columns[1]}x{frame.rows_columns[0]}" for frame in series)
    if len(sizes) == 1:
        return ()
    return (f"One series holds pictures of {len(sizes)} sizes, {', '.join(sizes)}: each apart.",)


def _stacks_of_grid(frames: list[StoredFrame]) -> list[Stack]:
    notes: tuple[str, ...] = ()
    if frames[0].position_mm is None:
        notes += ("No position or orientation in the files: axial slices at the origin assumed.",)
    stacks: list[Stack] = []
    for acquisition in acquisitions(_planes(frames)):
        planes = [in_order(plane) for plane in acquisition.planes]
        said = (note for plane in planes for note in plane.notes)
        every = tuple(dict.fromkeys([*notes, *acquisition.notes, *said]))
        counts: dict[int, list[Plane]] = defaultdict(list)
        for plane in planes:
            counts[len(plane.frames)].append(plane)
        if len(counts) > 1:
            each = ", ".join(
                f"{len(same)} slices of {n} phases" for n, same in sorted(counts.items())
            )
            every += (f"The slices of one series differ in phases and come apart: {each}.",)
        stacks += [
            Stack([plane.frames for plane in same], [plane.times_ms for plane in same], every)
            for same in counts.values()
        ]
    return stacks


def _planes(frames: list[StoredFrame]) -> list[list[StoredFrame]]:
    planes: list[list[StoredFrame]] = []
    for frame in sorted(frames, key=height_mm):
        if planes and height_mm(frame) - height_mm(planes[-1][0]) < SAME_PLANE_MM:
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


def _series_order(stack: Stack) -> tuple[int, str, tuple[float, ...]]:
    return number_of(stack.first), stack.first.text("SeriesInstanceUID"), _numbers(stack)


def _numbers(stack: Stack) -> tuple[float, ...]:
    return tuple(0.0 if np.isnan(each) else each for each in stack.first.clocks.number)
