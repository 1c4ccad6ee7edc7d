"""How frames travel to the page: 16-bit whole numbers with one slope and intercept per series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.imaging.cine import Frame
from cinesr.viewer.errors import RequestError

LEVELS = 2**16 - 1

Place = tuple[int, int]
"""Phase and slice."""


@dataclass(frozen=True)
class Part:
    """What of a frame is meant.

    Args:
        level: Each pixel is the average of 2^level x 2^level pixels of the frame.
        rows: In pixels of this level.
        columns: In pixels of this level.
    """

    level: int
    rows: range
    columns: range

    @classmethod
    def whole(cls, shape: tuple[int, ...], level: int = 0) -> Part:
        """All of a frame.

        Args:
            shape: Of the series, (time, slice, row, column).
            level: From 0.
        """
        rows, columns = (range(-(-size // 2**level)) for size in shape[2:])
        return cls(level, rows, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.columns)


@dataclass(frozen=True)
class Encoding:
    """The map from the numbers that travel to stored values: stored = slope * raw + intercept.

    Exact for whole numbers of up to 16 bits, and for others that span no more than 65535.

    Args:
        slope: Stored values per step.
        intercept: The stored value of raw 0.
    """

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def of(cls, dtype: np.dtype[Any], *, low: float, high: float) -> Encoding:
        """The encoding of a series.

        Args:
            dtype: Of its stored values.
            low: Its smallest stored value; what is smaller travels as this.
            high: Its largest.
        """
        if dtype.kind == "u" and dtype.itemsize <= 2:
            return cls()
        if dtype.kind == "i" and dtype.itemsize <= 2:
            return cls(1.0, -32768.0)
        if dtype.kind in "iu" and high - low <= LEVELS:
            return cls(1.0, low)
        return cls((high - low) / LEVELS if high > low else 1.0, low)

    def encode(self, stored: Frame) -> bytes:
        """Stored values as 16-bit little-endian numbers, rows first; NaN becomes raw 0."""
        return self.raw(stored).tobytes()

    def raw(self, stored: Frame) -> NDArray[np.uint16]:
        """Stored values as 16-bit numbers."""
        is_whole = stored.dtype.kind in "iu" and self.slope == 1.0
        if is_whole and self.intercept == 0.0 and stored.dtype.itemsize <= 2:
            return stored.astype("<u2", copy=False)
        if is_whole:
            steps = np.subtract(stored, int(self.intercept), dtype=np.int64)
        else:
            steps = np.nan_to_num((stored.astype(np.float64) - self.intercept) / self.slope)
            steps = np.rint(steps)
        return np.clip(steps, 0, LEVELS).astype("<u2")

    def of_averages(self, dtype: np.dtype[Any]) -> Encoding:
        """The encoding of averages: steps of 8-bit numbers would be seen, and there is room."""
        return Encoding(1 / 256, -128.0 * (dtype.kind == "i")) if dtype.itemsize == 1 else self

    def headers(self) -> dict[str, str]:
        """For the answer that carries the numbers."""
        return {"X-Cinesr-Slope": repr(self.slope), "X-Cinesr-Intercept": repr(self.intercept)}


def asked_places(query: Mapping[str, str], shape: tuple[int, ...]) -> list[Place]:
    """The frames that a request names, in the order in which they go.

    Args:
        query: `time` and `slice`, each a number from 0; one of them may be `first-last`.
        shape: Of the series, (time, slice, ...).

    Raises:
        RequestError: Not such numbers, two ranges, or frames that the series has not.
    """
    times = _span(query.get("time", "0"), shape[0], "time")
    slices = _span(query.get("slice", "0"), shape[1], "slice")
    if len(times) > 1 and len(slices) > 1:
        raise RequestError(
            "Both time and slice are ranges; expected one of them to be a single number."
        )
    return [(time, slice_index) for time in times for slice_index in slices]


def one_place(query: Mapping[str, str], shape: tuple[int, ...]) -> Place:
    """The one frame that a request names.

    Raises:
        RequestError: More than one, or one that the series has not.
    """
    (place, *others) = asked_places(query, shape)
    if others:
        raise RequestError("Several frames were named; expected one time and one slice.")
    return place


def asked_part(query: Mapping[str, str], shape: tuple[int, ...]) -> Part:
    """The part of its frames that a request names.

    Args:
        query: `level`, from 0 to where the shorter side is one whole pixel; `rows` and `columns`
            of this level, each a number from 0 or `first-last`.
        shape: Of the series, (time, slice, row, column).

    Raises:
        RequestError: Not such numbers, or pixels that the series has not.
    """
    level, *others = _span(query.get("level", "0"), min(shape[2:]).bit_length(), "level")
    if others:
        raise RequestError("Several levels were named; expected one.")
    whole = Part.whole(shape, level)
    spans = [
        _span(query[name], size, name) if name in query else range(size)
        for name, size in zip(("rows", "columns"), whole.shape, strict=True)
    ]
    return Part(level, *spans)


def _span(text: str, size: int, name: str) -> range:
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text, re.ASCII)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
    if not first <= last < size:
        raise RequestError(
            f"{name}={text!r} was asked for; expected a number from 0 to {size - 1}, or two of "
            "them, the smaller first, as in 0-3."
        )
    return range(first, last + 1)
