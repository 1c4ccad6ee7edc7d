"""LPIPS: how different two pictures look to a person, learned from 484,000 human judgements.

Zhang, Isola, Efros, Shechtman, Wang: "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", CVPR 2018; version 0.1 with AlexNet, 0 for identical pictures.

The numbers lie beside this file, `lpips_alex.npz`, for three reasons: a hospital's proxy blocks
downloads, a metric must not change with what a server hands out, and both licences allow it
(AlexNet: torchvision, BSD-3; linear heads: Zhang et al., BSD-2). The kernels of the second to
fifth convolution are kept as float16, half the size; the rest is float32, because rounding the
first convolution too moves real cardiac pictures' LPIPS by 2e-4, rounding the others by 1e-5.
Computed with numpy, so that scoring asks for no deep-learning framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError

SMALLEST_SIDE = 31
"""Below this nothing is left of the picture after the second pooling."""

Features = NDArray[np.float32]

INPUT_SHIFT = np.array([-0.030, -0.088, -0.188], dtype=np.float32)
INPUT_SCALE = np.array([0.458, 0.448, 0.450], dtype=np.float32)
STRIDES_AND_PADDINGS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
POOLED_BEFORE = (1, 2)


def lpips(reference: NDArray[Any], candidate: NDArray[Any], *, data_range: float) -> float:
    """Perceptual distance of a grey picture from its reference, 0 for identical ones.

    Args:
        reference: (row, column); 0 is black, `data_range` is white.
        candidate: (row, column), on the same scale.
        data_range: Value that counts as white.

    Raises:
        UnfitImageError: The two differ in size or are under 31 pixels wide.
    """
    if reference.shape != candidate.shape or reference.ndim != 2:
        raise UnfitImageError(
            f"LPIPS was asked for between pictures of {reference.shape} and {candidate.shape} "
            "pixels; expected two of the same (row, column) size."
        )
    if min(reference.shape) < SMALLEST_SIDE:
        raise UnfitImageError(
            f"LPIPS needs at least {SMALLEST_SIDE} rows and columns; this picture has "
            f"{reference.shape[0]} rows and {reference.shape[1]} columns."
        )
    weights = lpips_weights()
    distance = 0.0
    pair = [_directions(picture / data_range) for picture in (reference, candidate)]
    for layer, (first, second) in enumerate(zip(*pair, strict=True)):
        difference = (first - second) ** 2
        distance += float((difference @ weights[f"lin{layer}"]).mean(dtype=np.float64))
    return distance


def _directions(picture: NDArray[Any]) -> tuple[Features, ...]:
    """The features of each layer, (row, column, channel), every pixel's of length one."""
    picture = np.asarray(picture, dtype=np.float32)
    return _known_directions(picture.tobytes(), picture.shape)


@lru_cache(maxsize=2)
def _known_directions(pixels: bytes, shape: tuple[int, int]) -> tuple[Features, ...]:
    # Several candidates are compared with one reference, whose features cost half of the time.
    picture = np.frombuffer(pixels, dtype=np.float32).reshape(shape)
    return tuple(_unit_length(features) for features in _features(picture))


@cache
def lpips_weights() -> dict[str, Features]:
    """The numbers of AlexNet and of the linear heads, by layer.

    `conv0/kernel` (row, column, in, out), `conv0/bias`, `lin0` (channel,) and so on.
    """
    path = files("cinesr.evaluation").joinpath("lpips_alex.npz")
    with path.open("rb") as file, np.load(file) as numbers:
        return {name: numbers[name].astype(np.float32) for name in numbers.files}


def _unit_length(features: Features) -> Features:
    length: Features = np.linalg.norm(features, axis=2, keepdims=True)
    return features / (length + np.float32(1e-10))


def _features(picture: NDArray[Any]) -> Iterator[Features]:
    """The five rectified convolutions of AlexNet, each (row, column, channel)."""
    grey = (2 * picture - 1).astype(np.float32)
    features: Features = (grey[..., None] - INPUT_SHIFT) / INPUT_SCALE
    weights = lpips_weights()
    for layer, (stride, padding) in enumerate(STRIDES_AND_PADDINGS):
        if layer in POOLED_BEFORE:
            features = _max_pool(features)
        kernel, bias = weights[f"conv{layer}/kernel"], weights[f"conv{layer}/bias"]
        features = _convolve(features, kernel, stride=stride, padding=padding) + bias
        features = np.maximum(features, 0)
        yield features


def _convolve(features: Features, kernel: Features, *, stride: int, padding: int) -> Features:
    height, width, channels_in, channels_out = kernel.shape
    padded = np.pad(features, ((padding, padding), (padding, padding), (0, 0)))
    patches = sliding_window_view(padded, (height, width), axis=(0, 1))[::stride, ::stride]
    rows, columns = patches.shape[:2]
    flat = patches.transpose(0, 1, 3, 4, 2).reshape(-1, height * width * channels_in)
    convolved: Features = flat @ kernel.reshape(-1, channels_out)
    return convolved.reshape(rows, columns, channels_out)


def _max_pool(features: Features) -> Features:
    """3x3 at stride 2, as a maximum of three along each axis."""
    rows, columns = ((size - 3) // 2 * 2 + 1 for size in features.shape[:2])
    down = np.maximum.reduce([features[start : start + rows : 2] for start in range(3)])
    pooled: Features = np.maximum.reduce(
        [down[:, start : start + columns : 2] for start in range(3)]
    )
    return pooled
