"""The networks, in Keras 3, for one grey channel and any image size.

All take (batch, row, column, 1) on the intensity rule's scale, about [0, 1], and give
(batch, scale * row, scale * column, 1) with linear output. Every one is built from layers that
`cinesr.learning.export` knows.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cinesr.degradation import bicubic_matrix
from cinesr.learning.config import NetworkConfig


@keras.saving.register_keras_serializable(package="cinesr")
class EdgePadding(layers.Layer):  # type: ignore[misc]
    """Repeats the outermost pixels, so that a filter sees no black rim around the image.

    Args:
        size: Pixels on every side.
    """

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) to the same with 2 * size more rows and columns."""
        for axis in (1, 2):
            first = ops.take(inputs, [0] * self.size, axis=axis)
            last = ops.take(inputs, [ops.shape(inputs)[axis] - 1] * self.size, axis=axis)
            inputs = ops.concatenate([first, inputs, last], axis=axis)
        return inputs

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Grows rows and columns where they are known."""
        grown = [None if size is None else size + 2 * self.size for size in shape[1:3]]
        return (shape[0], *grown, shape[3])

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="cinesr")
class PixelShuffle(layers.Layer):  # type: ignore[misc]
    """Moves scale * scale channels into pixels (Shi et al., ESPCN, CVPR 2016).

    Args:
        scale: Output pixels per input pixel, per axis.
    """

    def __init__(self, scale: int, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, scale * scale) to (batch, scale * row, scale * column, 1)."""
        _, rows, columns, _ = ops.shape(inputs)
        scale = self.scale
        pixels = ops.reshape(inputs, (-1, rows, columns, scale, scale))
        pixels = ops.transpose(pixels, (0, 1, 3, 2, 4))
        return ops.reshape(pixels, (-1, rows * scale, columns * scale, 1))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Grows rows and columns where they are known."""
        grown = [None if size is None else size * self.scale for size in shape[1:3]]
        return (shape[0], *grown, 1)

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "scale": self.scale}


def build_network(config: NetworkConfig, *, precision: str = "float32") -> keras.Model:
    """Builds a network with fresh weights.

    Args:
        config: Which one.
        precision: "float32", or "bfloat16" for mixed precision: multiplications in bfloat16,
            weights and output in float32.
    """
    policy = "float32" if precision == "float32" else "mixed_bfloat16"
    builders = {"seed": _seed_network, "residual": _residual_network}
    return builders[config.architecture](config, policy)


def _convolution(filters: int, size: int, policy: str, **options: Any) -> Any:
    return layers.Conv2D(
        filters, size, padding="same", dtype=policy, kernel_initializer="he_normal", **options
    )


def _normalised(inputs: Any, policy: str, *, active: bool = True) -> Any:
    outputs = layers.BatchNormalization(dtype=policy)(inputs)
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
            features = layers.UpSampling2D(step, dtype=policy)(features)
        else:
            features = layers.Conv2DTranspose(
                filters,
                step if step % 2 else step + 2,
                strides=step,
                padding="same",
                dtype=policy,
                kernel_initializer="he_normal",
            )(features)
        features = _normalised(_convolution(filters, 3, policy)(features), policy)
    outputs = layers.Conv2D(1, 9, padding="same", dtype=policy)(features)
    outputs = layers.Activation("linear", dtype="float32")(outputs)
    return keras.Model(inputs, outputs, name="seed")


RESIDUAL_SCALE = 0.2
"""Keeps deep sums near the identity at the start, in place of batch norm (EDSR, 2017)."""


def _residual_network(config: NetworkConfig, policy: str) -> keras.Model:
    """Residual blocks without batch norm at low resolution, added to bicubic interpolation.

    After EDSR (Lim et al., CVPR-W 2017) with the pixel-shuffle tail of ESPCN; interpolation is a
    fixed 5x5 filter for each of the scale * scale output phases, exact in every runtime.
    """
    scale, filters = config.scale, config.filters
    inputs = keras.Input((None, None, 1))
    features = head = _convolution(filters, 3, policy)(inputs)
    for _ in range(config.blocks):
        branch = _convolution(filters, 3, policy, activation="relu")(features)
        branch = _convolution(filters, 3, policy)(branch)
        branch = layers.Rescaling(RESIDUAL_SCALE, dtype=policy)(branch)
        features = layers.Add(dtype=policy)([features, branch])
    features = layers.Add(dtype=policy)([_convolution(filters, 3, policy)(features), head])
    detail = layers.Conv2D(
        scale * scale, 3, padding="same", kernel_initializer="zeros", dtype=policy
    )(features)
    interpolation = layers.Conv2D(
        scale * scale,
        5,
        use_bias=False,
        trainable=False,
        dtype="float32",
        name="bicubic",
    )
    smooth = interpolation(EdgePadding(2, dtype="float32")(inputs))
    interpolation.set_weights([_bicubic_kernel(scale)])
    outputs = PixelShuffle(scale, dtype="float32")(layers.Add(dtype="float32")([smooth, detail]))
    return keras.Model(inputs, outputs, name="residual")


def _bicubic_kernel(scale: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(5, 5, 1, scale * scale): bicubic weights of the 5x5 neighbours for every output phase."""
    size = 9
    phases = bicubic_matrix(size, size * scale)[size // 2 * scale :][:scale]
    taps = phases[:, size // 2 - 2 : size // 2 + 3]
    kernel = np.einsum("ri,cj->ijrc", taps, taps).reshape(5, 5, 1, scale * scale)
    return np.asarray(kernel, dtype=np.float32)
