"""The networks of PyTorch's modules, as its users write them, with numbers from Keras."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cinesr.learning.networks import RESIDUAL_SCALE

Array = NDArray[np.float32]
KERAS_EPSILON = 1e-3


def torch_network(
    architecture: str, numbers: Iterable[Array], *, scale: int, blocks: int
) -> nn.Module:
    """A network ready to run, (batch, 1, row, column) in and out.

    Args:
        architecture: "seed" or "residual".
        numbers: The weights of `stock_twin.stock_network` in their order.
        scale: Output pixels per input pixel, per axis.
        blocks: Residual blocks.
    """
    stored = iter(numbers)
    network = (
        _seed(stored, scale, blocks) if architecture == "seed" else _Residual(stored, scale, blocks)
    )
    return network.eval()


def _convolution(numbers: Iterator[Array], *, bias: bool = False, same: bool = True) -> nn.Module:
    kernel = next(numbers)
    taps, _, inputs, outputs = kernel.shape
    layer = nn.Conv2d(inputs, outputs, taps, padding=taps // 2 if same else 0, bias=bias)
    _fill(layer.weight, kernel.transpose(3, 2, 0, 1))
    if bias:
        _fill(layer.bias, next(numbers))
    return layer


def _normalised(numbers: Iterator[Array]) -> list[nn.Module]:
    convolution = _convolution(numbers, bias=True)
    values = [next(numbers) for _ in range(4)]
    norm = nn.BatchNorm2d(len(values[0]), eps=KERAS_EPSILON)
    parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    for part, value in zip(parts, values, strict=True):
        _fill(part, value)
    return [convolution, norm]


def _fill(parameter: Any, values: Array) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.copy()))


class _Sum(nn.Module):  # type: ignore[misc]
    """What comes in, plus what a branch makes of it."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, features: Any) -> Any:
        return features + self.branch(features)


class _ScaledSum(_Sum):
    """The same with a constant factor on the branch."""

    def forward(self, features: Any) -> Any:
        return features + RESIDUAL_SCALE * self.branch(features)


def _seed(numbers: Iterator[Array], scale: int, blocks: int) -> nn.Module:
    parts = [*_normalised(numbers), nn.ReLU()]
    for _ in range(blocks):
        parts += [_Sum(*_normalised(numbers), nn.ReLU(), *_normalised(numbers))]
    for _ in range(scale.bit_length() - 1):
        parts += [nn.Upsample(scale_factor=2, mode="nearest"), *_normalised(numbers), nn.ReLU()]
    return nn.Sequential(*parts, _convolution(numbers, bias=True))


class _Residual(nn.Module):  # type: ignore[misc]
    def __init__(self, numbers: Iterator[Array], scale: int, blocks: int) -> None:
        super().__init__()
        self.pad, self.shuffle = nn.ReplicationPad2d(2), nn.PixelShuffle(scale)
        self.head = _convolution(numbers, same=False)
        parts = [
            _ScaledSum(_convolution(numbers), nn.ReLU(), _convolution(numbers))
            for _ in range(blocks)
        ]
        self.body = _Sum(*parts, _convolution(numbers))
        # Keras sorts layers of the same depth by what they read: the image comes first.
        self.smooth, self.detail = _convolution(numbers, same=False), _convolution(numbers)

    def forward(self, images: Any) -> Any:
        padded = self.pad(images)
        return self.shuffle(self.smooth(padded) + self.detail(self.body(self.head(padded))))
