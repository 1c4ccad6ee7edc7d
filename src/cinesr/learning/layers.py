"""Layers that Keras has not, or has not as fast.

Each says what it computes in the field's words; how it gets there is chosen for speed, and is the
same function to rounding. Channels come last; sizes are free.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from cinesr.learning.kernels import (
    batch_norm,
    convolve,
    convolve_transposed,
    max_pool,
    on_torch,
    pad_edges,
)
from cinesr.learning.rewriting import nearest_taps

Shape = tuple[int | None, ...]


def _require(layer: layers.Layer, **expected: Any) -> None:
    """Refuses a setting of the layer that is inherited from, and that its fast form has not.

    Raises:
        ValueError: It is set to anything else.
    """
    for name, value in expected.items():
        found = getattr(layer, name)
        if found != value:
            raise ValueError(
                f"{type(layer).__name__} has {name} = {value!r} alone, not {found!r}; use Keras's "
                "own layer for that."
            )


def _grown(shape: Shape, scale: int, channels: int) -> Shape:
    rows, columns = (None if size is None else size * scale for size in shape[1:3])
    return (shape[0], rows, columns, channels)


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
        return pad_edges(inputs, self.size)

    def compute_output_shape(self, shape: Shape) -> Shape:
        """Grows rows and columns where they are known."""
        grown = [None if size is None else size + 2 * self.size for size in shape[1:3]]
        return (shape[0], *grown, shape[3])

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "size": self.size}


def shuffle_pixels(inputs: Any, scale: int) -> Any:
    """(batch, row, column, scale * scale) to (batch, scale * row, scale * column, 1)."""
    _, rows, columns, _ = ops.shape(inputs)
    pixels = ops.reshape(inputs, (-1, rows, columns, scale, scale))
    pixels = ops.transpose(pixels, (0, 1, 3, 2, 4))
    return ops.reshape(pixels, (-1, rows * scale, columns * scale, 1))


@keras.saving.register_keras_serializable(package="cinesr")
class ChannelScaling(layers.Layer):  # type: ignore[misc]
    """Multiplies each channel by one plus a number that the network was given for it.

    Args:
        place: Which of the numbers are this layer's, counted in channels from the first on.
        factor: By which all channels are multiplied as well.
    """

    def __init__(self, place: int, factor: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.place, self.factor = place, factor

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) and (batch, number) to the former's shape."""
        features, numbers = inputs
        channels = features.shape[-1]
        own = numbers[:, None, None, self.place : self.place + channels]
        return features * ops.cast(self.factor * (1.0 + own), features.dtype)

    def compute_output_shape(self, shapes: list[Shape]) -> Shape:
        """That of the features."""
        return shapes[0]

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "place": self.place, "factor": self.factor}


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
        return shuffle_pixels(inputs, self.scale)

    def compute_output_shape(self, shape: Shape) -> Shape:
        """Grows rows and columns where they are known."""
        return _grown(shape, self.scale, 1)

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="cinesr")
class Convolution(layers.Conv2D):  # type: ignore[misc]
    """`keras.layers.Conv2D` with stride 1, faster on torch."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _require(self, strides=(1, 1), dilation_rate=(1, 1), groups=1)
        _require(self, data_format="channels_last")
        if not all(size % 2 for size in self.kernel_size):
            raise ValueError(f"{type(self).__name__} has odd kernels alone, not {self.kernel_size}")

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) to (batch, row, column, filters)."""
        kernel = ops.convert_to_tensor(self.kernel)
        bias = ops.convert_to_tensor(self.bias) if self.use_bias else None
        return self.activation(convolve(inputs, kernel, bias, same=self.padding == "same"))


@keras.saving.register_keras_serializable(package="cinesr")
class DifferenceConvolution(Convolution):
    """A convolution whose taps sum to zero, so that it sees differences and no level.

    Its kernel is what was learned minus the mean over the taps.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _require(self, use_bias=False, activation=keras.activations.linear)

    def effective_kernel(self) -> Any:
        """(row, column, in, out), each output's taps of an input summing to zero."""
        kernel = ops.convert_to_tensor(self.kernel)
        return kernel - ops.mean(kernel, axis=(0, 1), keepdims=True)

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) to (batch, row, column, filters)."""
        return convolve(inputs, self.effective_kernel(), None, same=self.padding == "same")


@keras.saving.register_keras_serializable(package="cinesr")
class TransposedConvolution(layers.Conv2DTranspose):  # type: ignore[misc]
    """`keras.layers.Conv2DTranspose` with zero padding, faster on torch."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        step = self.strides[0]
        _require(self, strides=(step, step), padding="same", dilation_rate=(1, 1))
        _require(self, output_padding=None, use_bias=True, data_format="channels_last")
        _require(self, activation=keras.activations.linear)
        if self.kernel_size[0] != self.kernel_size[1] or (self.kernel_size[0] - step) % 2:
            raise ValueError(
                f"{type(self).__name__} has square kernels alone whose size less the stride is "
                f"even, not {self.kernel_size} with a stride of {step}"
            )

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) to (batch, stride * row, stride * column, filters)."""
        kernel, bias = ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias)
        return convolve_transposed(inputs, kernel, bias, scale=self.strides[0])


@keras.saving.register_keras_serializable(package="cinesr")
class MaxPooling(layers.MaxPooling2D):  # type: ignore[misc]
    """`keras.layers.MaxPooling2D` of 2x2 pixels, faster on torch."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _require(self, pool_size=(2, 2), strides=(2, 2), padding="valid")
        _require(self, data_format="channels_last")

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) to half the rows and columns."""
        return max_pool(inputs)


@keras.saving.register_keras_serializable(package="cinesr")
class Rescaling(layers.Rescaling):  # type: ignore[misc]
    """`keras.layers.Rescaling` by one number, faster on torch."""

    def call(self, inputs: Any) -> Any:
        """Any shape, to the same."""
        if on_torch() and not self.offset:
            return inputs * self.scale
        return super().call(inputs)


@keras.saving.register_keras_serializable(package="cinesr")
class BatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Keras's own, faster on torch in training."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _require(self, axis=-1, center=True, scale=True, synchronized=False)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Like `keras.layers.BatchNormalization.call`, for images."""
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        gamma, beta = (
            ops.convert_to_tensor(variable, "float32") for variable in (self.gamma, self.beta)
        )
        outputs, *found = batch_norm(inputs, gamma, beta, epsilon=self.epsilon)
        for moving, value in zip((self.moving_mean, self.moving_variance), found, strict=True):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="cinesr")
