"""The few operations on which training spends its time, without copies on torch.

`keras.ops` serves every backend. On torch it turns each image to channels first and back in memory
around every convolution, and normalises batches in a dozen passes; there torch is called directly,
on views, which on a CPU about doubles the steps per second.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def on_torch() -> bool:
    """Whether Keras runs on torch."""
    return bool(keras.backend.backend() == "torch")


def convolve(inputs: Any, kernel: Any, bias: Any, *, same: bool) -> Any:
    """A convolution with stride 1.

    Args:
        inputs: (batch, row, column, in).
        kernel: (row, column, in, out), odd sizes.
        bias: (out,) or None.
        same: Pad with zeros to keep the size; else keep what the kernel covers.
    """
    if on_torch():
        from torch.nn.functional import conv2d

        padding = [size // 2 if same else 0 for size in kernel.shape[:2]]
        outputs = conv2d(
            inputs.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, padding=padding
        )
        return outputs.permute(0, 2, 3, 1)
    outputs = ops.conv(inputs, kernel, padding="same" if same else "valid")
    return outputs if bias is None else outputs + bias


def convolve_transposed(inputs: Any, kernel: Any, bias: Any, *, scale: int) -> Any:
    """A transposed convolution whose output is centred on the input's grid.

    Args:
        inputs: (batch, row, column, in).
        kernel: (row, column, out, in); size minus scale is even.
        bias: (out,).
        scale: Output pixels per input pixel, per axis.
    """
    if on_torch():
        from torch.nn.functional import conv_transpose2d

        padding = (kernel.shape[0] - scale) // 2
        images, weights = inputs.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
        outputs = conv_transpose2d(images, weights, bias, stride=scale, padding=padding)
        return outputs.permute(0, 2, 3, 1)
    return ops.conv_transpose(inputs, kernel, scale, padding="same") + bias


def max_pool(inputs: Any) -> Any:
    """The largest of each 2x2 pixels of (batch, row, column, channel)."""
    if on_torch():
        from torch.nn.functional import max_pool2d

        return max_pool2d(inputs.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    return ops.max_pool(inputs, (2, 2), (2, 2))


def batch_norm(inputs: Any, gamma: Any, beta: Any, *, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalises by the batch's own statistics.

    Args:
        inputs: (batch, row, column, channel).
        gamma: (channel,), float32.
        beta: (channel,), float32.
        epsilon: Added to the variance.

    Returns:
        Outputs of the inputs' type, and (channel,) mean and variance in float32.
    """
    if on_torch():
        import torch

        outputs, mean, inverse = torch.native_batch_norm(
            inputs.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, epsilon
        )
        return outputs.permute(0, 2, 3, 1), mean.detach(), inverse.detach() ** -2 - epsilon
    wide = ops.cast(inputs, "float32")
    mean, variance = ops.moments(wide, axes=(0, 1, 2))
    outputs = ops.batch_normalization(
        wide, mean, variance, -1, offset=beta, scale=gamma, epsilon=epsilon
    )
    return ops.cast(outputs, inputs.dtype), mean, variance
