"""From a trained Keras network to one self-contained .onnx file, checked against Keras.

The graph is written layer by layer in channels-first order. Batch norm and constant factors are
folded into the convolution before them, which changes nothing but rounding.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cinesr.errors import CheckFailedError, ModelError, OutputError, UnreadableFileError
from cinesr.imaging.files import staged
from cinesr.learning.layers import (
    Convolution,
    DifferenceConvolution,
    EdgePadding,
    NearestConvolution,
    PixelShuffle,
    TransposedConvolution,
    WideConvolution,
)

OPSET = 17
IR_VERSION = 8
CARD_KEY = "cinesr"
"""Under which the card stands in the file's metadata."""
PARITY_SIZES = ((32, 32), (33, 47), (57, 24))
PARITY_TOLERANCE = 1e-4
"""Largest difference to Keras as a share of the output's range: float32 sums in another order."""

Array = NDArray[np.float32]


def export(checkpoint: Path, output: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Writes a deployable model with its card inside.

    Args:
        checkpoint: Folder of a training run, or the `model.keras` in it; its `card.json` stands
            beside it.
        output: The .onnx file.
        overwrite: Replace an existing file.

    Returns:
        The card as it stands in the file, with the receptive field and the measured parity.

    Raises:
        UnreadableFileError: The checkpoint or its card cannot be read.
        CheckFailedError: The file does not compute what Keras computes.
        OutputError: The output does not end in .onnx, exists, or cannot be written.
    """
    if output.suffix != ".onnx":
        raise OutputError(
            f"{output}: is no name for a model; expected one that ends in .onnx.",
            hint=f"Name it {output.stem}.onnx.",
        )
    source = checkpoint / "model.keras" if checkpoint.is_dir() else checkpoint
    network, card = _load(source)
    graph = _Graph(network)
    card = {**card, "receptive_field": graph.receptive_field}
    with staged(output, overwrite=overwrite) as part:
        onnx.save(_stamped(graph.model(), card), str(part))
        parity = _parity(network, part, int(card["scale"]))
        if not parity <= PARITY_TOLERANCE:
            raise CheckFailedError(
                f"{output}: differs from {source} by {parity:.2e} of the range; expected at most "
                f"{PARITY_TOLERANCE:g}. It was not written.",
                hint="Please report this network; its layers are translated wrongly.",
            )
        card["parity"] = parity
        onnx.save(_stamped(graph.model(), card), str(part))
    return card


def _load(source: Path) -> tuple[keras.Model, dict[str, Any]]:
    card_file = source.with_name("card.json")
    for path in (source, card_file):
        if not path.is_file():
            raise UnreadableFileError(
                f"{path}: is not there; expected the folder of a training run, with model.keras "
                "and card.json.",
                hint="`cinesr train` leaves them after every epoch.",
            )
    hint = "Name the folder of a run of `cinesr train`."
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
        missing = [key for key in ("name", "scale") if key not in card]
    except (OSError, ValueError, TypeError) as error:
        raise UnreadableFileError(f"{card_file}: is not a card: {error}.", hint=hint) from error
    if missing:
        raise UnreadableFileError(f"{card_file}: lacks {', '.join(missing)}.", hint=hint)
    try:
        network = keras.saving.load_model(source, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UnreadableFileError(
            f"{source}: is not a Keras model of cinesr: {error}.", hint=hint
        ) from error
    return network, card


def _stamped(model: onnx.ModelProto, card: dict[str, Any]) -> onnx.ModelProto:
    helper.set_model_props(model, {CARD_KEY: json.dumps(card)})
    return model


def _parity(network: keras.Model, path: Path, scale: int) -> float:
    from onnxruntime import InferenceSession

    session = InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    worst = 0.0
    for rows, columns in PARITY_SIZES:
        image = generator.random((1, rows, columns, 1), dtype=np.float32)
        expected = keras.ops.convert_to_numpy(network(image, training=False))
        (found,) = session.run(None, {"low": image.transpose(0, 3, 1, 2)})
        if found.shape != (1, 1, rows * scale, columns * scale):
            return math.inf
        difference = np.abs(found[:, 0] - np.asarray(expected)[..., 0]).max()
        # Not Python's max, which loses NaN.
        worst = float(np.maximum(worst, difference / max(1.0, float(np.ptp(found)))))
    return worst


def fold_batch_norm(
    kernel: Array, bias: Array, norm: keras.layers.BatchNormalization
) -> tuple[Array, Array]:
    """The convolution that does the work of a convolution and the batch norm after it.

    Args:
        kernel: (row, column, in, out).
        bias: (out,).
        norm: With its statistics as learned.
    """
    factor = np.asarray(norm.gamma, np.float64) / np.sqrt(
        np.asarray(norm.moving_variance, np.float64) + norm.epsilon
    )
    shifted = (bias - np.asarray(norm.moving_mean, np.float64)) * factor
    folded = shifted + np.asarray(norm.beta, np.float64)
    return (kernel * factor).astype(np.float32), folded.astype(np.float32)


@dataclass
class _Tensor:
    """A value in the graph: its name, pixels per input pixel, and how far back it looks."""

    name: str
    density: int
    reach: float


class _Graph:
    """The ONNX graph of a functional Keras network."""

    def __init__(self, network: keras.Model) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._tensors: dict[int, _Tensor] = {}
        self._consumers: dict[int, list[keras.layers.Layer]] = {}
        for layer in network.layers:
            for tensor in _inputs(layer):
                self._consumers.setdefault(id(tensor), []).append(layer)
        self._folded: set[int] = set()
        writers: dict[type, Callable[..., _Tensor]] = {
            keras.layers.Conv2D: self._convolution,
            Convolution: self._convolution,
            DifferenceConvolution: self._convolution,
            WideConvolution: self._convolution,
            TransposedConvolution: self._transposed,
            NearestConvolution: self._repeated_convolution,
            keras.layers.ReLU: self._relu,
            keras.layers.Add: self._sum,
            keras.layers.Activation: self._linear,
            EdgePadding: self._padding,
            PixelShuffle: self._shuffle,
        }
        for layer in network.layers:
            if isinstance(layer, keras.layers.InputLayer):
                self._tensors[id(layer.output)] = _Tensor("low", 1, 0.0)
            elif id(layer) not in self._folded:
                if type(layer) not in writers:
                    raise ModelError(f"A layer {type(layer).__name__} cannot be exported.")
                known = [self._tensors[id(tensor)] for tensor in _inputs(layer)]
                result = writers[type(layer)](layer, *known)
                self._tensors[id(self._end(layer))] = result
        self._output = self._tensors[id(network.outputs[0])]
        # One more for the output pixels that lie off the centre of their input pixel.
        self.receptive_field = math.ceil(self._output.reach) + 1

    def model(self) -> onnx.ModelProto:
        """The finished model: `low` (batch, 1, row, column) to `high`."""
        low, high = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (
                ("low", ["batch", 1, "row", "column"]),
                ("high", ["batch", 1, "high_row", "high_column"]),
            )
        )
        last = helper.make_node("Identity", [self._output.name], ["high"])
        graph = helper.make_graph(
            [*self._nodes, last], "cinesr", [low], [high], initializer=self._constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="cinesr",
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model)
        return model

    def _next(self, layer: keras.layers.Layer) -> keras.layers.Layer | None:
        """The only layer that uses this one's output, if there is just one."""
        consumers = self._consumers.get(id(layer.output), [])
        return consumers[0] if len(consumers) == 1 else None

    def _end(self, layer: keras.layers.Layer) -> Any:
        """The tensor that stands behind a layer and all that was folded into it."""
        following = self._next(layer)
        while following is not None and id(following) in self._folded:
            layer, following = following, self._next(following)
        return layer.output

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _weights(self, name: str, kernel: Array, bias: Array) -> tuple[str, str]:
        return (
            self._constant(f"{name}/kernel", kernel.transpose(3, 2, 0, 1)),
            self._constant(f"{name}/bias", bias),
        )

    def _folded_weights(self, layer: keras.layers.Layer) -> tuple[Array, Array]:
        weights = [np.asarray(weight, np.float32) for weight in layer.get_weights()]
        kernel = weights[0]
        if isinstance(layer, DifferenceConvolution):
            kernel = kernel - kernel.mean(axis=(0, 1), keepdims=True, dtype=np.float64)
        bias = weights[1] if len(weights) > 1 else np.zeros(kernel.shape[3], np.float32)
        following = self._next(layer)
        if _activation(layer) is not keras.activations.linear:
            return kernel, bias
        if isinstance(following, keras.layers.BatchNormalization):
            kernel, bias = fold_batch_norm(kernel, bias, following)
            self._folded.add(id(following))
        elif isinstance(following, keras.layers.Rescaling) and not following.offset:
            kernel, bias = kernel * following.scale, bias * following.scale
            self._folded.add(id(following))
        return kernel.astype(np.float32), bias.astype(np.float32)

    def _convolution(self, layer: keras.layers.Layer, source: _Tensor) -> _Tensor:
        kernel, bias = self._folded_weights(layer)
        rows, columns = kernel.shape[:2]
        valid = getattr(layer, "padding", "same") == "valid"
        margins = [0] * 4 if valid else [rows // 2, columns // 2] * 2
        name = self._add(
            "Conv",
            [source.name, *self._weights(layer.name, kernel, bias)],
            kernel_shape=[rows, columns],
            pads=margins,
        )
        if _activation(layer) is keras.activations.relu:
            name = self._add("Relu", [name])
        reach = source.reach + (max(rows, columns) - 1) / 2 / source.density
        return _Tensor(name, source.density, reach)

    def _transposed(self, layer: TransposedConvolution, source: _Tensor) -> _Tensor:
        kernel, bias = (np.asarray(weight, np.float32) for weight in layer.get_weights())
        size, stride = kernel.shape[0], layer.strides[0]
        name = self._add(
            "ConvTranspose",
            [source.name, *self._weights(layer.name, kernel, bias)],
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[(size - stride) // 2] * 4,
        )
        density = source.density * stride
        return _Tensor(name, density, source.reach + (size - 1) / 2 / density)

    def _repeated_convolution(self, layer: NearestConvolution, source: _Tensor) -> _Tensor:
        factor = layer.scale
        scales = np.array([1, 1, factor, factor], np.float32)
        name = self._add(
            "Resize",
            [source.name, "", self._constant(f"{layer.name}/scales", scales)],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
        reach = source.reach + 0.5 / source.density
        return self._convolution(layer, _Tensor(name, source.density * factor, reach))

    def _relu(self, layer: keras.layers.ReLU, source: _Tensor) -> _Tensor:
        return _Tensor(self._add("Relu", [source.name]), source.density, source.reach)

    def _sum(self, layer: keras.layers.Add, *sources: _Tensor) -> _Tensor:
        name = self._add("Add", [source.name for source in sources])
        return _Tensor(name, sources[0].density, max(source.reach for source in sources))

    def _linear(self, layer: keras.layers.Activation, source: _Tensor) -> _Tensor:
        if layer.activation is not keras.activations.linear:
            raise ModelError(f"An activation {layer.activation.__name__} cannot be exported.")
        return source

    def _padding(self, layer: EdgePadding, source: _Tensor) -> _Tensor:
        sides = np.array([0, 0, layer.size, layer.size] * 2, np.int64)
        name = self._add(
            "Pad", [source.name, self._constant(f"{layer.name}/sides", sides)], mode="edge"
        )
        return _Tensor(name, source.density, source.reach)

    def _shuffle(self, layer: PixelShuffle, source: _Tensor) -> _Tensor:
        name = self._add("DepthToSpace", [source.name], blocksize=layer.scale, mode="DCR")
        return _Tensor(name, source.density * layer.scale, source.reach)


def _inputs(layer: keras.layers.Layer) -> list[Any]:
    return [] if isinstance(layer, keras.layers.InputLayer) else keras.tree.flatten(layer.input)


def _activation(layer: keras.layers.Layer) -> Any:
    return getattr(layer, "activation", keras.activations.linear)
