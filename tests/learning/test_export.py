"""What is exported computes what Keras computes, says how far it looks, and appears whole."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from cinesr.errors import (
    CheckFailedError,
    CinesrError,
    ModelError,
    OutputError,
    UnreadableFileError,
)
from cinesr.learning import export as exporting
from cinesr.learning.config import NetworkConfig
from cinesr.learning.export import export
from cinesr.learning.layers import DifferenceConvolution
from cinesr.learning.networks import build_network
from cinesr.upscaling.catalogue import read_model


def left_behind(network: keras.Model, folder: Path, **card: Any) -> Path:
    """A folder as training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "model.keras")
    (folder / "card.json").write_text(json.dumps({"name": "any", "scale": 1} | card))
    return folder


def small(*layers: keras.layers.Layer) -> keras.Model:
    inputs = outputs = keras.Input((None, None, 1))
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def convolution(**options: Any) -> keras.layers.Layer:
    return keras.layers.Conv2D(1, 3, padding="same", **options)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    return left_behind(
        build_network(NetworkConfig("residual", 2, filters=4, blocks=1)),
        tmp_path_factory.mktemp("run"),
        name="heart",
        scale=2,
        loss={"name": "mae"},
    )


def test_the_card_stands_in_the_file(run_folder: Path, tmp_path: Path) -> None:
    card = export(run_folder, tmp_path / "heart.onnx")
    # Of 5x5 taps the first, of 3x3 two in the block, one behind it, the tail; one for the phases.
    assert card["receptive_field"] == 2 + 2 + 1 + 1 + 1
    assert 0 <= card["parity"] <= exporting.PARITY_TOLERANCE
    model = read_model(tmp_path / "heart.onnx")
    assert model.card == card
    assert (model.name, model.scale) == ("heart", 2)
    assert model.card["loss"] == {"name": "mae"}
    assert [path.name for path in tmp_path.iterdir()] == ["heart.onnx"]


