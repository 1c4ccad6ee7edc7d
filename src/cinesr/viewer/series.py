"""An open series: its frames, and all that the page is told about it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cinesr.imaging.cine import Cine, Frame, IntensityRule
from cinesr.imaging.dicom_frames import DicomSource
from cinesr.imaging.files import natural_suffix
from cinesr.upscaling.checks import Check
from cinesr.viewer.frames import Encoding, Part, Place
from cinesr.viewer.levels import averaged
from cinesr.viewer.spool import Spool

SAMPLES = 5
"""So many frames, spread over the cine, tell how it is best shown."""
SAMPLE_SIDE = 256
WINDOW_PERCENTILES = (0.1, 99.5)

Kind = Literal["input", "result", "bicubic"]
Span = tuple[float, float]


@dataclass(frozen=True)
class Origin:
    """How a series was made from another.

    Args:
        parent: The id of the input.
        model: Its name; None for bicubic interpolation.
        scale: Output pixels per input pixel.
        method: The degradation that should lead back to the input.
        record: What `run.json` holds.
        checks: Of the result.
    """

    parent: str
    model: str | None
    scale: int
    method: str
    record: dict[str, Any]
    checks: tuple[Check, ...] = ()


@dataclass(eq=False)
class Series:
    """An open series.

    Args:
        cine: Its frames are those of the spool.
        spool: Where its frames lie.
        encoding: How they travel.
        window: Stored values to show as black and white.
        value_range: Smallest and largest stored value of the frames that were seen so far.
        kind: Where it came from.
        origin: How it was made, if it was made here.
        upload: The id of the upload that it came with.
        truth: The id of the series that it should look like.
        interpolate: Gives stored values of a part of a frame more quickly than from the frame.
        id: Random.
    """

    cine: Cine
    spool: Spool
    encoding: Encoding
    window: Span
    value_range: Span
    kind: Kind = "input"
    origin: Origin | None = None
    upload: str | None = None
    truth: str | None = None
    interpolate: Callable[[Place, Part], Frame] | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    _levels: dict[int, Spool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def suffix(self) -> str:
        """Of a file of this series; empty for a folder of DICOM."""
        return natural_suffix(self.cine)

    def encoding_of(self, level: int) -> Encoding:
        """How frames of a level of detail travel."""
        return self.encoding.of_averages(self.cine.dtype) if level else self.encoding

    def raw(self, place: Place, part: Part) -> NDArray[np.uint16]:
        """A part of a frame as it travels, (row, column).

        Raises:
            CinesrError: The frame cannot be read, or the series was closed meanwhile.
        """
        columns = slice(part.columns.start, part.columns.stop)
        if self.interpolate and part != Part.whole(self.cine.shape):
            return self.encoding_of(part.level).raw(self.interpolate(place, part))
        if part.level:
            return self._level(part.level).read(*place, part.rows)[:, columns]
        return self.encoding.raw(self.spool.read(*place, part.rows)[:, columns])

    def _level(self, level: int) -> Spool:
        def compute(time: int, slice_index: int) -> NDArray[np.uint16]:
            stored = self.spool.read(time, slice_index)
            return self.encoding_of(level).raw(averaged(stored, level))

        with self._lock:
            if level not in self._levels:
                shape = (*self.cine.shape[:2], *Part.whole(self.cine.shape, level).shape)
                self._levels[level] = Spool(self.spool.folder, shape, np.dtype("<u2"), compute)
            return self._levels[level]

    def discard(self) -> None:
        """Removes its frames from the disk."""
        with self._lock:
            for spool in (self.spool, *self._levels.values()):
                spool.discard()

    def look_through(self) -> None:
        """Reads every frame, so that all lie in the spool and the range is that of all.

        Raises:
            CinesrError: A frame cannot be read, or the series was closed meanwhile.
        """
        self.value_range = measure(self.spool, every_place(self.cine))

    @cached_property
    def rule(self) -> IntensityRule:
        """Of the whole cine, measured when it is first needed.

        Raises:
            UnfitImageError: A frame holds NaN or Inf, or the whole cine is one constant value.
        """
        return IntensityRule.of(self.cine)

    def to_dict(self) -> dict[str, Any]:
        """For the page."""
        cine, origin = self.cine, self.origin
        column, row, step = cine.geometry.spacing_mm
        spacing = {"row": row, "column": column, "slice": step}
        return {
            "id": self.id,
            "name": cine.name,
            "kind": self.kind,
            "shape": list(cine.shape),
            "spacing_mm": spacing if cine.geometry.is_known else None,
            "frame_time_ms": _frame_time_ms(cine),
            "dtype": cine.dtype.name,
            "window": {"low": self.window[0], "high": self.window[1]},
            "value_range": {"low": self.value_range[0], "high": self.value_range[1]},
            "suffix": self.suffix,
            "parent": origin.parent if origin else None,
            "model": origin.model if origin else None,
            "scale": origin.scale if origin else None,
            "truth": self.truth,
            "notes": list(cine.notes),
            "checks": [
                {"name": check.name, "finding": check.finding, "warning": check.warning}
                for check in (origin.checks if origin else ())
            ],
            "derivation": cine.derivation.description if cine.derivation else None,
            "origin_mm": cine.geometry.affine().tolist(),
            "bytes": 2 * int(np.prod(cine.shape, dtype=np.int64)),
        }


def _frame_time_ms(cine: Cine) -> float | None:
    steps = np.diff(cine.times_ms)
    is_timed = bool(steps.size and np.isfinite(steps).all() and steps.max() > 0)
    return float(steps.mean()) if is_timed else None


def input_series(cine: Cine, folder: Path, *, upload: str | None = None) -> Series:
    """Opens a cine that was read from files.

    A few frames tell how it is shown, so that it is there at once. Only numbers that do not fit
    into 16 bits have all to be seen before the first can travel.

    Args:
        cine: As opened; its frames are not read yet.
        folder: For the spool.
        upload: The id of the upload that it came with.

    Raises:
        CinesrError: Its file is broken, or there is no room on the disk.
    """
    spool = Spool(folder, cine.shape, cine.dtype, cine.frame, keeps=not _lies_plain(cine))
    samples = sampled_places(cine)
    fits = cine.dtype.kind in "iu" and cine.dtype.itemsize <= 2
    # DICOM whose frames differ in slope comes as floats, of a range that its header tells.
    told = cine.value_range if cine.dtype.kind == "f" else None
    is_told = told is not None and bool(np.isfinite(told).all())
    try:
        measured = measure(spool, samples if fits or is_told else every_place(cine))
        window = shown_window(spool, samples)
    except BaseException:
        spool.discard()
        raise
    low, high = told if told is not None and is_told else measured
    return Series(
        replace(cine, frames=spool.lazy_frames()),
        spool,
        Encoding.of(cine.dtype, low=low, high=high),
        window,
        measured,
        upload=upload,
    )


def _lies_plain(cine: Cine) -> bool:
    """Whether each frame can be read from its file on its own, without decompressing."""
    if not isinstance(cine.source, DicomSource):
        return False
    syntaxes = {frame.file.syntax for phase in cine.source.frames for frame in phase}
    return not any(syntax.is_compressed or syntax.is_deflated for syntax in syntaxes)


def every_place(cine: Cine) -> list[Place]:
    """All frames, slices fastest."""
    return list(np.ndindex(cine.shape[:2]))


def sampled_places(cine: Cine) -> list[Place]:
    """A few frames, from the first phase and slice to the last ones."""
    frames = cine.shape[0] * cine.shape[1]
    spread = np.linspace(0, frames - 1, min(SAMPLES, frames)).astype(int)
    return [(int(at) // cine.shape[1], int(at) % cine.shape[1]) for at in spread]


def measure(spool: Spool, places: Sequence[Place]) -> Span:
    """Smallest and largest finite value of some frames, 0 and 1 where there is none."""
    lows, highs = [], []
    for place in places:
        frame = spool.read(*place)
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            frame = frame[np.isfinite(frame)]
        if frame.size:
            lows.append(float(frame.min()))
            highs.append(float(frame.max()))
    return (min(lows), max(highs)) if lows else (0.0, 1.0)


def shown_window(spool: Spool, places: Sequence[Place]) -> Span:
    """Which stored values to show as black and white: a few spikes must not dim the tissue."""
    parts = []
    for place in places:
        frame = spool.read(*place)
        rows, columns = (max(1, size // SAMPLE_SIDE) for size in frame.shape)
        parts.append(frame[::rows, ::columns].ravel().astype(np.float64))
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, WINDOW_PERCENTILES) if values.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1.0
