"""How far one picture is displaced against another, to a hundredth of a pixel.

Resampling that copies an origin, or an even kernel at stride 1, moves a picture by a fraction of a
pixel: invisible to the eye, ruinous to PSNR, and wrong on the patient. This measures it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError
from cinesr.imaging.filters import correlate, gaussian_taps

SMOOTHING_SIGMA = 1.0
"""At one pixel a sampled Gaussian is band-limited to 3e-9, so that it can be shifted exactly."""
SHARPNESS_SIGMAS = (1.0, 1.6, 2.5, 4.0)
"""Blurs whose weighted sum stands for any symmetric difference in sharpness of two pictures."""
LONGEST_SIDE = 640
"""Larger pictures are averaged in blocks down to this: nothing is gained beyond."""
SMALLEST_SIDE = 16
ITERATIONS = 20
TOLERANCE_PX = 1e-4

Picture = NDArray[np.float64]


def subpixel_shift(reference: NDArray[Any], moving: NDArray[Any]) -> tuple[float, float]:
    """How far `moving` is displaced against `reference`, in pixels.

    Least squares on the gradients, iterated (Lucas & Kanade 1981), with brightness and sharpness
    of the two matched in the same fit: a blurred picture against a sharp one otherwise reads up to
    a tenth of a pixel wrong, because the blur carries edges across the border of the window.
    Starts from the peak of the cross-correlation, so that displacements of many pixels are found.

    Args:
        reference: (row, column).
        moving: (row, column), on the same grid.

    Returns:
        (row, column) displacement: (0.5, 0) where a point at row 10 in `reference` lies at row 10.5
        in `moving`.

    Raises:
        UnfitImageError: The two differ in size, are under 16 pixels wide, hold NaN or Inf, or show
            no structure along the rows or the columns.
    """
    _check_pair(reference, moving)
    block = -(-max(reference.shape) // LONGEST_SIDE)
    fixed, other = _block_means(reference, block), _block_means(moving, block)
    # The blurred picture is described by blurs of the sharp one, not the other way round.
    if _sharpness(other) > _sharpness(fixed):
        row, column = _displacement(other, fixed)
        return -row * block, -column * block
    row, column = _displacement(fixed, other)
    return row * block, column * block


def _check_pair(reference: NDArray[Any], moving: NDArray[Any]) -> None:
    if reference.shape != moving.shape or reference.ndim != 2:
        raise UnfitImageError(
            f"A shift was asked for between pictures of {reference.shape} and {moving.shape} "
            "pixels; expected two of the same (row, column) size.",
            hint="Bring both onto the same grid first.",
        )
    if min(reference.shape) < SMALLEST_SIDE:
        raise UnfitImageError(
            f"A shift cannot be measured on {reference.shape} pixels; expected at least "
            f"{SMALLEST_SIDE} rows and columns."
        )
    for name, picture in (("reference", reference), ("moving", moving)):
        if not np.isfinite(picture).all():
            raise UnfitImageError(
                f"The {name} picture holds NaN or infinite values; every pixel must be finite.",
                hint="Replace them first, for example with numpy.nan_to_num.",
            )
        if _has_no_structure(picture):
            raise UnfitImageError(
                f"The {name} picture shows no structure along its rows or columns; expected "
                "some along both, from which a shift can be told."
            )


def _has_no_structure(picture: NDArray[Any]) -> bool:
    values = picture.astype(np.float64)
    # Centred, so that a gradient is not lost beside a large offset.
    steps_down = np.diff(values, axis=0)[:, :-1].ravel()
    steps_across = np.diff(values, axis=1)[:-1].ravel()
    tensor = np.cov(np.stack([steps_down, steps_across]), bias=True)
    return bool(np.linalg.eigvalsh(tensor)[0] <= 1e-12 * np.ptp(values) ** 2)


def _block_means(picture: NDArray[Any], block: int) -> Picture:
    values = picture.astype(np.float64)
    if block == 1:
        return values
    rows, columns = (size // block for size in values.shape)
    blocks = values[: rows * block, : columns * block].reshape(rows, block, columns, block)
    means: Picture = blocks.mean(axis=(1, 3))
    return means


def _separable(picture: Picture, row_taps: Picture, column_taps: Picture) -> Picture:
    return correlate(correlate(picture, row_taps, axis=0), column_taps, axis=1)


def _sharpness(picture: Picture) -> float:
    blur, slope = gaussian_taps(SMOOTHING_SIGMA)
    smooth = _separable(picture, blur, blur)
    steep = np.mean(_separable(picture, slope, blur) ** 2 + _separable(picture, blur, slope) ** 2)
    return float(steep / max(np.var(smooth), np.finfo(float).tiny))


def _window(shape: tuple[int, int]) -> Picture:
    """One inside, falling smoothly to zero over the outer eighth."""
    tapers = []
    for size in shape:
        edge = max(size // 8, 2)
        rise = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / edge) ** 2
        tapers.append(np.concatenate([rise, np.ones(size - 2 * edge), rise[::-1]]))
    return np.outer(tapers[0], tapers[1])


def _whole_pixels(sharp: Picture, blurred: Picture) -> tuple[int, int]:
    """Where the cross-correlation of the two pictures' edges is highest."""
    window = _window((sharp.shape[0], sharp.shape[1]))
    spectra = [fft.rfft2((picture - picture.mean()) * window) for picture in (sharp, blurred)]
    down = fft.fftfreq(sharp.shape[0])[:, None] * 2 * np.pi
    across = fft.rfftfreq(sharp.shape[1])[None] * 2 * np.pi
    frequency = down**2 + across**2
    edges = frequency * np.exp(-frequency * SMOOTHING_SIGMA**2)
    correlation = fft.irfft2(np.conj(spectra[0]) * spectra[1] * edges, s=sharp.shape)
    peak = np.unravel_index(int(np.argmax(correlation)), sharp.shape)
    row, column = (
        int(p) - size if p > size // 2 else int(p)
        for p, size in zip(peak, sharp.shape, strict=True)
    )
    return row, column


