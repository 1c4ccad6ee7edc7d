"""Tells apart the acquisitions of one plane: a slice taken twice is not one cine of both."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cinesr.errors import UnreadableFileError
from cinesr.imaging.dicom_frames import StoredFrame, read_pixels
from cinesr.imaging.dicom_order import (
    ACQUIRED,
    ACQUISITION,
    CONTENT,
    NUMBER,
    PAUSE_S,
    TEMPORAL,
    beats_of,
    by_clock,
    is_even,
    natural_name,
    starts_anew,
    tells_apart,
    triggers_of,
)

Frames = list[StoredFrame]

FEWEST = 4
"""Two acquisitions of two phases: with fewer nothing tells an acquisition from a phase."""


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Planes that were taken together.

    Args:
        planes: The frames of each, in no order.
        notes: How they were told from those of other acquisitions.
    """

    planes: list[Frames]
    notes: tuple[str, ...] = ()


def acquisitions(planes: Sequence[Frames]) -> list[Acquisition]:
    """Parts the frames of a series that lie in the same planes, the earlier acquisition first.

    Args:
        planes: The frames of each plane, of one kind and grid.
    """
    copies = 0
    parts: list[list[Frames]] = []
    reasons: dict[str, None] = {}
    for plane in planes:
        apart, reason = _apart(plane)
        different = _without_copies(apart) if reason else apart
        copies += sum(map(len, apart)) - sum(map(len, different))
        parts.append(different)
        if len(different) > 1:
            reasons[reason] = None
    notes: tuple[str, ...] = ()
    if copies:
        notes += (f"{copies} frames left out that are copies of others, pixel for pixel.",)
    most = max(map(len, parts))
    if most == 1:
        return [Acquisition([plane for (plane,) in parts], notes)]
    notes += (
        f"{most} acquisitions of the same planes, told apart by {' and '.join(reasons)}: each is "
        "a series of its own.",
    )
    # A slice that was taken anew belongs with the others by its last time.
    ranks = [[each[-rank] for each in parts if len(each) >= rank] for rank in range(most, 0, -1)]
    shared = _shared_numbers(parts)
    return [Acquisition(planes, notes) for planes in shared or ranks]


def _shared_numbers(parts: Sequence[list[Frames]]) -> list[list[Frames]]:
    """The parts by their acquisition number, where the planes share these numbers."""
    by_number: dict[float, list[Frames]] = defaultdict(list)
    for plane in parts:
        for part in plane:
            numbers = {frame.clocks.acquisition for frame in part}
            by_number[min(numbers) if len(numbers) == 1 else float("nan")].append(part)
    is_shared = len(by_number) == max(map(len, parts)) and not any(map(np.isnan, by_number))
    return [by_number[number] for number in sorted(by_number)] if is_shared else []


def _apart(plane: Frames) -> tuple[list[Frames], str]:
    """The acquisitions of one plane in their order, and by what they were told apart."""
    if len(plane) < FEWEST:
        return [plane], ""
    for way in (_by_number, _by_pause, _by_repeats, _by_beats):
        parts, reason = way(plane)
        if len(parts) > 1:
            return parts, reason
    return [plane], ""


def _by_number(plane: Frames) -> tuple[list[Frames], str]:
    if any(ACQUISITION.value(frame) is None for frame in plane):
        return [], ""
    groups = _grouped(plane, [frame.clocks.acquisition for frame in plane])
    ordered = [groups[number] for number in sorted(groups)]
    is_one_scan = not np.isnan(triggers_of(plane)).any() and _goes_on(plane)
    is_repeat = min(map(len, ordered)) > 1 and _overlap(ordered) and not is_one_scan
    return (ordered if is_repeat else []), "AcquisitionNumber"


def _by_pause(plane: Frames) -> tuple[list[Frames], str]:
    if any(ACQUIRED.value(frame) is None for frame in plane):
        return [], ""
    ordered = by_clock(ACQUIRED, plane)
    seconds = np.array([frame.clocks.acquired for frame in ordered])
    cuts = [0, *(np.flatnonzero(np.diff(seconds) > PAUSE_S) + 1), len(ordered)]
    parts = [ordered[a:b] for a, b in pairwise(cuts)]
    is_repeat = len(parts) > 1 and min(map(len, parts)) > 1 and _overlap(parts)
    if np.isnan(triggers_of(plane)).any():
        is_repeat = is_repeat and len({len(part) for part in parts}) == 1
    return (parts if is_repeat else []), "AcquisitionTime"


