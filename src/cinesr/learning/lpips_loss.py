"""LPIPS as a loss: the metric of `cinesr.evaluation.lpips`, in operations that have a gradient."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from cinesr.evaluation.lpips import (
    INPUT_SCALE,
    INPUT_SHIFT,
    POOLED_BEFORE,
    STRIDES_AND_PADDINGS,
    lpips_weights,
)

OFFSETS = ((0, 0), (1, 2), (2, 1), (3, 3))
"""Pixels that are left out above and to the left, for a fourth of the batch each. AlexNet looks at
every fourth pixel; where these always are the same ones of a network's output, it learns a pattern
that AlexNet does not see."""


WINDOW = 6
"""Periods over which a pattern is averaged, along each axis."""


@keras.saving.register_keras_serializable(package="cinesr")
class LpipsLoss(keras.losses.Loss):  # type: ignore[misc]
    """LPIPS with AlexNet (Zhang et al., CVPR 2018), held by a mean absolute error.

    LPIPS is nearly blind to faint patterns of a few pixels, so that what is periodic in the error
    can be charged as well. Images are (batch, row, column, 1), about [0, 1], at least 40 pixels
    wide.

    Args:
        fidelity: Weight of the mean absolute error on the 0-255 scale that is added. LPIPS alone is
            about 0.1 where that error is about 3.
        pattern: Weight of `periodic_error` that is added.
        period: Output pixels of one input pixel along an axis, which is what a pixel shuffle
            repeats.
    """

    def __init__(
        self,
        *,
        fidelity: float = 0.0,
        pattern: float = 0.0,
        period: int = 4,
        name: str = "lpips",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.fidelity, self.pattern, self.period = fidelity, pattern, period

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Both (batch, row, column, 1); gives (batch,)."""
        target, output = (ops.cast(image, "float32") for image in (y_true, y_pred))
        seen, made = _moved(target), _moved(output)
        loss = perceptual_distance(seen, made)
        if self.fidelity:
            error = ops.mean(ops.abs(seen - made), axis=(1, 2, 3))
            loss = loss + self.fidelity * 255.0 * error
        if self.pattern:
            pattern = periodic_error(target, output, period=self.period)
            loss = loss + self.pattern * ops.mean(pattern)
        return loss

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the loss."""
        own = {"fidelity": self.fidelity, "pattern": self.pattern, "period": self.period}
        return {**super().get_config(), **own}


def periodic_error(target: Any, output: Any, *, period: int) -> Any:
    """How much of an error repeats every few pixels, as a checkerboard does.

    The error is averaged over the same place in all periods of a window; what then differs from
    place to place is a pattern.

    Args:
        target: (batch, row, column, 1), at least `WINDOW` periods wide.
        output: The same.
        period: In pixels.

    Returns:
        (batch,), mean absolute value on the 0-255 scale.
    """
    side = period * WINDOW
    _, rows, columns, _ = ops.shape(target)
    down, across = rows // side, columns // side
    error = 255.0 * (output - target)[:, : down * side, : across * side, 0]
    periods = ops.reshape(error, (-1, down, WINDOW, period, across, WINDOW, period))
    places = ops.mean(periods, axis=(2, 5))
    pattern = places - ops.mean(places, axis=(2, 4), keepdims=True)
    return ops.mean(ops.abs(pattern), axis=(1, 2, 3, 4))


def perceptual_distance(target: Any, output: Any) -> Any:
    """LPIPS of each pair of images.

    Args:
        target: (batch, row, column, 1), 0 is black and 1 is white.
        output: The same.

    Returns:
        (batch,), 0 for identical images.
    """
    weights = lpips_weights()
    distance = 0.0
    for layer, pair in enumerate(zip(_features(target), _features(output), strict=True)):
        first, second = (_unit_length(features) for features in pair)
        head = ops.convert_to_tensor(weights[f"lin{layer}"])
        distance = distance + ops.mean(ops.square(first - second) @ head[:, None], axis=(1, 2, 3))
    return distance


def _unit_length(features: Any) -> Any:
    # Added inside the root, whose gradient has no bound at zero.
    return features / ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + 1e-20)


def _moved(images: Any) -> Any:
    """(batch, row, column, 1) to three rows and columns less, a fourth of them at each offset."""
    _, rows, columns, _ = ops.shape(images)
    return ops.concatenate(
        [
            images[index :: len(OFFSETS), row : rows - 3 + row, column : columns - 3 + column]
            for index, (row, column) in enumerate(OFFSETS)
        ]
    )


def _features(images: Any) -> list[Any]:
    """The five rectified convolutions of AlexNet."""
    shift, scale = ops.convert_to_tensor(INPUT_SHIFT), ops.convert_to_tensor(INPUT_SCALE)
    features = (2.0 * images - 1.0 - shift) / scale
    weights = lpips_weights()
    found = []
    for layer, (stride, padding) in enumerate(STRIDES_AND_PADDINGS):
        if layer in POOLED_BEFORE:
            features = ops.max_pool(features, (3, 3), (2, 2))
        features = ops.pad(features, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        kernel, bias = (
            ops.convert_to_tensor(weights[f"conv{layer}/{part}"]) for part in ("kernel", "bias")
        )
        features = ops.relu(ops.conv(features, kernel, stride) + bias)
        found.append(features)
    return found
