"""In which order the frames of one plane were taken, and when, by whatever their headers say."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.imaging.dicom_frames import StoredFrame

Times = NDArray[np.float64]

STEP_TOLERANCE = 0.3
"""Steps between phases this close to their median, relatively, are the steps of one clock."""

LEAST_BEAT = 4
"""A shuffled order has hardly this many even steps one after another, several times."""

PAUSE_S = 3.0
"""Frames of one breath-hold follow each other faster than this; people breathe in between."""


@dataclass(frozen=True)
class Clock:
    """Something in a header by which frames can be put into order.

    Args:
        name: As the standard has it.
        value: Of a frame; None where the header does not say.
        is_guess: Whether an order by it is worth a note.
    """

    name: str
    value: Callable[[StoredFrame], Any]
    is_guess: bool = True


def _known(number: float) -> float | None:
    return None if np.isnan(number) else number


CLOCKS = (
    Clock("TemporalPositionIndex", lambda frame: _known(frame.clocks.temporal), is_guess=False),
    Clock("DimensionIndexValues", lambda frame: frame.clocks.dimension or None, is_guess=False),
    Clock("AcquisitionTime", lambda frame: _known(frame.clocks.acquired)),
    Clock(
        "InstanceNumber",
        lambda frame: None if np.isnan(frame.clocks.number).any() else frame.clocks.number,
        is_guess=False,
    ),
    Clock("AcquisitionNumber", lambda frame: _known(frame.clocks.acquisition)),
    Clock("ContentTime", lambda frame: _known(frame.clocks.content)),
)
"""In the order of preference, where there is no trigger time."""

TEMPORAL, _, ACQUIRED, NUMBER, ACQUISITION, CONTENT = CLOCKS


@dataclass(frozen=True, eq=False)
class Plane:
    """The frames of one plane in the order in which they are played.

    Args:
        frames: Of one acquisition.
        times_ms: After the first frame; NaN where the files do not say.
        notes: Where a guess was made.
    """

    frames: list[StoredFrame]
    times_ms: Times
    notes: tuple[str, ...] = ()


def triggers_of(frames: Sequence[StoredFrame]) -> Times:
    """Trigger times, NaN where missing."""
    return np.array([frame.trigger_ms for frame in frames], dtype=np.float64)


def tells_apart(clock: Clock, frames: Sequence[StoredFrame]) -> bool:
    """Whether every frame has a value of this clock, and each its own."""
    values = [clock.value(frame) for frame in frames]
    return None not in values and len(set(values)) == len(values)


def by_clock(clock: Clock, frames: Sequence[StoredFrame]) -> list[StoredFrame]:
    """The frames by a clock that they all have."""
    return sorted(frames, key=clock.value)


def natural_name(frame: StoredFrame) -> tuple[Hashable, ...]:
    """The name of the file with its numbers as numbers: IM2 before IM10."""
    parts = re.split(r"(\d+)", str(frame.file.path))
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in parts)


def beats_of(triggers: Times) -> list[slice]:
    """Where trigger times, in the order of another clock, start anew: the runs between."""
    starts = [0, *(np.flatnonzero(np.diff(triggers) < 0) + 1), len(triggers)]
    return [slice(int(a), int(b)) for a, b in pairwise(starts)]


def is_even(times: Times) -> bool:
    """Whether times go on in steps of about one length."""
    steps = np.diff(times)
    if not steps.size or steps.min() <= 0:
        return False
    middle = np.median(steps)
    return bool(np.mean(np.abs(steps - middle) <= STEP_TOLERANCE * middle) > 0.75)


def starts_anew(frames: Sequence[StoredFrame], *, interleaved: bool = False) -> bool:
    """Whether trigger times, in this order, go on evenly and start anew at every beat.

    Sorted by trigger time such frames would play all beats at once. A shuffled order also has
    places where the time falls, but between them its steps are uneven.

    Args:
        frames: In the order of another clock than the trigger time.
        interleaved: Whether beats whose times lie evenly between those of others count as well.
    """
    triggers = triggers_of(frames)
    beats = beats_of(triggers)
    if len(beats) < 2:
        return False
    is_long = min(beat.stop - beat.start for beat in beats) >= LEAST_BEAT
    if is_even(np.sort(triggers)) and not (interleaved and is_long):
        return False
    steps = np.concatenate([np.diff(triggers[beat]) for beat in beats])
    steps = steps[steps > 0]
    if steps.size < max(2, len(triggers) // 2):
        return False
    middle = np.median(steps)
    return bool(np.mean(np.abs(steps - middle) <= STEP_TOLERANCE * middle) > 0.75)


def in_order(frames: Sequence[StoredFrame]) -> Plane:
    """Puts the frames of one acquisition of one plane into the order in which they were taken."""
    if len(frames) == 1:
        return Plane(list(frames), np.zeros(1))
    triggers = triggers_of(frames)
    unknown = np.isnan(triggers)
    if unknown.all() or (not unknown.any() and np.ptp(triggers) == 0):
        return _without_triggers(frames)
    if unknown.any():
        return _with_gaps(frames)
    if not is_even(np.sort(triggers)):
        for clock in (ACQUIRED, CONTENT, NUMBER, ACQUISITION):
            if tells_apart(clock, frames) and starts_anew(ordered := by_clock(clock, frames)):
                return _over_beats(ordered, clock)
    ordered = sorted(frames, key=lambda frame: (frame.trigger_ms, *_every_clock(frame)))
    times = triggers_of(ordered)
    notes: tuple[str, ...] = ()
    if (np.diff(times) == 0).any():
        notes = ("Several frames of a plane share a trigger time: sorted by instance number.",)
    return Plane(ordered, times - times[0], notes)


def _every_clock(frame: StoredFrame) -> tuple[Hashable, ...]:
    """All that a frame says of its time, what is missing last."""
    values = [clock.value(frame) for clock in CLOCKS]
    known = [
        (value is None, () if value is None else tuple(np.atleast_1d(value))) for value in values
    ]
    return (*known, natural_name(frame))


def _without_triggers(frames: Sequence[StoredFrame]) -> Plane:
    missing = np.full(len(frames), np.nan)
    for clock in CLOCKS:
        if not tells_apart(clock, frames):
            continue
        ordered = by_clock(clock, frames)
        if clock is ACQUIRED:
            seconds = np.array([frame.clocks.acquired for frame in ordered])
            note = "No trigger times: phases are sorted and timed by AcquisitionTime."
            return Plane(ordered, 1000.0 * (seconds - seconds[0]), (note,))
        note = f"No trigger times or instance numbers: phases are sorted by {clock.name}."
        return Plane(ordered, missing, (note,) if clock.is_guess else ())
    ordered = sorted(frames, key=_every_clock)
    said = [_every_clock(frame)[:-1] for frame in ordered]
    if len(set(said)) == len(said):
        note = "No element of the headers tells all phases apart: sorted by all of them together."
    else:
        note = (
            "Nothing in the headers tells the phases apart: sorted by the names of their files, "
            "which is a guess."
        )
    return Plane(ordered, missing, (note,))


def _with_gaps(frames: Sequence[StoredFrame]) -> Plane:
    """Some frames have a trigger time and others have none."""
    without = int(np.isnan(triggers_of(frames)).sum())
    said = f"{without} of {len(frames)} phases of a plane have no trigger time"
    for clock in CLOCKS:
        if not tells_apart(clock, frames):
            continue
        ordered = by_clock(clock, frames)
        times = triggers_of(ordered)
        known = np.flatnonzero(~np.isnan(times))
        if (np.diff(times[known]) <= 0).any():
            continue
        note = f"{said}: placed by {clock.name}, their times put evenly between their neighbours."
        filled = _filled(times, known)
        return Plane(ordered, filled - filled[0], (note,))
    for clock in (ACQUIRED, CONTENT, NUMBER):
        if tells_apart(clock, frames):
            ordered = by_clock(clock, frames)
            if starts_anew([frame for frame in ordered if not np.isnan(frame.trigger_ms)]):
                return _over_beats(ordered, clock)
    ordered = sorted(
        frames, key=lambda each: (np.isnan(each.trigger_ms), each.trigger_ms, *_every_clock(each))
    )
    times = triggers_of(ordered)
    note = f"{said}, and nothing else places them: they are played last, which is a guess."
    return Plane(ordered, times - times[0], (note,))


def _filled(times: Times, known: NDArray[np.intp]) -> Times:
    """Times of the frames without, evenly between those with, and on by the usual step outside."""
    if len(known) < 2:
        return times
    places = np.arange(len(times))
    filled = np.interp(places, known, times[known])
    step = float(np.median(np.diff(times[known]) / np.diff(known)))
    before, after = places < known[0], places > known[-1]
    filled[before] = times[known[0]] - step * (known[0] - places[before])
    filled[after] = times[known[-1]] + step * (places[after] - known[-1])
    return filled


def _over_beats(ordered: list[StoredFrame], clock: Clock) -> Plane:
    """Frames over several beats, as a real-time scan takes them."""
    triggers = triggers_of(ordered)
    beats = beats_of(triggers[~np.isnan(triggers)])
    said = f"Trigger times start anew {len(beats) - 1} times: phases are sorted by {clock.name}"
    if clock in (ACQUIRED, CONTENT):
        seconds = np.array([clock.value(frame) for frame in ordered])
        return Plane(ordered, 1000.0 * (seconds - seconds[0]), (f"{said}, and timed by it.",))
    steps = np.diff(triggers)
    steps[~(steps >= 0)] = np.median(steps[steps > 0])
    times = np.concatenate([[0.0], np.cumsum(steps)])
    return Plane(ordered, times, (f"{said}; one usual step is assumed between two beats.",))
