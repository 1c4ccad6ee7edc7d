"""The perceptual loss against published known answers, and what its weights files may be."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest

from cinesr.errors import ConfigError, UnreadableFileError
from cinesr.learning.config import VGG16_LAYERS, LossConfig
from cinesr.learning.losses import (
    IMAGENET_MEAN_BGR,
    SHIPPED_WEIGHTS,
    PerceptualLoss,
    build_loss,
    vgg16_features,
)

SHIPPED_SHA256 = "12540ef274d559d8e954053b32b7408a18870c56c16057373bdcf2d778588c61"


def pictures() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:128, 0:128]
    first = (np.sin(x / 7) + np.cos(y / 11) + 2) / 4
    second = np.clip(first + 0.1 * np.sin(x * y / 500), 0, 1)
    return first.astype(np.float32)[None, ..., None], second.astype(np.float32)[None, ..., None]


def features(layer: str, image: np.ndarray, weights: Path | None = None) -> np.ndarray:
    seen = np.repeat(image * 255, 3, axis=-1) - np.float32(IMAGENET_MEAN_BGR)
    return np.asarray(keras.ops.convert_to_numpy(vgg16_features(layer, weights)(seen)))


def value(loss: keras.losses.Loss, true: np.ndarray, predicted: np.ndarray) -> float:
    return float(keras.ops.convert_to_numpy(loss(true, predicted)))


def test_the_shipped_numbers_are_the_published_ones() -> None:
    digest = hashlib.sha256()
    with np.load(SHIPPED_WEIGHTS) as arrays:
        for layer in ("block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2"):
            for part in ("kernel", "bias"):
                assert arrays[f"{layer}/{part}"].dtype == np.float32
                digest.update(np.ascontiguousarray(arrays[f"{layer}/{part}"]).tobytes())
    assert digest.hexdigest() == SHIPPED_SHA256


def test_features_known_answer() -> None:
    found = features("block2_conv2", pictures()[0])[0]
    assert found.shape == (64, 64, 128)
    assert found.mean() == pytest.approx(135.748, abs=5e-4)


def test_perceptual_loss_known_answer() -> None:
    first, second = pictures()
    assert value(PerceptualLoss(), first, second) == pytest.approx(20287.10, rel=1e-5)
    assert value(PerceptualLoss(), second, first) == pytest.approx(20287.10, rel=1e-5)
    assert value(PerceptualLoss(), first, first) == 0.0


def test_the_loss_of_a_batch_is_the_mean_of_its_images() -> None:
    first, second = (image[:, :32, :32] for image in pictures())
    loss = PerceptualLoss(layer="block1_conv2")
    both = value(loss, np.concatenate([first, first]), np.concatenate([second, first]))
    assert both == pytest.approx(value(loss, first, second) / 2, rel=1e-5)


def test_fidelity_adds_the_mean_absolute_error_on_255() -> None:
    first, second = (image[:, :32, :32] for image in pictures())
    plain = value(PerceptualLoss(layer="block1_conv1"), first, second)
    with_it = value(PerceptualLoss(layer="block1_conv1", fidelity=3.0), first, second)
    assert with_it - plain == pytest.approx(3 * 255 * np.abs(first - second).mean(), rel=1e-4)


def test_the_loss_falls_where_the_gradient_leads() -> None:
    """A picture made of weights comes nearer to the target, so the gradient goes through."""
    first, second = (image[:, :16, :16] for image in pictures())
    inputs = keras.Input((16, 16, 1))
    layer = keras.layers.Conv2D(1, 3, padding="same")
    model = keras.Model(inputs, layer(inputs))
    loss = PerceptualLoss(layer="block1_conv2")
    frozen = [np.copy(weight) for weight in loss._features.get_weights()]
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss)
    losses = [float(model.train_on_batch(second, first)) for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    for before, after in zip(frozen, loss._features.get_weights(), strict=True):
        assert np.array_equal(before, after)


def test_deeper_layers_come_from_a_file_of_the_user(pretrained_weights: Path) -> None:
    file = pretrained_weights / "vgg16_block1_3.npz"
    first, second = pictures()
    found = features("block3_conv3", first, file)
    assert found.shape == (1, 32, 32, 256)
    loss = PerceptualLoss(layer="block3_conv3", weights=file)
    expected = np.mean((found - features("block3_conv3", second, file)) ** 2)
    assert value(loss, first, second) == pytest.approx(float(expected), rel=1e-4)
    # The same numbers stand in both files, so the same features come out.
    assert np.array_equal(features("block2_conv2", first, file), features("block2_conv2", first))


def test_the_pool_of_the_second_block_is_shipped_as_well() -> None:
    found = features("block2_pool", pictures()[0])
    blocks = features("block2_conv2", pictures()[0])[0].reshape(32, 2, 32, 2, 128)
    assert np.array_equal(found[0], blocks.max(axis=(1, 3)))


def vgg16_numbers(blocks: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    numbers, channels = {}, 3
    for block, (filters, count) in enumerate([(64, 2), (128, 2), (256, 3)][:blocks], 1):
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            kernel = generator.normal(0, 0.05, (3, 3, channels, filters))
            numbers[f"{name}/kernel"] = kernel.astype(np.float32)
            numbers[f"{name}/bias"] = np.zeros(filters, np.float32)
            channels = filters
    return numbers


def test_any_file_with_those_keys_serves(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **vgg16_numbers(3))
    found = features("block3_conv1", pictures()[0][:, :16, :16], tmp_path / "own.npz")
    assert found.shape == (1, 4, 4, 256)
    assert found.min() == 0.0 < found.max()


def test_a_file_without_the_layer_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "short.npz", **vgg16_numbers(2))
    with pytest.raises(UnreadableFileError, match=r"short\.npz: holds no .*block3_conv1") as it:
        PerceptualLoss(layer="block3_conv1", weights=tmp_path / "short.npz")
    assert "loss.weights" in str(it.value)


def test_numbers_of_another_shape_are_named(tmp_path: Path) -> None:
    numbers = vgg16_numbers(1)
    numbers["block1_conv2/kernel"] = np.zeros((3, 3, 32, 64), np.float32)
    np.savez(tmp_path / "odd.npz", **numbers)
    with pytest.raises(UnreadableFileError, match=r"odd\.npz: .*block1_conv2 has .*3, 3, 64, 64"):
        PerceptualLoss(layer="block1_conv2", weights=tmp_path / "odd.npz")


@pytest.mark.parametrize("name", ["broken.npz", "absent.npz", "broken.weights.h5"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    if "broken" in name:
        (tmp_path / name).write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(UnreadableFileError, match=f"{name}: cannot be read"):
        PerceptualLoss(layer="block1_conv1", weights=tmp_path / name)


def test_deeper_layers_without_a_file_or_a_network_are_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(**_: object) -> None:
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(UnreadableFileError, match="VGG16 weights: cannot be read: URL") as caught:
        PerceptualLoss(layer="block4_conv1")
    assert "block2_conv2 only" in str(caught.value)
    assert "For block4_conv1 name a file under loss.weights" in str(caught.value)


def test_deeper_layers_without_a_file_come_from_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    class Published:
        def get_layer(self, name: str) -> "Published":
            self.name = name
            return self

        def get_weights(self) -> list[np.ndarray]:
            numbers = vgg16_numbers(3)
            return [numbers[f"{self.name}/kernel"], numbers[f"{self.name}/bias"]]

    def download(**options: object) -> Published:
        asked.append(options)
        return Published()

    monkeypatch.setattr(keras.applications, "VGG16", download)
    model = vgg16_features("block3_conv2")
    assert asked == [{"include_top": False, "weights": "imagenet"}]
    kernel = model.get_layer("block3_conv2").get_weights()[0]
    assert np.array_equal(kernel, vgg16_numbers(3)["block3_conv2/kernel"])
    vgg16_features.cache_clear()


def test_an_unknown_layer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'block9'; allowed: block1_conv1, .*, block5_pool"):
        PerceptualLoss(layer="block9")
    assert len(VGG16_LAYERS) == 18
    assert VGG16_LAYERS[5] == "block2_pool"


def test_losses_come_from_the_configuration() -> None:
    first, second = (image[:, :16, :16] for image in pictures())
    difference = (first - second).astype(np.float64)
    mse, mae = (build_loss(LossConfig(name), scale=4) for name in ("mse", "mae"))
    assert value(mse, first, second) == pytest.approx(float((difference**2).mean()), rel=1e-5)
    assert value(mae, first, second) == pytest.approx(float(np.abs(difference).mean()), rel=1e-5)
    loss = build_loss(LossConfig("perceptual", layer="block1_conv1", fidelity=0.5), scale=4)
    assert isinstance(loss, PerceptualLoss)
    assert (loss.layer, loss.weights, loss.fidelity) == ("block1_conv1", None, 0.5)
    named = LossConfig("perceptual", layer="block1_conv1", weights=str(SHIPPED_WEIGHTS))
    assert build_loss(named, scale=4).weights == SHIPPED_WEIGHTS


@pytest.mark.parametrize("weights", [None, SHIPPED_WEIGHTS])
def test_the_loss_is_rebuilt_from_its_configuration(weights: Path | None) -> None:
    loss = PerceptualLoss(layer="block1_conv2", weights=weights, fidelity=0.25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    first, second = (image[:, :16, :16] for image in pictures())
    assert value(again, first, second) == value(loss, first, second)


def test_features_in_bfloat16_give_the_same_loss_to_their_rounding() -> None:
    first, second = (image[:, :32, :32] for image in pictures())
    loss = build_loss(LossConfig("perceptual"), scale=4, precision="bfloat16")
    assert isinstance(loss, PerceptualLoss)
    assert loss.get_config()["precision"] == "bfloat16"
    assert {layer.compute_dtype for layer in loss._features.layers[1:]} == {"bfloat16"}
    expected = value(PerceptualLoss(), first, second)
    assert value(loss, first, second) == pytest.approx(expected, rel=0.02)
    assert value(loss, first, second) != expected
    assert value(loss, first, first) == 0.0
