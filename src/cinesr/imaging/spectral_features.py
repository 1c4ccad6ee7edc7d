"""What pictures show of the k-space that they were made from, as numbers for a regressor.

The edge of what was measured is a fall in the mean power spectrum, its taper the way down, and the
noise is white inside it and nowhere else. Everything is averaged over the pictures of a series as
power, before any logarithm: then hundreds of frames tell more than one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Picture = NDArray[np.float32]

BINS = 40
"""Of a profile along one axis, evenly spaced from zero to the picture's highest frequency."""
BANDS = ((0.02, 0.15), (0.15, 0.4), (0.4, 0.85))
"""Shares of the other axis' frequencies over which a profile is averaged."""
CHANNELS = 2 * len(BANDS)
"""Profiles per axis: of each band, with the picture's border tapered and without."""
CELLS = 8
"""Of the map of both axes' frequencies, per axis."""
BLOCK = 16
"""Pixels per side of the blocks among which the flattest show the noise."""
FLATTEST = 0.1
"""The share of blocks that are taken for flat."""
MOST_BLOCKS = 32
"""Per axis and picture."""
SMALLEST_SIZE = 24
"""Rows or columns below which there is too little to see."""
TILE = 4
"""Pixels per side of the tiles whose spread is looked at."""
SPREADS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
LEVELS = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5)
"""Quantiles of the tiles' spreads, and of the pixels."""
FAINTEST = 1e-9
"""Power below which a spectrum counts as empty: rounding to 16 bits leaves about 1e-10."""


@dataclass
class _Sums:
    """Sums over pictures, on the scale of the series' range."""

    profiles: Values
    plain: Values
    cells: Values
    flat: Values
    spreads: Values
    levels: Values
    shares: Values
    pictures: int = 0


