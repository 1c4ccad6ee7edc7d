"""Losses: mean squared and absolute error from Keras, LPIPS, and the perceptual loss.

The perceptual loss is the mean squared difference of VGG16 features (Johnson, Alahi and Fei-Fei,
ECCV 2016; VGG16 by Simonyan and Zisserman, ICLR 2015). The package ships the first two blocks of
VGG16, as far as `block2_conv2`, so that training needs no download.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from cinesr.errors import ConfigError, UnreadableFileError
from cinesr.learning.config import VGG16_BLOCKS, VGG16_LAYERS, LossConfig
from cinesr.learning.layers import Convolution, MaxPooling
from cinesr.learning.lpips_loss import LpipsLoss

SHIPPED_WEIGHTS = Path(__file__).parent / "vgg16_block1_2.npz"
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)
"""What `keras.applications.vgg16.preprocess_input` subtracts."""


def build_loss(config: LossConfig, *, scale: int, precision: str = "float32") -> keras.losses.Loss:
    """The loss that a configuration names.

    Args:
        config: Which one.
        scale: Of the network.
        precision: "float32", or "bfloat16" to run VGG16 in it.
    """
    if config.name == "mse":
        return keras.losses.MeanSquaredError()
    if config.name == "mae":
        return keras.losses.MeanAbsoluteError()
    if config.name == "lpips":
        return LpipsLoss(fidelity=config.fidelity, pattern=config.pattern, period=scale)
    weights = Path(config.weights) if config.weights else None
    return PerceptualLoss(
        layer=config.layer,
        weights=weights,
        fidelity=config.fidelity,
        precision=precision,
    )


@keras.saving.register_keras_serializable(package="cinesr")
class PerceptualLoss(keras.losses.Loss):  # type: ignore[misc]
    """Mean squared difference of the VGG16 features of the true and the predicted image.

    Images are (batch, row, column, 1), about [0, 1]; inside they become 0-255, three equal
    channels, minus the ImageNet means. Features have magnitudes of hundreds, so values of 1e2 to
    1e5 are usual.

    Args:
        layer: Name of a VGG16 layer, `block1_conv1` to `block5_pool`.
        weights: For layers beyond `block2_conv2`: an .npz file with `<layer>/kernel` and
            `<layer>/bias`, or a weights file of `keras.applications.VGG16`. Where not given, Keras
            brings its own, which needs a network the first time.
        fidelity: Weight of the mean absolute error on the 0-255 scale that is added.
        precision: "float32", or "bfloat16" for features in half the time, rounded to 8 bits; their
            differences are squared and averaged in float32.

    Raises:
        ConfigError: There is no such layer.
        UnreadableFileError: The weights do not hold what is needed, or cannot be had.
    """

    def __init__(
        self,
        *,
        layer: str = "block2_conv2",
        weights: Path | str | None = None,
        fidelity: float = 0.0,
        precision: str = "float32",
        name: str = "perceptual",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.layer, self.weights = layer, weights
        self.fidelity, self.precision = fidelity, precision
        self._features = vgg16_features(
            layer, None if weights is None else Path(weights), precision=precision
        )

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Both (batch, row, column, 1); gives (batch,)."""
        target, output = (ops.cast(image, "float32") * 255.0 for image in (y_true, y_pred))
        features = [
            ops.cast(self._features(_to_vgg(image)), "float32") for image in (target, output)
        ]
        loss = ops.mean(ops.square(features[0] - features[1]), axis=(1, 2, 3))
        if self.fidelity:
            loss = loss + self.fidelity * ops.mean(ops.abs(target - output), axis=(1, 2, 3))
        return loss

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the loss."""
        weights = None if self.weights is None else str(self.weights)
        own = {"layer": self.layer, "weights": weights, "fidelity": self.fidelity}
        return {**super().get_config(), **own, "precision": self.precision}


def _to_vgg(image: Any) -> Any:
    return ops.repeat(image, 3, axis=-1) - ops.convert_to_tensor(
        np.asarray(IMAGENET_MEAN_BGR, dtype=np.float32)
    )


@cache
def vgg16_features(
    layer: str, weights: Path | None = None, *, precision: str = "float32"
) -> keras.Model:
    """VGG16 up to a layer, frozen: (batch, row, column, 3), BGR minus means, to its features.

    Args:
        layer: Name of the last layer.
        weights: See `PerceptualLoss`.
        precision: Of weights and features, "float32" or "bfloat16".

    Raises:
        ConfigError: There is no such layer.
        UnreadableFileError: The weights do not hold what is needed, or cannot be had.
    """
    if layer not in VGG16_LAYERS:
        raise ConfigError(f"loss.layer is {layer!r}; allowed: {', '.join(VGG16_LAYERS)}.")
    needed = VGG16_LAYERS[: VGG16_LAYERS.index(layer) + 1]
    numbers = _read_numbers(needed, weights)
    inputs = features = keras.Input((None, None, 3))
    for name in needed:
        if name.endswith("pool"):
            features = MaxPooling(name=name, dtype=precision)(features)
            continue
        kernel, bias = numbers[name]
        convolution = Convolution(
            len(bias), 3, padding="same", activation="relu", name=name, dtype=precision
        )
        features = convolution(features)
        convolution.set_weights([kernel, bias])
    model = keras.Model(inputs, features, name=f"vgg16_{layer}")
    model.trainable = False
    return model


def _read_numbers(
    needed: tuple[str, ...], weights: Path | None
) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    names = [name for name in needed if not name.endswith("pool")]
    if weights is None and names[-1].startswith(("block1", "block2")):
        weights = SHIPPED_WEIGHTS
    hint = (
        f"The package holds VGG16 to block2_conv2 only. For {needed[-1]} name a file under "
        "loss.weights: the weights of keras.applications.VGG16, or an .npz with "
        "'block1_conv1/kernel', 'block1_conv1/bias' and so on."
    )
    try:
        if weights is not None and weights.suffix == ".npz":
            with weights.open("rb") as file, np.load(file) as arrays:
                numbers = {
                    name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in names
                }
        else:
            source = "imagenet" if weights is None else str(weights)
            model = keras.applications.VGG16(include_top=False, weights=source)
            numbers = {name: tuple(model.get_layer(name).get_weights()) for name in names}
        _check_shapes(numbers)
        return numbers
    except KeyError as error:
        raise UnreadableFileError(
            f"{weights}: holds no {error.args[0]}; it is needed for {needed[-1]}.", hint=hint
        ) from error
    except Exception as error:  # Keras raises bare Exception when its download fails.
        source = "the published VGG16 weights" if weights is None else str(weights)
        raise UnreadableFileError(f"{source}: cannot be read: {error}", hint=hint) from error


def _check_shapes(numbers: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]) -> None:
    channels = 3
    for name, (kernel, bias) in numbers.items():
        filters = VGG16_BLOCKS[int(name[5]) - 1][0]
        if kernel.shape != (3, 3, channels, filters) or bias.shape != (filters,):
            raise ValueError(
                f"{name} has a kernel of {kernel.shape} and a bias of {bias.shape}; expected "
                f"{(3, 3, channels, filters)} and {(filters,)}"
            )
        channels = filters
