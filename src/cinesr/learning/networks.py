"""The networks, in Keras 3, for one grey channel and any image size.

All take (batch, row, column, 1) on the intensity rule's scale, about [0, 1], and give
(batch, scale * row, scale * column, 1) with linear output. Some are told how their input was
acquired as well: (batch, number), from `cinesr.degradation.Degradation.described`. Every one is
built from layers that `cinesr.learning.export` knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from cinesr.degradation import DESCRIPTION, bicubic_matrix
from cinesr.learning.config import NetworkConfig
from cinesr.learning.layers import (
    BatchNormalization,
    ChannelScaling,
    Convolution,
    DifferenceConvolution,
    EdgePadding,
    NearestConvolution,
    PixelShuffle,
    Rescaling,
    TransposedConvolution,
    WideConvolution,
)


def build_network(config: NetworkConfig, *, precision: str = "float32") -> keras.Model:
    """Builds a network with fresh weights.

    Args:
        config: Which one.
        precision: "float32", or "bfloat16" for mixed precision: multiplications in bfloat16,
            weights and output in float32.
    """
    policy = "float32" if precision == "float32" else "mixed_bfloat16"
    builders = {"seed": _seed_network, "residual": _residual_network, "wide": _wide_network}
    return builders[config.architecture](config, policy)


def _convolution(filters: int, size: int, policy: str, **options: Any) -> Any:
    return Convolution(
        filters, size, padding="same", dtype=policy, kernel_initializer="he_normal", **options
    )


def _normalised(inputs: Any, policy: str, *, active: bool = True) -> Any:
    outputs = BatchNormalization(dtype=policy)(inputs)
    return layers.ReLU(dtype=policy)(outputs) if active else outputs


def _seed_network(config: NetworkConfig, policy: str) -> keras.Model:
    """The seed experiment's network, after Johnson et al. (ECCV 2016) and SRResNet (CVPR 2017).

    9x9 conv, BN, ReLU; residual blocks (conv3, BN, ReLU, conv3, BN, sum); upscaling blocks
    (upsampling, conv3, BN, ReLU); 9x9 conv. A transposed convolution has 4x4 taps: with stride 2 an
    even kernel is the one that is centred on the new pixels; scale 3 has one block with 3x3 taps.
    """
    filters = config.filters
    inputs = keras.Input((None, None, 1))
    features = _normalised(_convolution(filters, 9, policy)(inputs), policy)
    for _ in range(config.blocks):
        branch = _normalised(_convolution(filters, 3, policy)(features), policy)
        branch = _normalised(_convolution(filters, 3, policy)(branch), policy, active=False)
        features = layers.Add(dtype=policy)([features, branch])
    for step in [3] if config.scale == 3 else [2] * (config.scale.bit_length() - 1):
        if config.upsampling == "nearest":
            features = NearestConvolution(filters, step, dtype=policy)(features)
        else:
            features = TransposedConvolution(
                filters,
                step if step % 2 else step + 2,
                strides=step,
                padding="same",
                dtype=policy,
                kernel_initializer="he_normal",
            )(features)
            features = _convolution(filters, 3, policy)(features)
        features = _normalised(features, policy)
    outputs = WideConvolution(9, min(config.scale, 4), dtype=policy)(features)
    outputs = layers.Activation("linear", dtype="float32")(outputs)
    return keras.Model(inputs, outputs, name="seed")


RESIDUAL_SCALE = 0.2
"""Keeps deep sums near the identity at the start, in place of batch norm (EDSR, 2017)."""


def _residual_network(config: NetworkConfig, policy: str) -> keras.Model:
    """Residual blocks at low resolution predict what bicubic interpolation lacks.

    After EDSR (Lim et al., CVPR-W 2017) with the pixel-shuffle tail of ESPCN. The blocks see
    differences between neighbours alone, and no layer has a bias (Mohan et al., "Robust and
    interpretable blind image denoising via bias-free convolutional neural networks", ICLR 2020):
    f(a x + b) = a f(x) + b for a > 0, whatever scale and offset a scanner gives its images, and a
    constant image stays constant at any size, borders included.
    """

    def block(features: Any, told: _Told) -> Any:
        branch = told.scaled(_linear(config.filters, 3, policy)(features))
        return _linear(config.filters, 3, policy)(layers.ReLU(dtype=policy)(branch))

    return _detail_network(config, policy, block)


def _wide_network(config: NetworkConfig, policy: str) -> keras.Model:
    """Like the residual network, with many channels before each ReLU and few after.

    Blocks of WDSR-B (Yu et al., "Wide activation for efficient image and video super-resolution",
    2018): 1x1 conv to 6 times the channels, ReLU, 1x1 conv to 0.8 times, 3x3 conv.
    """

    def block(features: Any, told: _Told) -> Any:
        branch = told.scaled(_linear(6 * config.filters, 1, policy)(features))
        branch = layers.ReLU(dtype=policy)(branch)
        branch = _linear(round(0.8 * config.filters), 1, policy)(branch)
        return _linear(config.filters, 3, policy)(branch)

    return _detail_network(config, policy, block)


TOLD_HIDDEN = 64


class _Told:
    """Gives each place in a network factors for its channels, from what the network is told.

    The factors are one until something was learned ("FiLM", Perez et al., AAAI 2018, without
    offsets). They do not depend on the image, so that f(a x + b) = a f(x) + b still holds, and they
    can be folded into the kernels once for a whole series.
    """

    def __init__(self, config: NetworkConfig, policy: str) -> None:
        self._policy, self._channels = policy, 0
        self._inputs = keras.Input((DESCRIPTION,), name="told") if config.told else None
        self._numbers: Any = None
        if config.told:
            hidden = layers.Dense(TOLD_HIDDEN, dtype="float32")(self._inputs)
            hidden = layers.ReLU(dtype="float32")(hidden)
            wide = 6 if config.architecture == "wide" else 1
            numbers = config.filters * (config.blocks * (wide + 1) + 1)
            self._numbers = layers.Dense(numbers, kernel_initializer="zeros", dtype="float32")(
                hidden
            )

    @property
    def inputs(self) -> list[Any]:
        """Of the network, beside the image."""
        return [] if self._inputs is None else [self._inputs]

    def scaled(self, features: Any, factor: float = 1.0) -> Any:
        """The features, each channel times its factor, and all times one more."""
        if self._numbers is None:
            plain = factor == 1.0
            return features if plain else Rescaling(factor, dtype=self._policy)(features)
        place, self._channels = self._channels, self._channels + features.shape[-1]
        return ChannelScaling(place, factor, dtype=self._policy)([features, self._numbers])


def _detail_network(
    config: NetworkConfig, policy: str, block: Callable[[Any, _Told], Any]
) -> keras.Model:
    scale, filters = config.scale, config.filters
    inputs = keras.Input((None, None, 1), name="low")
    told = _Told(config, policy)
    padded = EdgePadding(2, dtype="float32")(inputs)
    features = head = DifferenceConvolution(filters, 5, use_bias=False, dtype="float32")(padded)
    for _ in range(config.blocks):
        branch = told.scaled(block(features, told), factor=RESIDUAL_SCALE)
        features = layers.Add(dtype=policy)([features, branch])
    features = told.scaled(_linear(filters, 3, policy)(features))
    features = layers.Add(dtype=policy)([features, head])
    detail = _linear(scale * scale, 3, policy, kernel_initializer="zeros")(features)
    # Interpolation is a fixed 5x5 filter for each of the output phases, exact in every runtime.
    interpolation = Convolution(
        scale * scale, 5, use_bias=False, trainable=False, dtype="float32", name="bicubic"
    )
    smooth = interpolation(padded)
    interpolation.set_weights([_bicubic_kernel(scale)])
    outputs = PixelShuffle(scale, dtype="float32")(layers.Add(dtype="float32")([smooth, detail]))
    return keras.Model(
        [inputs, *told.inputs] if told.inputs else inputs, outputs, name=config.architecture
    )


def _linear(filters: int, size: int, policy: str, **options: Any) -> Any:
    options = {"kernel_initializer": "he_normal", **options}
    return Convolution(filters, size, padding="same", use_bias=False, dtype=policy, **options)


def _bicubic_kernel(scale: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(5, 5, 1, scale * scale): bicubic weights of the 5x5 neighbours for every output phase."""
    size = 9
    phases = bicubic_matrix(size, size * scale)[size // 2 * scale :][:scale]
    taps = phases[:, size // 2 - 2 : size // 2 + 3]
    kernel = np.einsum("ri,cj->ijrc", taps, taps).reshape(5, 5, 1, scale * scale)
    return np.asarray(kernel, dtype=np.float32)


def multiply_adds(network: keras.Model) -> float:
    """Multiplications and additions per output pixel, as the layers are defined.

    Convolutions alone are counted; nearest-neighbour interpolation before a 3x3 convolution counts
    as just that, whatever merged form it is computed in.

    Args:
        network: Made by `build_network`.
    """
    side = 48
    shapes: dict[int, tuple[int, ...]] = {}
    total = 0.0
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            image = len(layer.output.shape) == 4
            shapes[id(layer.output)] = (1, side, side, 1) if image else (1, layer.output.shape[1])
            continue
        sources = [shapes[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
        shape = layer.compute_output_shape(sources if len(sources) > 1 else sources[0])
        shapes[id(layer.output)] = shape
        # What is told is taken in once for a series, and costs nothing per pixel.
        if hasattr(layer, "kernel") and len(shape) == 4:
            taps = math.prod(layer.kernel.shape)
            pixels = shape[1] * shape[2]
            if isinstance(layer, TransposedConvolution):
                pixels = sources[0][1] * sources[0][2]
            total += taps * pixels
    rows, columns = shapes[id(network.outputs[0])][1:3]
    return total / (rows * columns)
