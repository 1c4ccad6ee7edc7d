"""One harness for every network: builds, runs at any size, saves, loads, learns, exports."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from onnxruntime import InferenceSession

from cinesr.degradation import resize_bicubic
from cinesr.learning.config import NetworkConfig
from cinesr.learning.export import PARITY_TOLERANCE, export
from cinesr.learning.networks import EdgePadding, PixelShuffle, build_network

SCALES = (2, 3, 4, 8)
EVERY = [
    pytest.param(
        NetworkConfig(architecture, scale, filters=4, blocks=1, upsampling=upsampling),
        id=f"{architecture}-{upsampling}-x{scale}",
    )
    for architecture, upsampling in [
        ("seed", "nearest"),
        ("seed", "transposed"),
        ("residual", "nearest"),
    ]
    for scale in SCALES
]


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def run(network: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(network(images[..., None], training=False)))[
        ..., 0
    ]


def with_random_weights(network: keras.Model, seed: int = 1) -> None:
    """Weights and statistics as after some training; the fixed interpolation stays."""
    generator = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            layer.set_weights([generator.uniform(low, high, size) for low, high in NORM_RANGES])
        elif layer.trainable:
            layer.set_weights(
                [generator.normal(0, 0.15, weight.shape) for weight in layer.get_weights()]
            )


NORM_RANGES = ((0.5, 1.5), (0.1, 0.5), (-0.3, 0.3), (0.1, 0.5))
"""Of gamma, beta, mean and variance."""


def made_symmetric(network: keras.Model) -> None:
    """Random kernels that look the same up and down, left and right."""
    with_random_weights(network)
    layers = [it for it in network.layers if isinstance(it, CONVOLUTIONS) and it.trainable]
    for layer in layers:
        kernel, *bias = layer.get_weights()
        if network.name == "residual" and layer is layers[-1]:
            # The channels of the tail are pixels, which change places as well.
            scale = round(kernel.shape[3] ** 0.5)
            phases = kernel.reshape(*kernel.shape[:3], scale, scale)
            phases = phases + phases[::-1, :, :, ::-1]
            phases = phases + phases[:, ::-1, :, :, ::-1]
            layer.set_weights([phases.reshape(kernel.shape) / 4, np.zeros_like(bias[0])])
        else:
            kernel = kernel + kernel[::-1]
            layer.set_weights([(kernel + kernel[:, ::-1]) / 4, *bias])


CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)


@pytest.mark.parametrize("config", EVERY)
def test_every_network(config: NetworkConfig, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    network = build_network(config)
    assert network.name == config.architecture
    assert network.output_shape == (None, None, None, 1)
    it_learns(network, config.scale)
    it_moves_nothing(network)
    it_is_saved_and_loaded(network, tmp_path / "model.keras")
    it_is_exported(network, config.scale, tmp_path)


def it_learns(network: keras.Model, scale: int) -> None:
    network.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    low = picture(2, 6, 6)[..., None]
    high = picture(2, 6 * scale, 6 * scale, seed=1)[..., None]
    before = [np.copy(weight) for weight in network.get_weights()]
    losses = [float(network.train_on_batch(low, high)) for _ in range(5)]
    assert losses[-1] < losses[0]
    after = network.get_weights()
    changed = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    assert sum(changed) >= len(network.trainable_variables)


def it_moves_nothing(network: keras.Model) -> None:
    """With symmetric kernels a mirrored picture gives the mirrored result, to the pixel."""
    made_symmetric(network)
    images = picture(1, 7, 9)
    result = run(network, images)
    contrast = float(np.ptp(result))
    assert contrast > 1e-3
    for mirrored in (np.s_[:, ::-1], np.s_[:, :, ::-1]):
        assert run(network, images[mirrored]) == pytest.approx(
            result[mirrored], abs=1e-3 * contrast
        )


def it_is_saved_and_loaded(network: keras.Model, path: Path) -> None:
    with_random_weights(network)
    network.save(path)
    loaded = keras.saving.load_model(path)
    odd = picture(1, 7, 9)
    assert np.array_equal(run(loaded, odd), run(network, odd))
    assert loaded.count_params() == network.count_params()


def it_is_exported(network: keras.Model, scale: int, folder: Path) -> None:
    (folder / "card.json").write_text(json.dumps({"name": "any", "scale": scale}))
    card = export(folder, folder / "model.onnx")
    assert card["parity"] <= PARITY_TOLERANCE
    session = InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    odd = picture(1, 7, 9)
    (found,) = session.run(None, {"low": odd[:, None]})
    assert found.shape == (1, 1, 7 * scale, 9 * scale)
    assert found[:, 0] == pytest.approx(run(network, odd), abs=1e-4 * float(np.ptp(found)))
    # The smallest and an elongated picture as well, of a batch of two.
    for shape in ((2, 1, 1), (2, 3, 20)):
        (found,) = session.run(None, {"low": picture(*shape)[:, None]})
        assert found.shape == (2, 1, shape[1] * scale, shape[2] * scale)


@pytest.mark.parametrize("scale", SCALES)
def test_an_untrained_residual_network_is_bicubic_interpolation(scale: int) -> None:
    network = build_network(NetworkConfig("residual", scale, filters=4, blocks=2))
    images = picture(2, 11, 14)
    expected = resize_bicubic(images, (11 * scale, 14 * scale))
    inner = np.s_[:, 2 * scale : -2 * scale, 2 * scale : -2 * scale]
    assert run(network, images)[inner] == pytest.approx(expected[inner], abs=1e-5)
    level = np.full((1, 6, 5), 0.7, np.float32)
    assert run(network, level) == pytest.approx(np.full((1, 6 * scale, 5 * scale), 0.7), abs=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_the_interpolation_is_not_trained(scale: int) -> None:
    network = build_network(NetworkConfig("residual", scale, filters=4, blocks=1))
    fixed = network.get_layer("bicubic")
    assert not fixed.trainable_variables
    (kernel,) = fixed.get_weights()
    assert kernel.shape == (5, 5, 1, scale**2)
    assert kernel.sum(axis=(0, 1, 2)) == pytest.approx(np.ones(scale**2))


def test_the_seed_has_the_published_layers() -> None:
    """9x9, four blocks of two, two upscaling convolutions and 9x9: all of 64 channels."""
    network = build_network(NetworkConfig())
    convolutions = [it for it in network.layers if isinstance(it, keras.layers.Conv2D)]
    assert [it.kernel_size[0] for it in convolutions] == [9, *[3] * 8, 3, 3, 9]
    assert [it.filters for it in convolutions] == [64] * 11 + [1]
    assert sum(isinstance(it, keras.layers.UpSampling2D) for it in network.layers) == 2
    norms = sum(isinstance(it, keras.layers.BatchNormalization) for it in network.layers)
    assert norms == len(convolutions) - 1
    # Each convolution has a bias, each of the 11 batch norms 4 numbers per channel.
    by_hand = (81 * 64 + 64) + 10 * (9 * 64 * 64 + 64) + 11 * 4 * 64 + (81 * 64 + 1)
    assert network.count_params() == by_hand
    transposed = build_network(NetworkConfig(upsampling="transposed"))
    assert transposed.count_params() == by_hand + 2 * (16 * 64 * 64 + 64)


@pytest.mark.parametrize("architecture", ["seed", "residual"])
def test_mixed_precision_keeps_weights_and_output_in_single(architecture: str) -> None:
    config = NetworkConfig(architecture, 2, filters=4, blocks=1)  # type: ignore[arg-type]
    mixed, single = build_network(config, precision="bfloat16"), build_network(config)
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    assert mixed.layers[1].compute_dtype == "bfloat16"
    assert mixed.output.dtype == "float32"
    with_random_weights(single)
    mixed.set_weights(single.get_weights())
    images = picture(1, 8, 8)
    expected = run(single, images)
    found = run(mixed, images)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=0.03 * float(np.ptp(expected)))
    assert not np.array_equal(found, expected)


def test_pixel_shuffle_known_answer() -> None:
    numbers = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)
    layer = PixelShuffle(2)
    found = np.asarray(keras.ops.convert_to_numpy(layer(numbers)))[0, ..., 0]
    expected = [
        [0, 1, 4, 5, 8, 9],
        [2, 3, 6, 7, 10, 11],
        [12, 13, 16, 17, 20, 21],
        [14, 15, 18, 19, 22, 23],
    ]
    assert found.tolist() == expected
    assert layer.compute_output_shape((None, 2, None, 4)) == (None, 4, None, 1)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_edge_padding_equals_numpy(size: int) -> None:
    images = picture(2, 3, 4, 2)
    layer = EdgePadding(size)
    found = np.asarray(keras.ops.convert_to_numpy(layer(images)))
    widths = ((0, 0), (size, size), (size, size), (0, 0))
    assert np.array_equal(found, np.pad(images, widths, mode="edge"))
    assert layer.compute_output_shape((2, None, 4, 1)) == (2, None, 4 + 2 * size, 1)


@pytest.mark.parametrize("layer", [EdgePadding(3), PixelShuffle(4)])
def test_own_layers_are_rebuilt_from_their_configuration(layer: keras.layers.Layer) -> None:
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
