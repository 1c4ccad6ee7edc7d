"""Joins the series of a scanner that makes one series of each slice (Siemens does)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

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
from cinesr.imaging.dicom_values import seconds_of


def joined(stacks: list[Stack]) -> list[Stack]:
    """Joins stacks of one slice that are each a series of its own.

    Args:
        stacks: Of any number of series.
    """
    of_series = Counter(series_of(stack.first) for stack in stacks)
    result: list[Stack] = []
    groups: list[list[Stack]] = []
    for stack in stacks:
        alone = of_series[series_of(stack.first)] == 1 and len(stack.planes) == 1
        if not alone or stack.first.position_mm is None:
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
            first.text("PatientID"),
            first.text("StudyInstanceUID"),
            first.text("FrameOfReferenceUID"),
            first.text("SeriesDescription").rstrip("0123456789 _-.#()"),
            len(stack.planes[0]),
            kind(first),
        )

    grids_differ = np.abs(grid(one.first) - grid(other.first)).max() >= SAME_GRID
    return identity(one) == identity(other) and not grids_differ


def _join(group: list[Stack]) -> list[Stack]:
    """One stack of the slices; two, where the slices were all taken twice."""
    if len(group) == 1:
        return group
    planes = _same_planes(group)
    if len(planes) == 1:
        note = "Several series of one slice each lie in the same plane: they were not joined."
        return [replace(stack, notes=(*stack.notes, note)) for stack in group]
    most = max(map(len, planes))
    # How often most of the planes were taken: as many stacks. Above that, a slice was repeated.
    times = max(count for count in range(1, most + 1) if 2 * _with(planes, count) > len(planes))
    left_out = [stack for plane in planes for stack in plane[:-times]]
    stacks = []
    for rank in range(times, 0, -1):
        slices = [plane[-times:][-rank] for plane in planes if len(plane[-times:]) >= rank]
        stacks.append(_stack(slices, left_out))
    if times > 1:
        note = f"The planes were taken {times} times: a stack was made of each, in their order."
        stacks = [replace(stack, notes=(*stack.notes, note)) for stack in stacks]
    return stacks


def _with(planes: list[list[Stack]], count: int) -> int:
    return sum(len(plane) >= count for plane in planes)


def _same_planes(group: list[Stack]) -> list[list[Stack]]:
    """The stacks by their place, from low to high, and those of one place as they were taken."""
    planes: list[list[Stack]] = []
    for stack in sorted(group, key=lambda stack: height_mm(stack.first)):
        if planes and height_mm(stack.first) - height_mm(planes[-1][0].first) < SAME_PLANE_MM:
            planes[-1].append(stack)
        else:
            planes.append([stack])
    return [sorted(plane, key=_taken) for plane in planes]


def _taken(stack: Stack) -> tuple[int, float, str]:
    first = stack.first
    seconds = first.clocks.acquired
    if np.isnan(seconds):
        seconds = seconds_of(f"{first.text('SeriesDate')}{first.text('SeriesTime')}")
    return number_of(first), 0.0 if np.isnan(seconds) else seconds, first.text("SeriesInstanceUID")


def _stack(slices: list[Stack], left_out: list[Stack]) -> Stack:
    if len(slices) == 1:
        return slices[0]
    notes = [*(note for stack in slices for note in stack.notes)]
    notes.append(f"{len(slices)} series of one slice each were joined into one stack.")
    for stack in left_out:
        number = stack.first.text("SeriesNumber") or stack.first.text("SeriesInstanceUID")
        notes.append(
            f"The slice of series {number} was taken again later; the last one is used, this one "
            "is left out."
        )
    return Stack(
        [stack.planes[0] for stack in slices],
        [stack.times_ms[0] for stack in slices],
        tuple(dict.fromkeys(notes)),
    )
