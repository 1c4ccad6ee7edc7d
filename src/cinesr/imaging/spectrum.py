"""Reads how a series was acquired: from its file's header, and from the spectrum of its pictures.

The header knows the matrix that was measured; the pictures know the taper and the noise, and the
matrix too where no header tells it. Either can be wrong: a header holds what the vendor means by it
(`MeasuredMatrix`), and a spectrum without a visible edge is a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import CinesrError
from cinesr.imaging.acquisition import SMALLEST_KEEP, Acquisition, MeasuredMatrix
from cinesr.imaging.acquisition_network import Reading, read
from cinesr.imaging.cine import Cine
from cinesr.imaging.history import last_step
from cinesr.imaging.spectral_features import features

MOST_FRAMES = 64
LEAST_FRAMES = 8
PIXELS = 3_000_000
"""So many are looked at, of a series of large frames: reading must not take longer than loading."""
SCANNERS = ("scanner", "hamming")
"""Of the reader's methods, those that are no paper's recipe."""
NARROWEST_TAPER = 0.08
"""What is narrower than this cannot be told from none."""
DISAGREEMENT = 0.12
"""Of kept shares: more than this lies between header and pixels, and it is said."""


@dataclass(frozen=True)
class ReadAcquisition:
    """How a series was acquired, as far as it can be read.

    Args:
        acquisition: What was kept of k-space, its taper, the noise.
        method: "scanner", or the paper's recipe that low resolution seems to have been made by:
            "thesis", "johnson" or "bicubic". Then everything is kept, without a window.
        source: "header", "pixels", "header and pixels" (what was kept, by the header; the rest by
            the pixels), or "nothing" where neither tells anything.
        notes: What was assumed, left aside or contradictory.
    """

    acquisition: Acquisition
    method: str = "scanner"
    source: str = "pixels"
    notes: tuple[str, ...] = ()


def acquisition_of_pictures(pictures: Sequence[NDArray[Any]]) -> ReadAcquisition:
    """Reads how pictures were acquired from their spectrum alone.

    Neither the scale nor the offset of the pictures changes what is read. The noise is told as a
    share of their range, from the lowest value to the 99.9th percentile.

    Args:
        pictures: (row, column) each, all acquired alike; the more the better.
    """
    return _by_pixels(_reading(pictures))


def _reading(pictures: Sequence[NDArray[Any]]) -> Reading | None:
    seen = features(pictures)
    return None if seen is None else read(seen)


def _by_pixels(reading: Reading | None) -> ReadAcquisition:
    if reading is None:
        return _nothing(
            "There is too little to see in the pictures to read how they were acquired."
        )
    if reading.method not in SCANNERS:
        return ReadAcquisition(Acquisition(noise=_noise(reading)), reading.method)
    return ReadAcquisition(_scanned(reading, reading.keep, reading.taper))


def _nothing(note: str) -> ReadAcquisition:
    return ReadAcquisition(Acquisition(), source="nothing", notes=(note,))


def _noise(reading: Reading) -> float:
    return round(min(max(reading.noise, 0.0), 1.0), 5)


def _taper_within(reading: Reading, keep: tuple[float, float]) -> float:
    """The taper that falls to half where the one that was read does, with other shares kept.

    That is the frequency which a spectrum shows best: a smaller share with a narrow taper looks
    much like a larger one with a wide taper.
    """
    taper = min(max(reading.taper, 0.0), 1.0)
    half = np.array(reading.keep) * (1.0 - taper / 2.0)
    return float(np.mean(2.0 * (1.0 - half / np.array(keep))))


def _scanned(reading: Reading, keep: tuple[float, float], taper: float) -> Acquisition:
    down, across = (round(min(max(share, SMALLEST_KEEP), 1.0), 4) for share in keep)
    shape = "elliptical" if reading.ellipse > 0.5 else "rectangular"
    if reading.method == "hamming":
        window = "hamming"
    else:
        window = "none" if taper < NARROWEST_TAPER else f"cosine:{min(taper, 1.0):.3f}"
    return Acquisition((down, across), shape, window, _noise(reading))


def read_acquisition(cine: Cine) -> ReadAcquisition:
    """Reads how a series was acquired, from its header and a bounded sample of its frames.

    Args:
        cine: Frames that are read one at a time stay so.
    """
    try:
        pictures = _sample(cine)
    except CinesrError as error:
        return _nothing(f"How it was acquired cannot be read from the pixels: {error.message}")
    reading = _reading(pictures)
    notes: list[str] = []
    keep = None
    if cine.measured is not None and last_step(cine) is None:
        keep = _kept_by_header(cine.measured, cine, reading, notes)
    if keep is None:
        found = _by_pixels(reading)
        return replace(found, notes=(*found.notes, *notes))
    if reading is None:
        found = _nothing("There is too little to see in the pictures to read taper and noise.")
        return replace(
            found, acquisition=Acquisition(keep), source="header", notes=(*found.notes, *notes)
        )
    acquisition = _scanned(reading, keep, _taper_within(reading, keep))
    return ReadAcquisition(acquisition, "scanner", "header and pixels", tuple(notes))


def _sample(cine: Cine) -> list[NDArray[np.float64]]:
    """Frames spread evenly over slices and phases, the same ones every time."""
    times, slices, rows, columns = cine.shape
    count = min(times * slices, max(LEAST_FRAMES, min(MOST_FRAMES, PIXELS // (rows * columns))))
    places = np.unique(np.round(np.linspace(0, times * slices - 1, count)).astype(int))
    frames = (_without_padding(cine, cine.frame(each // slices, each % slices)) for each in places)
    return [frame for frame in frames if np.isfinite(frame).all()]


def _without_padding(cine: Cine, frame: NDArray[Any]) -> NDArray[np.float64]:
    """A frame whose padding is as dark as its darkest pixel: as masks are that no header names.

    Filled up with its neighbours it would draw lines, which a spectrum shows.
    """
    values = np.asarray(frame, np.float64)
    if cine.padding is None:
        return values
    mask = cine.padding.mask(frame)
    return values if mask.all() else np.where(mask, values[~mask].min(), values)


def _kept_by_header(
    matrix: MeasuredMatrix, cine: Cine, reading: Reading | None, notes: list[str]
) -> tuple[float, float] | None:
    """The shares that the header names; of its possible meanings, the one that the pixels show."""
    column_mm, row_mm, _ = cine.geometry.spacing_mm
    rows, columns = cine.shape[2:]
    candidates = matrix.kept_shares((rows, columns), (rows * row_mm, columns * column_mm))
    if not candidates:
        notes.append(
            f"The header's matrix of {matrix.frequency} x {matrix.phase} does not fit a picture of "
            f"{rows} x {columns} pixels: it was left aside."
        )
        return None
    keep = candidates[0]
    if reading is not None:
        seen = np.array(reading.keep)
        distance = [float(np.abs(np.array(each) - seen).max()) for each in candidates]
        nearest = int(np.argmin(distance))
        if distance[0] > DISAGREEMENT and distance[nearest] < DISAGREEMENT / 3:
            keep = candidates[nearest]
        elif distance[0] > DISAGREEMENT:
            notes.append(
                f"The spectrum looks like shares of {seen[0]:.2f} x {seen[1]:.2f} of k-space "
                f"(rows x columns), the header says {keep[0]:.2f} x {keep[1]:.2f}: the header was "
                "believed."
            )
    if min(keep) < SMALLEST_KEEP:
        notes.append(
            f"The header says {keep[0]:.2f} x {keep[1]:.2f} of k-space (rows x columns); less than "
            f"{SMALLEST_KEEP:g} is taken for that much."
        )
    down, across = (round(min(max(share, SMALLEST_KEEP), 1.0), 4) for share in keep)
    return down, across