def _by_repeats(plane: Frames) -> tuple[list[Frames], str]:
    """Every time, or number, occurs as often as every other one."""
    named = {
        "repeated trigger times": [frame.trigger_ms for frame in plane],
        "repeated temporal positions": [TEMPORAL.value(frame) for frame in plane],
        "repeated instance numbers": [NUMBER.value(frame) for frame in plane],
    }
    for reason, values in named.items():
        if None in values or (np.isnan(np.asarray(values, dtype=np.float64)).any()):
            continue
        times = set(Counter(values).values())
        if len(set(values)) == 1 or len(times) != 1:
            continue
        if (times == {1} and is_even(np.sort(triggers_of(plane)))) or _goes_on(plane):
            return [], ""
        if times == {1}:
            continue
        groups = _grouped(sorted(plane, key=_likely_order), values_of=values, frames=plane)
        return [list(part) for part in zip(*groups.values(), strict=True)], reason
    return [], ""


def _by_beats(plane: Frames) -> tuple[list[Frames], str]:
    """Trigger times start anew and nothing says that the frames follow each other without pause."""
    if np.isnan(triggers_of(plane)).any() or _goes_on(plane):
        return [], ""
    if not tells_apart(NUMBER, plane):
        return [], ""
    ordered = by_clock(NUMBER, plane)
    if not starts_anew(ordered, interleaved=True):
        return [], ""
    beats = beats_of(triggers_of(ordered))
    parts = [ordered[beat] for beat in beats]
    numbers = np.array([frame.clocks.number[-1] for frame in ordered])
    jumps = [numbers[beat.start] - numbers[beat.start - 1] for beat in beats[1:]]
    within = [step for beat in beats for step in np.diff(numbers[beat])]
    is_jump = bool(within) and min(jumps) > max(within)
    # The beats of a real-time scan differ in length; those of a retrospective one do not.
    is_repeat = is_jump or len({len(part) for part in parts}) == 1
    return (parts if is_repeat else []), "trigger times that start anew, which is a guess"


def _grouped(
    ordered: Sequence[StoredFrame],
    values_of: Sequence[Any],
    frames: Sequence[StoredFrame] | None = None,
) -> dict[Any, Frames]:
    of_frame = dict(zip(map(id, frames or ordered), values_of, strict=True))
    groups: dict[Any, Frames] = defaultdict(list)
    for frame in ordered:
        groups[of_frame[id(frame)]].append(frame)
    return groups


def _likely_order(frame: StoredFrame) -> tuple[Hashable, ...]:
    known = [clock.value(frame) for clock in (ACQUIRED, ACQUISITION, NUMBER, CONTENT)]
    return (
        *((value is None, () if value is None else tuple(np.atleast_1d(value))) for value in known),
        natural_name(frame),
    )


def _overlap(parts: Sequence[Frames]) -> bool:
    """Whether the parts cover the same time of the heart beat, as far as it is known."""
    times = [triggers_of(part) for part in parts]
    if any(np.isnan(each).any() for each in times):
        return True
    spans = sorted((float(each.min()), float(each.max())) for each in times)
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def _goes_on(plane: Frames) -> bool:
    """Whether all frames follow each other in time without a pause: one scan over many beats."""
    is_timed = not np.isnan(triggers_of(plane)).any()
    for clock in (ACQUIRED, CONTENT) if is_timed else (ACQUIRED,):
        if tells_apart(clock, plane):
            ordered = by_clock(clock, plane)
            steps = np.diff([clock.value(frame) for frame in ordered])
            return bool(steps.max() <= PAUSE_S) and (not is_timed or starts_anew(ordered))
    return False


def _without_copies(parts: list[Frames]) -> list[Frames]:
    """Leaves out acquisitions whose pixels are those of an earlier one."""
    kept: list[Frames] = []
    for part in parts:
        if not any(_same_pixels(part, other) for other in kept):
            kept.append(part)
    return kept


def _same_pixels(one: Frames, other: Frames) -> bool:
    if len(one) != len(other):
        return False
    pairs = zip(*(sorted(part, key=_place_in_time) for part in (one, other)), strict=True)
    try:
        return all(np.array_equal(read_pixels(a), read_pixels(b)) for a, b in pairs)
    except UnreadableFileError:
        return False  # Told when the frame is asked for.


def _place_in_time(frame: StoredFrame) -> tuple[float, float, tuple[float, ...]]:
    temporal = frame.clocks.temporal
    return (
        0.0 if np.isnan(frame.trigger_ms) else frame.trigger_ms,
        0.0 if np.isnan(temporal) else temporal,
        frame.clocks.number,
    )
