"""The networks in Keras's own layers, as a textbook has them."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from cinesr.learning.networks import RESIDUAL_SCALE


def stock_network(
    architecture: str, *, size: int, scale: int, filters: int, blocks: int
) -> keras.Model:
    """A network with fresh weights, (batch, row, column, 1) in and out.

    Args:
        architecture: "seed" or "residual"; see `cinesr.learning.networks`.
        size: Rows and columns of the input. They are fixed, so that no rival computes shapes.
        scale: Output pixels per input pixel, per axis.
        filters: Channels of the hidden layers.
        blocks: Residual blocks.
    """
    inputs = keras.Input((size, size, 1))
    if architecture == "seed":
        return keras.Model(inputs, _seed(inputs, scale, filters, blocks))
    return keras.Model(inputs, _residual(inputs, scale, filters, blocks))


def _normalised(features: Any, filters: int, taps: int) -> Any:
    convolved = layers.Conv2D(filters, taps, padding="same")(features)
    return layers.BatchNormalization()(convolved)


def _seed(inputs: Any, scale: int, filters: int, blocks: int) -> Any:
    features = layers.ReLU()(_normalised(inputs, filters, 9))
    for _ in range(blocks):
        branch = layers.ReLU()(_normalised(features, filters, 3))
        features = layers.Add()([features, _normalised(branch, filters, 3)])
    for _ in range(scale.bit_length() - 1):
        features = layers.UpSampling2D(2, interpolation="nearest")(features)
        features = layers.ReLU()(_normalised(features, filters, 3))
    return layers.Conv2D(1, 9, padding="same")(features)


def _residual(inputs: Any, scale: int, filters: int, blocks: int) -> Any:
    def convolution(outputs: int, **options: Any) -> Any:
        return layers.Conv2D(outputs, 3, padding="same", use_bias=False, **options)

    padded = _edge_padded(inputs, 2)
    features = head = layers.Conv2D(filters, 5, use_bias=False)(padded)
    for _ in range(blocks):
        branch = convolution(filters)(convolution(filters, activation="relu")(features))
        features = layers.Add()([features, layers.Rescaling(RESIDUAL_SCALE)(branch)])
    features = layers.Add()([convolution(filters)(features), head])
    detail = convolution(scale**2)(features)
    smooth = layers.Conv2D(scale**2, 5, use_bias=False)(padded)
    rows, columns = inputs.shape[1:3]
    pixels = layers.Reshape((rows, columns, scale, scale))(layers.Add()([smooth, detail]))
    pixels = layers.Permute((1, 3, 2, 4))(pixels)
    return layers.Reshape((rows * scale, columns * scale, 1))(pixels)


def _edge_padded(images: Any, margin: int) -> Any:
    # No padding mode of Keras repeats edges on every backend.
    rows = [images[:, :1]] * margin, [images[:, -1:]] * margin
    images = layers.Concatenate(axis=1)([*rows[0], images, *rows[1]])
    columns = [images[:, :, :1]] * margin, [images[:, :, -1:]] * margin
    return layers.Concatenate(axis=2)([*columns[0], images, *columns[1]])