class NearestConvolution(layers.Layer):  # type: ignore[misc]
    """Nearest-neighbour interpolation, then a 3x3 convolution with zero padding.

    Computed as the one transposed convolution that is the same function, borders included: its
    kernel of (scale + 2) x (scale + 2) taps takes 4 multiplications per output and channel at
    scale 2, not 9.

    Args:
        filters: Output channels.
        scale: Output pixels per input pixel, per axis.
    """

    def __init__(self, filters: int, scale: int, **options: Any) -> None:
        super().__init__(**options)
        self.filters, self.scale = filters, scale

    def build(self, shape: Shape) -> None:
        """Makes the 3x3 kernel and the bias."""
        self.kernel = self.add_weight(
            name="kernel", shape=(3, 3, shape[-1], self.filters), initializer="he_normal"
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) to (batch, scale * row, scale * column, filters)."""
        spread = ops.cast(nearest_taps(self.scale), self.compute_dtype)
        merged = ops.einsum("ap,bq,pqio->aboi", spread, spread, self.kernel)
        bias = ops.convert_to_tensor(self.bias)
        return convolve_transposed(inputs, merged, bias, scale=self.scale)

    def compute_output_shape(self, shape: Shape) -> Shape:
        """Grows rows and columns where they are known."""
        return _grown(shape, self.scale, self.filters)

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "filters": self.filters, "scale": self.scale}


@keras.saving.register_keras_serializable(package="cinesr")
class WideConvolution(layers.Layer):  # type: ignore[misc]
    """A convolution of many channels to one, with zero padding.

    Processors multiply for many output channels at once, so one channel leaves them idle. Computed
    on the un-shuffled grid: `block` x `block` pixels stand as channels of one, and a convolution
    from all of them to all of them has block * block outputs; taps that fall outside are zero.

    Args:
        size: Taps per axis, odd.
        block: Pixels per axis that are taken together; divides rows and columns.
    """

    def __init__(self, size: int, block: int, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.block = size, block

    def build(self, shape: Shape) -> None:
        """Makes the kernel and the bias."""
        self.kernel = self.add_weight(
            name="kernel", shape=(self.size, self.size, shape[-1], 1), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """(batch, row, column, channel) to (batch, row, column, 1)."""
        _, rows, columns, channels = ops.shape(inputs)
        block = self.block
        blocks = (-1, rows // block, columns // block)
        pixels = ops.reshape(inputs, (-1, rows // block, block, columns // block, block, channels))
        pixels = ops.transpose(pixels, (0, 1, 3, 2, 4, 5))
        pixels = ops.reshape(pixels, (*blocks, block * block * channels))
        taps = ops.cast(_block_taps(self.size, block), self.compute_dtype)
        kernel = ops.einsum("uapt,vbqs,tsc->uvabcpq", taps, taps, self.kernel[..., 0])
        wide = taps.shape[0]
        kernel = ops.reshape(kernel, (wide, wide, block * block * channels, block * block))
        outputs = convolve(pixels, kernel, ops.repeat(self.bias, block * block), same=True)
        return shuffle_pixels(outputs, block)

    def compute_output_shape(self, shape: Shape) -> Shape:
        """The same image with one channel."""
        return (*shape[:3], 1)

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "size": self.size, "block": self.block}


def _block_taps(size: int, block: int) -> NDArray[np.float32]:
    """(blocks, pixel in, pixel out, tap): 1 where the tap joins the two pixels of an axis."""
    reach = -(-(size // 2) // block)
    offset = np.arange(-reach, reach + 1)[:, None, None, None] * block
    pixel_in, pixel_out = np.arange(block)[:, None, None], np.arange(block)[:, None]
    tap = np.arange(size) - size // 2
    return np.asarray(offset + pixel_in - pixel_out == tap, np.float32)
