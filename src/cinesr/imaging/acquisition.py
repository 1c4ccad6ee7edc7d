"""How a picture was acquired: which part of k-space was measured, and what was done to it.

A scanner samples k-space on a matrix of its own, often coarser along the phase encoding, adds
receiver noise, tapers the edge against ringing, fills the rest with zeros up to the matrix that it
shows, and takes the magnitude (Bernstein, King and Zhou, "Handbook of MRI Pulse Sequences", 2004,
chapters 1.1 and 13.1; Luo et al., JMRI 14:270, 2001, on windows and zero-filling).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError

Values = NDArray[np.float64]

SHAPES = ("rectangular", "elliptical")
SMALLEST_KEEP = 0.5
"""Scanners seldom fill with zeros to more than twice the matrix that they measured."""
LARGEST_SHARE = 1.05
"""Of a picture's k-space that a header's matrix may come to; vendors round and crop a little."""
FERMI_EDGE = 3.0
"""A Fermi window has fallen to 1 / (1 + e^3), 5 %, at the edge of what is kept."""


def _boxcar(rho: Values, width: float) -> Values:
    return np.ones_like(rho)


def _cosine(rho: Values, width: float) -> Values:
    """Tukey's window: flat, then half a cosine over the outer `width` of what is kept."""
    return 0.5 * (1.0 + np.cos(np.pi * np.clip((rho - (1.0 - width)) / width, 0.0, 1.0)))


def _fermi(rho: Values, width: float) -> Values:
    return 1.0 / (1.0 + np.exp((rho - (1.0 - FERMI_EDGE * width)) / width))


def _hamming(rho: Values, width: float) -> Values:
    return 0.54 + 0.46 * np.cos(np.pi * np.minimum(rho, 1.0))


@dataclass(frozen=True)
class _Window:
    """A taper: its function of the distance from the centre, 1 at the edge of what is kept."""

    values: Callable[[Values, float], Values]
    largest_width: float | None = None
    usual_width: float = 0.0


_WINDOWS = {
    "none": _Window(_boxcar),
    "cosine": _Window(_cosine, 1.0, 0.4),
    "fermi": _Window(_fermi, 0.3, 0.05),
    "hamming": _Window(_hamming),
}
WINDOWS = tuple(_WINDOWS)


def _parsed_window(text: str) -> tuple[str, float]:
    """The name and width of a window such as `cosine:0.4`."""
    name, _, number = text.partition(":")
    window = _WINDOWS.get(name)
    if window is not None:
        try:
            width = float(number) if number else window.usual_width
        except ValueError:
            width = math.nan
        if window.largest_width is None and not number:
            return name, 0.0
        if window.largest_width is not None and 0.0 < width <= window.largest_width:
            return name, width
    raise UnfitImageError(
        f"A window {text!r} was asked for; expected none, cosine:WIDTH (to 1, a share of what is "
        "kept), fermi:WIDTH (to 0.3) or hamming."
    )