def features(pictures: Iterable[NDArray[Any]]) -> NDArray[np.float32] | None:
    """Two rows of features, one seen from each axis; None where there is nothing to see.

    Neither the scale nor the offset of the pictures changes them.

    Args:
        pictures: Two-dimensional, of one series; they may differ in size.

    Returns:
        (2, features): the first row describes the axis of the rows' index, the second the other.
    """
    usable = [np.asarray(each, np.float64) for each in pictures if min(each.shape) >= SMALLEST_SIZE]
    if not usable:
        return None
    lowest = min(float(picture.min()) for picture in usable)
    range_ = intensity_range(usable)
    if range_ <= 0 or not np.isfinite(range_):
        return None
    sums = _Sums(
        np.zeros((2, len(BANDS), BINS)),
        np.zeros((2, len(BANDS), BINS)),
        np.zeros((CELLS, CELLS)),
        np.zeros((2, BLOCK // 2)),
        np.zeros(len(SPREADS)),
        np.zeros(len(LEVELS)),
        np.zeros(4),
    )
    for picture in usable:
        _add(sums, ((picture - lowest) / range_).astype(np.float32))
    sizes = np.mean([np.log2(np.minimum(picture.shape, 256)) for picture in usable], axis=0)
    return np.stack([_row(sums, sizes, axis) for axis in (0, 1)])


def intensity_range(pictures: Iterable[NDArray[Any]]) -> float:
    """From the lowest value to the brightest tissue, of which noise is told as a share.

    Args:
        pictures: Of one series.
    """
    pictures = list(pictures)
    lowest = min(float(picture.min()) for picture in pictures)
    # As the network's scale is set: a few bright pixels must not squeeze the tissue.
    bright = max(float(_quantiles(picture, (0.999,))[0]) for picture in pictures)
    if bright <= lowest:
        bright = max(float(picture.max()) for picture in pictures)
    return bright - lowest


def _add(sums: _Sums, picture: Picture) -> None:
    for taper, target in ((_hann(*picture.shape), sums.profiles), (None, sums.plain)):
        power = _power(picture, taper)
        for axis, lines in enumerate((power, power.T)):
            bins, bands = _bins(lines.shape[0]), _bands(lines.shape[1])
            target[axis] += (bins @ lines @ bands.T).T
        if taper is not None:
            sums.cells += _cells(power.shape[0]) @ power @ _cells(power.shape[1]).T
    _add_flat_blocks(sums, picture)
    _add_spreads(sums, picture)
    sums.pictures += 1


def _power(picture: Picture, taper: Picture | None) -> Values:
    """The power of each pair of frequencies, not negative ones; white noise has its variance."""
    centred = picture - picture.mean()
    weight = float(picture.size)
    if taper is not None:
        centred = centred * taper
        weight = float(np.sum(taper * taper))
    rows, columns = picture.shape
    spectrum = np.fft.rfft2(centred)
    half = (spectrum.real**2 + spectrum.imag**2) / weight
    # Positive and negative frequencies of the rows' axis are two views of one number.
    folded = half[: rows // 2 + 1].copy()
    folded[1:] += half[: rows - rows // 2 - 1 : -1] if rows % 2 else half[: rows // 2 - 1 : -1]
    folded[1:] *= 0.5
    return np.asarray(folded[:, : columns // 2 + 1])


@lru_cache(maxsize=64)
def _hann(rows: int, columns: int) -> Picture:
    return (np.hanning(rows)[:, None] * np.hanning(columns)[None, :]).astype(np.float32)


@lru_cache(maxsize=64)
def _bins(lines: int) -> Values:
    """Triangles over the lines of an axis, (BINS, lines): each bin's mean, or between two lines."""
    return _triangles(lines, BINS)


@lru_cache(maxsize=64)
def _cells(lines: int) -> Values:
    return _triangles(lines, CELLS)


def _triangles(lines: int, count: int) -> Values:
    frequency = np.arange(lines) / (lines - 1)
    centres = (np.arange(count) + 0.5) / count
    reach = max(1.0 / count, 1.0 / (lines - 1))
    weight = np.maximum(1.0 - np.abs(centres[:, None] - frequency[None, :]) / reach, 0.0)
    weight[:, 0] = 0.0  # Nothing is left of the mean.
    weight[0, 1] += 1e-6
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


@lru_cache(maxsize=64)
def _bands(lines: int) -> Values:
    frequency = np.arange(lines) / (lines - 1)
    rows = [(frequency > low) & (frequency <= high) for low, high in BANDS]
    weight = np.array(rows, np.float64)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _add_flat_blocks(sums: _Sums, picture: Picture) -> None:
    """The spectrum of the flattest blocks: of the noise in air, with little of the object."""
    rows, columns = picture.shape
    steps = [max(BLOCK // 2, -(-size // MOST_BLOCKS)) for size in (rows, columns)]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (BLOCK, BLOCK))
    blocks = windows[:: steps[0], :: steps[1]].reshape(-1, BLOCK * BLOCK)
    is_masked = (blocks == blocks.min(axis=1, keepdims=True)).mean(axis=1) > 0.1
    blocks = blocks - blocks.mean(axis=1, keepdims=True)
    spread = np.einsum("ij,ij->i", blocks, blocks)
    kept = np.flatnonzero(~is_masked)
    if kept.size == 0:
        return
    order = kept[np.argsort(spread[kept], kind="stable")[: max(3, int(kept.size * FLATTEST))]]
    taper = _hann(BLOCK, BLOCK)
    half = BLOCK // 2
    chosen = blocks[order].reshape(-1, BLOCK, BLOCK)
    power = np.abs(np.fft.fft2(chosen * taper)) ** 2 / np.sum(taper * taper)
    mean = power.mean(axis=0)
    sums.flat[0] += mean[1 : half + 1, : half // 2 + 1].mean(axis=1)
    sums.flat[1] += mean[: half // 2 + 1, 1 : half + 1].mean(axis=0)


def _add_spreads(sums: _Sums, picture: Picture) -> None:
    rows, columns = (size // TILE * TILE for size in picture.shape)
    tiles = picture[:rows, :columns].reshape(rows // TILE, TILE, columns // TILE, TILE)
    means = tiles.mean(axis=(1, 3)).ravel()
    squares = np.einsum("aibj,aibj->ab", tiles, tiles).ravel() / TILE**2
    spreads = np.sqrt(np.maximum(squares - means**2, 0))
    is_flat = spreads < 1e-6
    if is_flat.all():
        return
    means, spreads = means[~is_flat], spreads[~is_flat]
    dark = means <= _quantiles(means, (0.1,))
    sums.spreads += _quantiles(spreads, SPREADS)
    sums.levels += _quantiles(picture[::2, ::2], LEVELS)
    ratio = means[dark].mean() / spreads[dark].mean()
    masked = float(np.mean(picture == picture.min()))
    sums.shares += (float(is_flat.mean()), masked, min(ratio, 10.0), spreads[dark].mean())


def _quantiles(values: NDArray[Any], shares: tuple[float, ...]) -> NDArray[Any]:
    """Without interpolation, which takes longer than all the rest."""
    places = [round(share * (values.size - 1)) for share in shares]
    return np.partition(values, places, axis=None)[places]


def _row(sums: _Sums, sizes: Values, axis: int) -> NDArray[np.float32]:
    """All features as seen from one axis: CHANNELS profiles of its own, then the rest."""
    count = sums.pictures
    profiles, references = [], []
    for each in (axis, 1 - axis):
        for total in (sums.profiles[each], sums.plain[each]):
            log = np.log10(total / count + FAINTEST)
            reference = log[:, 1:4].mean(axis=1, keepdims=True)
            profiles.append((log - reference).ravel() / 2.0)
            references.append(reference.ravel() / 2.0 + 1.0)
    parts = [*profiles, *references]
    for each in (axis, 1 - axis):
        flat = np.log10(sums.flat[each] / count + FAINTEST)
        parts += [flat - flat[:1], flat[:1] / 2.0 + 2.0]
    cells = np.log10((sums.cells if axis == 0 else sums.cells.T) / count + FAINTEST)
    parts.append((cells - cells[0, 0]).ravel() / 4.0 + 0.5)
    parts.append(np.log10(sums.spreads / count + 1e-5) + 2.0)
    parts.append(np.log10(sums.levels / count + 1e-4) / 2.0 + 1.0)
    share = sums.shares / count
    parts.append(np.array([*share[:2], share[2] / 4.0, np.log10(share[3] + 1e-5) + 2.0]))
    parts.append((sizes[[axis, 1 - axis]] - 6.5) / 2.0)
    parts.append(np.array([np.log2(count) / 4.0]))
    return np.concatenate(parts).astype(np.float32)