def _overlap(sharp: Picture, blurred: Picture, row: int, column: int) -> tuple[Picture, Picture]:
    rows, columns = sharp.shape
    fixed = sharp[max(0, -row) : rows - max(0, row), max(0, -column) : columns - max(0, column)]
    other = blurred[max(0, row) : rows + min(0, row), max(0, column) : columns + min(0, column)]
    return fixed, other


def _displacement(sharp: Picture, blurred: Picture) -> tuple[float, float]:
    start = _whole_pixels(sharp, blurred)
    fixed, other = _overlap(sharp, blurred, *start)
    margin = min(8, min(fixed.shape) // 8)
    inner = np.s_[margin : fixed.shape[0] - margin, margin : fixed.shape[1] - margin]
    weight = np.sqrt(_window(fixed[inner].shape)).ravel()

    blurs = []
    for sigma in SHARPNESS_SIGMAS:
        taps, _ = gaussian_taps(sigma)
        blurs.append(_separable(fixed, taps, taps)[inner].ravel())
    matched = [np.ones_like(weight), blurs[0], *np.diff(blurs, axis=0)]

    shift = np.zeros(2)
    for _ in range(ITERATIONS):
        (row_blur, row_slope), (column_blur, column_slope) = (
            gaussian_taps(SMOOTHING_SIGMA, step) for step in shift
        )
        smooth, down, across = (
            _separable(other, row_taps, column_taps)[inner].ravel() * weight
            for row_taps, column_taps in (
                (row_blur, column_blur),
                (row_slope, column_blur),
                (row_blur, column_slope),
            )
        )
        known = np.stack([*(part * weight for part in matched), down, across])
        size = np.maximum(np.linalg.norm(known, axis=1), np.finfo(float).tiny)
        known /= size[:, None]
        # Smooth pictures make some blurs proportional to each other: cut off, not inverted.
        found = np.linalg.lstsq(known @ known.T, known @ smooth, rcond=1e-10)[0] / size
        step = np.clip(-found[-2:], -1.5, 1.5)
        shift = shift + step
        if np.abs(step).max() < TOLERANCE_PX:
            break
    return start[0] + float(shift[0]), start[1] + float(shift[1])