@dataclass(frozen=True)
class Acquisition:
    """Which part of k-space a picture holds, and how it was tapered.

    Args:
        keep: Shares of the picture's own k-space that were measured, 0.5 to 1: along the axis of
            the rows' index (vertical frequencies), and along that of the columns'.
        shape: "rectangular", or "elliptical" where the corners were not measured or cut off.
        window: "none", "cosine:WIDTH" (the outer share that is tapered), "fermi:WIDTH" (of the
            transition) or "hamming"; widths are shares of what is kept.
        noise: Standard deviation of the receiver noise in each of the two channels of the picture,
            as a share of its intensity range, before the window took a part of it away.

    Raises:
        UnfitImageError: A value out of range.
    """

    keep: tuple[float, float] = (1.0, 1.0)
    shape: str = "rectangular"
    window: str = "none"
    noise: float = 0.0

    def __post_init__(self) -> None:
        if len(self.keep) != 2 or not all(SMALLEST_KEEP <= share <= 1.0 for share in self.keep):
            raise UnfitImageError(
                f"A share of k-space of {', '.join(f'{share:g}' for share in self.keep)} was asked "
                f"for; expected two numbers from {SMALLEST_KEEP} to 1, for rows and columns."
            )
        if self.shape not in SHAPES:
            raise UnfitImageError(
                f"A k-space of shape {self.shape!r} was asked for; expected {' or '.join(SHAPES)}."
            )
        _parsed_window(self.window)
        if not 0.0 <= self.noise <= 1.0:
            raise UnfitImageError(
                f"A noise of {self.noise} was asked for; expected a share of the range, 0 to 1."
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self) | {"keep": list(self.keep)}

    @property
    def transfer_is_one(self) -> bool:
        """Whether nothing is cut off or tapered."""
        return self.keep == (1.0, 1.0) and self.shape == "rectangular" and self.window == "none"

    def axis_transfer(self, frequency: NDArray[Any], axis: int) -> Values:
        """What is left of each frequency along one axis, where the other one's is zero.

        Args:
            frequency: 0 is the centre, 1 the highest frequency of the picture's pixels; any shape.
            axis: 0 for the rows' index, 1 for the columns'.
        """
        rho = np.abs(np.asarray(frequency, np.float64)) / self.keep[axis]
        return self._tapered(rho)

    def transfer(self, rows: int, columns: int) -> Values:
        """What is left of each frequency of a picture, (rows, columns), zero frequency first.

        Args:
            rows: Of the picture.
            columns: Of the picture.
        """
        vertical, horizontal = (
            np.abs(np.fft.fftfreq(size)) * size / (size // 2 or 1) for size in (rows, columns)
        )
        if self.shape == "rectangular":
            down, across = self.axis_transfer(vertical, 0), self.axis_transfer(horizontal, 1)
            return down[:, None] * across[None, :]
        rho = np.hypot(vertical[:, None] / self.keep[0], horizontal[None, :] / self.keep[1])
        return self._tapered(rho)

    def _tapered(self, rho: Values) -> Values:
        name, width = _parsed_window(self.window)
        # Rounding must not cut off the line at the very edge of what is kept.
        return np.where(rho <= 1.0 + 1e-9, _WINDOWS[name].values(rho, width), 0.0)


@dataclass(frozen=True)
class MeasuredMatrix:
    """What a file's header says of the k-space that was measured, in DICOM's words.

    Vendors mean different things by it. Siemens counts the lines that were measured (base
    resolution x phase resolution x rectangular field of view), and PercentSampling has been applied
    to them already; GE gives the matrix that was prescribed for a square field of view, and
    PercentSampling below 100 can be partial Fourier, which costs no resolution.

    Args:
        frequency: Samples along the frequency encoding.
        phase: Lines along the phase encoding.
        phase_axis: The picture's axis along which phase was encoded: 0 for the rows' index
            (InPlanePhaseEncodingDirection COL), 1 for the columns' (ROW).
        sampling: PercentSampling, as a share.
        phase_field_of_view: PercentPhaseFieldOfView, as a share.
    """

    frequency: int
    phase: int
    phase_axis: int
    sampling: float = 1.0
    phase_field_of_view: float = 1.0

    def kept_shares(
        self, pixels: tuple[int, int], extent_mm: tuple[float, float]
    ) -> list[tuple[float, float]]:
        """The shares of a picture's k-space that may be meant, the likeliest first.

        Args:
            pixels: (rows, columns) of the picture.
            extent_mm: (height, width) of the picture.

        Returns:
            (rows' axis, columns' axis) each; shares just above 1 are given as 1. Empty where the
            picture has far fewer pixels than were measured: then it was made smaller since.
        """
        frequency_axis = 1 - self.phase_axis
        along = self.frequency / pixels[frequency_axis]
        lines = self.phase / pixels[self.phase_axis]
        shown = extent_mm[self.phase_axis] / extent_mm[frequency_axis]
        # A picture wider than the measured field of view was padded: its lines lie closer.
        padding = max(1.0, shown / self.phase_field_of_view)
        across = [lines, lines * padding, lines * self.sampling, lines * padding * self.sampling]
        found: list[tuple[float, float]] = []
        for share in across:
            pair = (share, along) if self.phase_axis == 0 else (along, share)
            if max(pair) <= LARGEST_SHARE:
                kept = min(pair[0], 1.0), min(pair[1], 1.0)
                found += [kept] if kept not in found else []
        return found if lines <= LARGEST_SHARE else []


def measured(
    picture: NDArray[Any],
    acquisition: Acquisition,
    *,
    sigma: float = 0.0,
    generator: np.random.Generator | None = None,
) -> NDArray[Any]:
    """The magnitude picture that a scanner makes of one whose k-space it could measure whole.

    Args:
        picture: (row, column), a magnitude picture with air at zero; float32 stays float32.
        acquisition: What is kept and how it is tapered. Its noise is not looked at.
        sigma: Standard deviation of the noise per channel, on the picture's scale, before the
            window.
        generator: Source of the noise, if there is any.
    """
    kind = np.complex64 if picture.dtype == np.float32 else np.complex128
    signal = picture.astype(kind)
    if sigma > 0 and generator is not None:
        real, imaginary = generator.standard_normal((2, *picture.shape), dtype=np.float32)
        signal = signal + (sigma * (real + 1j * imaginary)).astype(kind)
    window = acquisition.transfer(*picture.shape).astype(signal.real.dtype)
    return np.abs(np.fft.ifft2(np.fft.fft2(signal) * window)).astype(signal.real.dtype)