def test_a_folder_and_the_file_in_it_are_the_same(run_folder: Path, tmp_path: Path) -> None:
    export(run_folder, tmp_path / "a.onnx")
    export(run_folder / "model.keras", tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_file_needs_nothing_beside_it(run_folder: Path, tmp_path: Path) -> None:
    export(run_folder, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert not any(it.external_data for it in model.graph.initializer)
    assert {node.domain for node in model.graph.node} == {""}
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    assert [it.name for it in model.graph.input] == ["low"]
    assert [it.name for it in model.graph.output] == ["high"]


def test_batch_norm_and_constant_factors_cost_nothing(tmp_path: Path) -> None:
    kinds = {}
    for name in ("seed", "residual"):
        config = NetworkConfig(name, 2, filters=3, blocks=1)  # type: ignore[arg-type]
        folder = left_behind(build_network(config), tmp_path / name, scale=2)
        export(folder, tmp_path / f"{name}.onnx")
        nodes = onnx.load(tmp_path / f"{name}.onnx").graph.node
        kinds[name] = {node.op_type for node in nodes} - {"Identity"}
    assert kinds["seed"] == {"Conv", "Relu", "Add", "ConvTranspose"}
    assert kinds["residual"] == {"Conv", "Relu", "Add", "Pad", "DepthToSpace"}


def test_the_last_interpolation_is_never_put_together(tmp_path: Path) -> None:
    config = NetworkConfig("seed", 4, filters=3, blocks=1)
    export(left_behind(build_network(config), tmp_path, scale=4), tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx").graph
    assert [node.op_type for node in graph.node].count("ConvTranspose") == 1
    # A runtime folds a bias into its convolution only where nothing else uses it.
    uses = Counter(name for node in graph.node for name in node.input)
    assert {uses[constant.name] for constant in graph.initializer} == {1}


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_constant_factor_is_folded(tmp_path: Path, use_bias: bool) -> None:
    layer = convolution(use_bias=use_bias)
    network = small(layer, keras.layers.Rescaling(-0.2))
    if use_bias:
        layer.set_weights([layer.get_weights()[0], np.array([0.5])])
    export(left_behind(network, tmp_path), tmp_path / "a.onnx")
    nodes = [node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node]
    assert nodes == ["Conv", "Identity"]
    image = np.random.default_rng(0).random((1, 1, 5, 7), dtype=np.float32)
    session = InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"low": image})
    expected = np.asarray(network(image.transpose(0, 2, 3, 1)))
    assert found[0, 0] == pytest.approx(expected[0, ..., 0], abs=1e-6)


def test_a_factor_behind_an_activation_or_a_fork_is_not_folded(tmp_path: Path) -> None:
    for index, network in enumerate((behind_activation(), behind_fork())):
        folder = left_behind(network, tmp_path / str(index))
        with pytest.raises(ModelError, match="A layer Rescaling cannot be exported"):
            export(folder, tmp_path / "a.onnx")


def behind_activation() -> keras.Model:
    return small(convolution(activation="relu"), keras.layers.Rescaling(0.5))


def behind_fork() -> keras.Model:
    inputs = keras.Input((None, None, 1))
    features = convolution()(inputs)
    outputs = keras.layers.Add()([features, keras.layers.Rescaling(0.5)(features)])
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (keras.layers.LeakyReLU(), "A layer LeakyReLU cannot be exported"),
        (keras.layers.Activation("tanh"), "An activation tanh cannot be exported"),
        (keras.layers.Rescaling(0.2, offset=0.5), "A layer Rescaling cannot be exported"),
    ],
)
def test_layers_that_it_does_not_know_are_named(
    tmp_path: Path, layer: keras.layers.Layer, words: str
) -> None:
    folder = left_behind(small(convolution(), layer), tmp_path / "run")
    with pytest.raises(ModelError, match=words):
        export(folder, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([convolution(activation="tanh")], id="activation inside a convolution"),
        pytest.param([convolution(dilation_rate=2)], id="dilation"),
        pytest.param([keras.layers.Conv2D(1, 2, padding="same")], id="even kernel"),
    ],
)
def test_what_differs_from_keras_is_not_written(
    tmp_path: Path, layers: list[keras.layers.Layer]
) -> None:
    folder = left_behind(small(*layers), tmp_path / "run")
    with pytest.raises(CheckFailedError, match=r"a\.onnx: differs from .*model\.keras by"):
        export(folder, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_a_network_that_computes_nothing_is_not_written(tmp_path: Path) -> None:
    layer = convolution()
    network = small(layer)
    layer.set_weights([np.full((3, 3, 1, 1), np.nan), np.zeros(1)])
    with pytest.raises(CheckFailedError, match="by nan of the range"):
        export(left_behind(network, tmp_path / "run"), tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_a_card_with_another_scale_is_noticed(tmp_path: Path) -> None:
    folder = left_behind(small(convolution()), tmp_path / "run", scale=2)
    with pytest.raises(CheckFailedError, match="by inf of the range"):
        export(folder, tmp_path / "a.onnx")


def test_a_failed_check_leaves_what_was_there(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PARITY_TOLERANCE", -1.0)
    old = tmp_path / "a.onnx"
    old.write_text("the model of yesterday")
    with pytest.raises(CheckFailedError, match=r"expected at most -1\. It was not written"):
        export(run_folder, old, overwrite=True)
    assert old.read_text() == "the model of yesterday"
    assert list(tmp_path.iterdir()) == [old]


def test_an_existing_file_is_kept_unless_told_otherwise(run_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.onnx"
    output.write_text("mine")
    with pytest.raises(OutputError, match=r"a\.onnx exists already"):
        export(run_folder, output)
    assert output.read_text() == "mine"
    export(run_folder, output, overwrite=True)
    assert read_model(output).name == "heart"


def test_what_is_not_there_is_named(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"model\.keras: is not there"):
        export(tmp_path, tmp_path / "a.onnx")
    with pytest.raises(UnreadableFileError, match=r"absent\.keras: is not there"):
        export(tmp_path / "absent.keras", tmp_path / "a.onnx")
    (tmp_path / "model.keras").write_bytes((run_folder / "model.keras").read_bytes())
    with pytest.raises(UnreadableFileError, match=r"card\.json: is not there") as caught:
        export(tmp_path, tmp_path / "a.onnx")
    assert "cinesr train" in str(caught.value)


@pytest.mark.parametrize("kind", ["text", "zip", "half", "damaged", "empty"])
def test_a_file_that_is_not_a_keras_model_is_named(
    run_folder: Path, tmp_path: Path, kind: str
) -> None:
    whole = (run_folder / "model.keras").read_bytes()
    middle = slice(len(whole) // 2 - 40, len(whole) // 2 + 40)
    damaged = bytearray(whole)
    damaged[middle] = bytes(255 - byte for byte in whole[middle])
    with (tmp_path / "other.npz").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    content = {
        "text": b"not a model",
        "zip": (tmp_path / "other.npz").read_bytes(),
        "half": whole[: len(whole) // 2],
        "damaged": bytes(damaged),
        "empty": b"",
    }[kind]
    (tmp_path / "model.keras").write_bytes(content)
    (tmp_path / "card.json").write_bytes((run_folder / "card.json").read_bytes())
    with pytest.raises(UnreadableFileError, match=r"model\.keras: is not a Keras model of cinesr"):
        export(tmp_path, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not a card"),
        ("3", "is not a card"),
        ("[]", "lacks name, scale"),
        ('{"name": "a"}', "lacks scale"),
    ],
)
def test_a_broken_card_is_named(run_folder: Path, tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "model.keras").write_bytes((run_folder / "model.keras").read_bytes())
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(CinesrError, match=rf"card\.json: {words}"):
        export(tmp_path, tmp_path / "a.onnx")


def with_positive_weights(network: keras.Model) -> keras.Model:
    """Nothing cancels and no ReLU closes, so that whatever can be seen is seen."""
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if not (hasattr(layer, "kernel") and layer.trainable):
            continue
        kernel, *bias = layer.get_weights()
        weights = generator.uniform(2.0, 6.0, kernel.shape) * kernel.shape[3] / kernel.size
        layer.set_weights([weights, *map(np.zeros_like, bias)])
        if isinstance(layer, DifferenceConvolution):
            layer.set_weights([generator.normal(0, 1, kernel.shape)])
    return network


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig("seed", 2, filters=2, blocks=1),
        NetworkConfig("seed", 3, filters=2, blocks=1),
        NetworkConfig("seed", 4, filters=2, blocks=1),
        NetworkConfig("seed", 4, filters=2, blocks=2, upsampling="transposed"),
        NetworkConfig("seed", 3, filters=2, blocks=1, upsampling="transposed"),
        NetworkConfig("seed", 8, filters=2, blocks=1),
        NetworkConfig("seed", 8, filters=2, blocks=1, upsampling="transposed"),
        NetworkConfig("residual", 2, filters=2, blocks=1),
        NetworkConfig("residual", 4, filters=2, blocks=3),
        NetworkConfig("wide", 2, filters=2, blocks=2),
    ],
    ids=lambda it: f"{it.architecture}-{it.upsampling}-x{it.scale}",
)
def test_nothing_beyond_the_receptive_field_matters(config: NetworkConfig, tmp_path: Path) -> None:
    network = with_positive_weights(build_network(config))
    folder = left_behind(network, tmp_path / "run", scale=config.scale)
    stated = export(folder, tmp_path / "a.onnx")["receptive_field"]
    session = InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    size = 2 * stated + 7
    middle = size // 2
    image = np.random.default_rng(1).random((1, 1, size, size), dtype=np.float32)
    changed = image.copy()
    changed[0, 0, middle, middle] += 1000
    (before,), (after,) = (session.run(None, {"low": it}) for it in (image, changed))
    rows, columns = np.nonzero(before[0, 0] != after[0, 0])
    for places in (rows, columns):
        reach = np.abs(places // config.scale - middle).max()
        assert reach <= stated
        # Tiles overlap by it, so more than needed costs time.
        assert reach >= stated - 2


def test_a_model_is_named_onnx(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.bin: is no name for a model.*\.onnx"):
        export(tmp_path, tmp_path / "x.bin")
