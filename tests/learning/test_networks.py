"""One harness for every network: builds, runs at any size, saves, loads, learns, exports."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime import InferenceSession

from cinesr.degradation import Degradation, resize_bicubic
from cinesr.learning.config import NetworkConfig
from cinesr.learning.export import PARITY_TOLERANCE, export
from cinesr.learning.layers import (
    Convolution,
    DifferenceConvolution,
    NearestConvolution,
    TransposedConvolution,
    WideConvolution,
)
from cinesr.learning.networks import build_network, multiply_adds
from cinesr.upscaling.catalogue import read_model
from cinesr.upscaling.engine import Engine

SCALES = (2, 3, 4, 8)
EVERY = [
    pytest.param(
        NetworkConfig(architecture, scale, filters=4, blocks=1, upsampling=upsampling),
        id=f"{architecture}-{upsampling}-x{scale}",
    )
    for architecture, upsampling, scales in [
        ("seed", "nearest", SCALES),
        ("seed", "transposed", SCALES),
        ("residual", "nearest", SCALES),
        ("wide", "nearest", (2, 3)),
    ]
    for scale in scales
]
TOLD = [
    pytest.param(
        NetworkConfig(architecture, scale, filters=4, blocks=2, told=True),
        id=f"{architecture}-told-x{scale}",
    )
    for architecture, scale in [("residual", 2), ("residual", 4), ("wide", 2)]
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
        if network.name != "seed" and layer is layers[-1]:
            # The channels of the tail are pixels, which change places as well.
            scale = round(kernel.shape[3] ** 0.5)
            phases = kernel.reshape(*kernel.shape[:3], scale, scale)
            phases = phases + phases[::-1, :, :, ::-1]
            phases = phases + phases[:, ::-1, :, :, ::-1]
            layer.set_weights([phases.reshape(kernel.shape) / 4])
        else:
            kernel = kernel + kernel[::-1]
            layer.set_weights([(kernel + kernel[:, ::-1]) / 4, *bias])


CONVOLUTIONS = (Convolution, TransposedConvolution, NearestConvolution, WideConvolution)


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
    # Another runtime than ours, on a batch of two.
    session = InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    odd = picture(2, 7, 9)
    (found,) = session.run(None, {"low": odd[:, None]})
    assert found.shape == (2, 1, 7 * scale, 9 * scale)
    assert found[:, 0] == pytest.approx(run(network, odd), abs=1e-5 * float(np.ptp(found)))
    engine = Engine(read_model(folder / "model.onnx"), threads=1)
    for size in ((1, 1), (1, 4), (2, 3), (5, 2), (7, 9)):
        image = picture(1, *size)
        expected = run(network, image)[0]
        found = engine.run(image[0])
        assert found == pytest.approx(expected, abs=1e-5 * max(1.0, float(np.ptp(expected))))


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
    convolutions = [it for it in network.layers if isinstance(it, CONVOLUTIONS)]
    kernels = [tuple(it.kernel.shape) for it in convolutions]
    inner = (3, 3, 64, 64)
    assert kernels == [(9, 9, 1, 64), *[inner] * 8, inner, inner, (9, 9, 64, 1)]
    kinds = [type(it) for it in convolutions]
    assert kinds == [Convolution] * 9 + [NearestConvolution] * 2 + [WideConvolution]
    assert [it.scale for it in convolutions[9:11]] == [2, 2]
    norms = sum(isinstance(it, keras.layers.BatchNormalization) for it in network.layers)
    assert norms == len(convolutions) - 1
    # Each convolution has a bias, each of the 11 batch norms 4 numbers per channel.
    by_hand = (81 * 64 + 64) + 10 * (9 * 64 * 64 + 64) + 11 * 4 * 64 + (81 * 64 + 1)
    assert network.count_params() == by_hand
    transposed = build_network(NetworkConfig(upsampling="transposed"))
    assert transposed.count_params() == by_hand + 2 * (16 * 64 * 64 + 64)
    kinds = [type(it) for it in transposed.layers if isinstance(it, CONVOLUTIONS)][9:]
    assert kinds == [TransposedConvolution, Convolution] * 2 + [WideConvolution]


SEED_BODY = (81 * 64 + 8 * 9 * 64**2) / 16
"""9x9 from one channel, then eight 3x3, for each of 16 output pixels."""


@pytest.mark.parametrize(
    ("config", "by_hand"),
    [
        (NetworkConfig(), 70020),
        (NetworkConfig(), SEED_BODY + 9 * 64**2 / 4 + 9 * 64**2 + 81 * 64),
        (
            NetworkConfig(upsampling="transposed"),
            # 4x4 taps of each input pixel come before the 3x3 of each output pixel.
            SEED_BODY + (16 / 16 + 9 / 4 + 16 / 4 + 9) * 64**2 + 81 * 64,
        ),
        (NetworkConfig("residual", 4, filters=64, blocks=8), 39869),
        (
            NetworkConfig("wide", 2, filters=10, blocks=3),
            (25 * 10 + 3 * (10 * 60 + 60 * 8 + 9 * 8 * 10) + 9 * 10 * 10 + 9 * 10 * 4 + 25 * 4) / 4,
        ),
    ],
)
def test_multiply_adds_by_hand(config: NetworkConfig, by_hand: float) -> None:
    assert multiply_adds(build_network(config)) == pytest.approx(by_hand)


@pytest.mark.parametrize("architecture", ["residual", "wide"])
def test_scale_and_offset_of_the_input_are_those_of_the_output(architecture: str) -> None:
    """f(a x + b) = a f(x) + b for a > 0, borders included; b alone gives b alone."""
    network = build_network(NetworkConfig(architecture, 2, filters=4, blocks=1))  # type: ignore[arg-type]

    @settings(max_examples=15, deadline=None)
    @given(
        seed=st.integers(0, 10_000),
        size=st.sampled_from([(1, 1), (2, 3), (7, 9)]),
        gain=st.floats(0.01, 100),
        offset=st.floats(-10, 10),
    )
    def holds(seed: int, size: tuple[int, int], gain: float, offset: float) -> None:
        with_random_weights(network, seed)
        image = picture(1, *size, seed=seed)
        plain, moved = run(network, image), run(network, np.float32(gain) * image + offset)
        size_of_it = gain * float(np.abs(plain).max()) + abs(offset)
        assert moved == pytest.approx(gain * plain + offset, abs=1e-4 * size_of_it)
        level = run(network, np.full((1, *size), offset, np.float32))
        assert level == pytest.approx(np.full(level.shape, offset), abs=1e-5 * (1 + abs(offset)))

    holds()


def test_the_residual_networks_have_no_bias_and_see_differences() -> None:
    for architecture in ("residual", "wide"):
        network = build_network(NetworkConfig(architecture, 3, filters=5, blocks=2))  # type: ignore[arg-type]
        convolutions = [it for it in network.layers if isinstance(it, CONVOLUTIONS)]
        assert not any(it.use_bias for it in convolutions)
        seeing = [it for it in convolutions if it.kernel.shape[2] == 1]
        assert [type(it) for it in seeing] == [DifferenceConvolution, Convolution]
        assert seeing[1].name == "bicubic"


@pytest.mark.parametrize("architecture", ["seed", "residual", "wide"])
def test_mixed_precision_keeps_weights_and_output_in_single(architecture: str) -> None:
    config = NetworkConfig(architecture, 2, filters=4, blocks=1)  # type: ignore[arg-type]
    mixed, single = build_network(config, precision="bfloat16"), build_network(config)
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    assert "bfloat16" in {layer.compute_dtype for layer in mixed.layers}
    assert mixed.output.dtype == "float32"
    with_random_weights(single)
    mixed.set_weights(single.get_weights())
    images = picture(1, 8, 8)
    expected = run(single, images)
    found = run(mixed, images)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=0.03 * float(np.ptp(expected)))
    assert not np.array_equal(found, expected)


def run_told(network: keras.Model, image: np.ndarray, recipe: Degradation) -> np.ndarray:
    inputs = [image[None, ..., None], recipe.described()[None]]
    return np.asarray(keras.ops.convert_to_numpy(network(inputs, training=False)))[0, ..., 0]


class TestTold:
    """Networks that are told how their input was acquired."""

    sharp = Degradation("scanner", 2, 0.0, 0, (1.0, 0.9))
    soft = Degradation("scanner", 2, 0.02, 0, (0.6, 0.9), "rectangular", "hamming")

    @pytest.mark.parametrize("config", TOLD)
    def test_before_it_learned_anything_it_is_the_network_that_is_not_told(
        self, config: NetworkConfig
    ) -> None:
        told, plain = build_network(config), build_network(replace(config, told=False))
        with_random_weights(plain)
        kernels = iter(plain.get_weights())
        told.set_weights([next(kernels) if it.ndim == 4 else it for it in told.get_weights()])
        image = picture(12, 14)
        expected = run(plain, image[None])[0]
        assert run_told(told, image, self.soft) == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("config", TOLD)
    def test_it_adapts_to_what_it_is_told_and_not_to_scale_and_offset(
        self, config: NetworkConfig
    ) -> None:
        network = build_network(config)
        with_random_weights(network)
        image = picture(12, 14)
        result = run_told(network, image, self.soft)
        assert np.abs(result - run_told(network, image, self.sharp)).max() > 1e-3
        other = run_told(network, 3 * image - 1, self.soft)
        assert other == pytest.approx(3 * result - 1, abs=1e-3)
        level = run_told(network, np.full((9, 8), 0.7, np.float32), self.soft)
        assert level == pytest.approx(np.full(level.shape, 0.7), abs=1e-5)

    @pytest.mark.parametrize("config", TOLD)
    def test_it_is_exported_with_what_it_is_told_as_an_input(
        self, config: NetworkConfig, tmp_path: Path
    ) -> None:
        network = build_network(config)
        with_random_weights(network)
        network.save(tmp_path / "model.keras")
        card = {"name": "told", "scale": config.scale}
        (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
        assert export(tmp_path, tmp_path / "told.onnx")["parity"] < PARITY_TOLERANCE
        model = read_model(tmp_path / "told.onnx")
        assert model.is_told
        image = picture(11, 9)
        engine = Engine(model, recipe=self.soft, threads=1)
        expected = run_told(network, image, self.soft)
        assert engine.run(image) == pytest.approx(expected, abs=2e-5)
        adapted = engine.told(self.sharp)
        assert adapted.run(image) == pytest.approx(run_told(network, image, self.sharp), abs=2e-5)
        assert adapted.told(self.sharp) is adapted
        # Any runtime can tell it, not ours alone.
        session = InferenceSession(tmp_path / "told.onnx")
        feed = {"low": image[None, None], "told": self.soft.described()[None]}
        assert session.run(None, feed)[0][0, 0] == pytest.approx(expected, abs=2e-5)

    def test_what_it_is_told_costs_nothing_per_slice(self, tmp_path: Path) -> None:
        """The factors are part of the kernels when the network is run."""
        kinds = []
        for told in (False, True):
            network = build_network(NetworkConfig("residual", 2, filters=8, blocks=2, told=told))
            network.save(tmp_path / "model.keras")
            card = {"name": "told", "scale": 2}
            (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
            export(tmp_path, tmp_path / f"{told}.onnx")
            engine = Engine(read_model(tmp_path / f"{told}.onnx"), threads=1)
            engine.run(picture(16, 16))
            (request,) = engine._requests.values()
            nodes = request.get_compiled_model().get_runtime_model().get_ordered_ops()
            layers = [node.get_rt_info()["layerType"].astype(str) for node in nodes]
            kinds.append(sorted(kind for kind in layers if kind != "Const"))
        assert kinds[0] == kinds[1]
