"""The cheapest convolutions that compute what a trained network computes.

Every function here is an identity of linear algebra on kernels: the result is the same function of
the image, at the borders too, but for the rounding of float32. Kernels are (row, column, in, out)
unless said otherwise; sums are taken in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def fold_batch_norm(kernel: Array, bias: Array, norm: Any) -> tuple[Array, Array]:
    """The convolution that does the work of a convolution and the batch norm after it.

    Args:
        kernel: (row, column, in, out).
        bias: (out,).
        norm: A `keras.layers.BatchNormalization` with its statistics as learned.
    """
    factor = np.asarray(norm.gamma, np.float64) / np.sqrt(
        np.asarray(norm.moving_variance, np.float64) + norm.epsilon
    )
    shifted = (bias - np.asarray(norm.moving_mean, np.float64)) * factor
    folded = shifted + np.asarray(norm.beta, np.float64)
    return (kernel * factor).astype(np.float32), folded.astype(np.float32)


def fold_factor(kernel: Array, bias: Array, factor: float) -> tuple[Array, Array]:
    """The convolution that does the work of a convolution and the constant factor after it."""
    return (kernel * np.float64(factor)).astype(np.float32), (bias * factor).astype(np.float32)


def merge_mean(kernel: Array) -> Array:
    """The plain kernel of a convolution that subtracts the mean over its taps when it runs."""
    mean = kernel.mean(axis=(0, 1), keepdims=True, dtype=np.float64)
    return np.asarray(kernel - mean, dtype=np.float32)


def merge_nearest(kernel: Array, scale: int) -> Array:
    """The transposed convolution that is nearest-neighbour interpolation, then a 3x3 convolution.

    An output pixel sees `scale` copies of a pixel through taps that can be summed beforehand: at
    scale 2 two by two taps are left of three by three. Cropped by one pixel on every side, it pads
    the enlarged image with zeros, as the convolution does.

    Args:
        kernel: (3, 3, in, out).
        scale: Output pixels per input pixel, per axis.

    Returns:
        (scale + 2, scale + 2, out, in), for stride `scale`.
    """
    spread = nearest_taps(scale).astype(np.float64)
    merged = np.einsum("ap,bq,pqio->aboi", spread, spread, kernel)
    return np.asarray(merged, dtype=np.float32)


def share_products(kernel: Array, column: int) -> tuple[Array, Array, Array]:
    """Three small convolutions that are nearest-neighbour interpolation by 2, then a 3x3 one.

    Rows 2i and 2i + 1 of the output see nearly the same pixels. Both are the first convolution of
    row i; to row 2i comes the second one of row i less row i - 1, to row 2i + 1 the third one of
    row i + 1 less row i. That is 6 products for 2 pixels, where `merge_nearest` has 8.

    Args:
        kernel: (3, 3, in, out).
        column: 0 for the even columns of the output, which see a pixel and its left neighbour; 1
            for the odd ones, which see a pixel and its right neighbour.

    Returns:
        Three of (1, 2, in, out).
    """
    left, middle, right = kernel.astype(np.float64).transpose(1, 0, 2, 3)
    seen = [left, middle + right] if column == 0 else [left + middle, right]
    rows = np.stack(seen, axis=1)
    first, second, third = (
        part[None].astype(np.float32) for part in (rows.sum(axis=0), -rows[0], rows[2])
    )
    return first, second, third


def nearest_taps(scale: int) -> Array:
    """(scale + 2, 3): which taps of a 3-tap kernel reach a pixel's copies from each distance."""
    copy = np.arange(scale + 2)[:, None] + np.arange(3)[None, :] - 2
    return ((copy >= 0) & (copy < scale)).astype(np.float32)


