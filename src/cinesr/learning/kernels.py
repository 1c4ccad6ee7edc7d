"""The few operations on which training spends its time, without copies on torch.

`keras.ops` serves every backend. On torch it turns each image to channels first and back in memory
around every convolution, and normalises batches in a dozen passes; there torch is called directly,
on views, which on a CPU about doubles the steps per second. On a CPU, JAX differentiates a
transposed convolution ten times as slowly as plain ones that are the same function.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from cinesr.learning.hardware import trains_on_gpu


def on_torch() -> bool:
    """Whether Keras runs on torch."""
    return bool(keras.backend.backend() == "torch")


def pad_edges(inputs: Any, size: int) -> Any:
    """Repeats the outermost pixels on every side.

    Args:
        inputs: (batch, row, column, channel).
        size: How often.
    """
    if on_torch():
        from torch.nn.functional import pad

        return pad(inputs.permute(0, 3, 1, 2), [size] * 4, "replicate").permute(0, 2, 3, 1)
    for axis in (1, 2):
        first = ops.take(inputs, [0] * size, axis=axis)
        last = ops.take(inputs, [ops.shape(inputs)[axis] - 1] * size, axis=axis)
        inputs = ops.concatenate([first, inputs, last], axis=axis)
    return inputs


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
    if trains_on_gpu():
        return ops.conv_transpose(inputs, kernel, scale, padding="same") + bias
    return _by_phases(inputs, ops.transpose(kernel, (0, 1, 3, 2)), scale) + bias


def _by_phases(inputs: Any, kernel: Any, scale: int) -> Any:
    """A transposed convolution as one plain convolution for each phase of the output's pixels.

    XLA differentiates a transposed convolution ten times as slowly on a processor.

    Args:
        inputs: (batch, row, column, in).
        kernel: (row, column, in, out).
        scale: Output pixels per input pixel, per axis.
    """
    _, rows, columns, _ = ops.shape(inputs)
    size, filters = kernel.shape[0], kernel.shape[3]
    reach = size // scale
    padded = ops.pad(inputs, [(0, 0), (reach, reach), (reach, reach), (0, 0)])
    phases = []
    for row in range(scale):
        first_row, row_taps = _phase_taps(row, size, scale)
        for column in range(scale):
            first_column, column_taps = _phase_taps(column, size, scale)
            seen = padded[
                :,
                reach + first_row : reach + first_row + rows + len(row_taps) - 1,
                reach + first_column : reach + first_column + columns + len(column_taps) - 1,
            ]
            taps = ops.take(ops.take(kernel, row_taps, axis=0), column_taps, axis=1)
            phases.append(ops.conv(seen, taps, padding="valid"))
    pixels = ops.reshape(ops.stack(phases, axis=3), (-1, rows, columns, scale, scale, filters))
    pixels = ops.transpose(pixels, (0, 1, 3, 2, 4, 5))
    return ops.reshape(pixels, (-1, rows * scale, columns * scale, filters))


def _phase_taps(phase: int, size: int, scale: int) -> tuple[int, list[int]]:
    """The first input pixel that a phase sees, counted from its own, and its taps from there on."""
    crop = (size - scale) // 2
    seen = {step: phase - scale * step + crop for step in range(-size, size)}
    taps = {step: tap for step, tap in seen.items() if 0 <= tap < size}
    return min(taps), list(taps.values())


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