def merge_transposed(transposed: Array, kernel: Array) -> Array:
    """The transposed convolution that is a transposed convolution, then a 3x3 convolution.

    It is the same but for the outermost output pixels: there the convolution sees zeros, the merged
    one what the transposed convolution gives beyond the border. Those pixels are computed apart.

    Args:
        transposed: (size, size, middle, in), size minus stride even.
        kernel: (3, 3, middle, out).

    Returns:
        (size + 2, size + 2, out, in), for the same stride and one more pixel cropped per side.
    """
    size = transposed.shape[0]
    merged = np.zeros((size + 2, size + 2, kernel.shape[3], transposed.shape[3]))
    wide = transposed.astype(np.float64)
    for row in range(3):
        for column in range(3):
            part = np.einsum("abmi,mo->aboi", wide, kernel[row, column].astype(np.float64))
            merged[2 - row : 2 - row + size, 2 - column : 2 - column + size] += part
    return merged.astype(np.float32)


def merge_bias(bias: Array, kernel: Array, kernel_bias: Array) -> Array:
    """What a bias becomes behind a convolution, away from the borders.

    Args:
        bias: (middle,), of what is before the convolution.
        kernel: (row, column, middle, out).
        kernel_bias: (out,).
    """
    through = np.einsum("m,pqmo->o", bias.astype(np.float64), kernel.astype(np.float64))
    return np.asarray(through + kernel_bias, dtype=np.float32)


def stride_wide(kernel: Array, block: int) -> Array:
    """The strided convolution to block * block channels that is a convolution to one channel.

    Processors multiply for 8 or 16 output channels at once, and one leaves most of them idle. Here
    the block * block pixels of a block are channels of one pixel, to be shuffled into place
    afterwards; each has the taps at its own offset, and zeros around them.

    Args:
        kernel: (size, size, in, 1), size odd.
        block: Pixels per axis, which divides rows and columns.

    Returns:
        (size + block - 1, size + block - 1, in, block * block), for stride `block` and zero padding
        of size // 2 on every side.
    """
    size, _, channels, _ = kernel.shape
    wide = np.zeros((size + block - 1, size + block - 1, channels, block * block), np.float32)
    for row in range(block):
        for column in range(block):
            target = wide[row : row + size, column : column + size, :, row * block + column]
            target[...] = kernel[..., 0]
    return wide


def wide_phase(
    wide: Array, margin: int, phase: tuple[int, int]
) -> tuple[Array, tuple[int, int, int, int]]:
    """The part of a convolution with stride 4 that reads every second row and column.

    The parts of the four phases add up to the whole, so that an image which comes in phases need
    not be put together.

    Args:
        wide: (size, size, in, out), from `stride_wide` with blocks of 4.
        margin: Pixels of zeros that it pads on every side.
        phase: The first row and column that are read, each 0 or 1.

    Returns:
        (row, column, in, out), for stride 2 on the phase, and its zero padding: rows and columns
        before, rows and columns after.
    """
    (row, top, bottom), (column, left, right) = (
        _phase_taps(wide.shape[0], margin, start) for start in phase
    )
    return np.ascontiguousarray(wide[row::2, column::2]), (top, left, bottom, right)


def _phase_taps(size: int, margin: int, start: int) -> tuple[int, int, int]:
    """The first tap that meets a phase, and the zeros before and after the phase."""
    first = (margin + start) % 2
    before = (margin + start - first) // 2
    taps = (size - first + 1) // 2
    return first, before, taps - 2 - before


def split_wide(kernel: Array) -> tuple[Array, Array]:
    """Two convolutions that are a convolution to one channel, for images of any size.

    The first gives one channel for each column of taps, summed over the rows; the second adds these
    channels, each shifted to its column.

    Args:
        kernel: (size, size, in, 1), size odd.

    Returns:
        (size, 1, in, size) and (1, size, size, 1).
    """
    size = kernel.shape[0]
    first = kernel.transpose(0, 3, 2, 1)
    second = np.eye(size, dtype=np.float32)[None, :, :, None]
    return np.ascontiguousarray(first), second
