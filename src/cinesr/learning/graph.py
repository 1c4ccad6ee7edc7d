"""The ONNX graph of a Keras network: the cheapest one that computes the same.

It is written layer by layer in channels-first order, each layer by the rewriting that leaves the
least work for a processor (`cinesr.learning.rewriting`); no shape is computed when it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cinesr.errors import ModelError
from cinesr.learning.layers import (
    ChannelScaling,
    Convolution,
    DifferenceConvolution,
    EdgePadding,
    NearestConvolution,
    PixelShuffle,
    TransposedConvolution,
    WideConvolution,
)
from cinesr.learning.rewriting import (
    Array,
    fold_batch_norm,
    fold_factor,
    merge_bias,
    merge_mean,
    merge_nearest,
    merge_transposed,
    share_products,
    split_wide,
    stride_wide,
    wide_phase,
)
from cinesr.upscaling.catalogue import INPUT_NAME, TOLD_NAME

OPSET = 17
IR_VERSION = 8
BLOCK = 4
"""Pixels per axis of `stride_wide`: 16 channels fill the widest registers there are."""
END = 2**63 - 1


@dataclass
class _Tensor:
    """A value in the graph.

    Args:
        name: Of the whole.
        density: Pixels per input pixel, per axis.
        reach: How many input pixels it looks back.
        phases: Instead of the whole, its every second row and column, by the first of each.
    """

    name: str
    density: int
    reach: float
    phases: dict[tuple[int, int], str] = field(default_factory=dict)


class Graph:
    """The ONNX graph of a functional Keras network.

    Args:
        network: (batch, row, column, 1) to (batch, scale * row, scale * column, 1).

    Raises:
        ModelError: It has a layer that is not known here.
    """

    def __init__(self, network: keras.Model) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._tensors: dict[int, _Tensor] = {}
        self._consumers: dict[int, list[keras.layers.Layer]] = {}
        for layer in network.layers:
            for tensor in _inputs(layer):
                self._consumers.setdefault(id(tensor), []).append(layer)
        self._folded: set[int] = set()
        self._numbers_told = 0
        writers: dict[type, Callable[..., _Tensor]] = {
            keras.layers.Conv2D: self._convolution,
            Convolution: self._convolution,
            DifferenceConvolution: self._convolution,
            WideConvolution: self._wide_convolution,
            TransposedConvolution: self._transposed,
            NearestConvolution: self._nearest,
            keras.layers.ReLU: self._relu,
            keras.layers.Add: self._sum,
            keras.layers.Activation: self._linear,
            EdgePadding: self._padding,
            PixelShuffle: self._shuffle,
            keras.layers.Dense: self._dense,
            ChannelScaling: self._scaling,
        }
        for layer in network.layers:
            if isinstance(layer, keras.layers.InputLayer):
                name = INPUT_NAME if len(layer.output.shape) == 4 else TOLD_NAME
                self._tensors[id(layer.output)] = _Tensor(name, 1, 0.0)
                if name == TOLD_NAME:
                    self._numbers_told = int(layer.output.shape[1])
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
        """The finished model: `low` (batch, 1, row, column) to `high`.

        A network that is told how its input was acquired takes `told` (1, number) as well, the same
        for all of the batch.
        """
        low, told, high = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (
                (INPUT_NAME, ["batch", 1, "row", "column"]),
                (TOLD_NAME, [1, self._numbers_told]),
                ("high", ["batch", 1, "high_row", "high_column"]),
            )
        )
        last = helper.make_node("Identity", [self._output.name], ["high"])
        graph = helper.make_graph(
            [*self._nodes, last],
            "cinesr",
            [low, told] if self._numbers_told else [low],
            [high],
            initializer=list(self._constants.values()),
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
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _weighted(
        self, kind: str, source: str, name: str, weights: tuple[Array, Array | None], **how: Any
    ) -> str:
        """A Conv or ConvTranspose; the last two axes of a Keras kernel are the first two of ONNX's.

        That holds for both: Keras has (in, out) and (out, in), ONNX (out, in) and (in, out).
        """
        kernel, bias = weights
        inputs = [source, self._constant(f"{name}/kernel", kernel.transpose(3, 2, 0, 1))]
        if bias is not None and bias.any():
            inputs.append(self._constant(f"{name}/bias", bias))
        return self._add(kind, inputs, kernel_shape=list(kernel.shape[:2]), **how)

    def _folded_weights(self, layer: keras.layers.Layer) -> tuple[Array, Array]:
        """Kernel (row, column, in, out) and bias, with the batch norm or factor that follows."""
        weights = [np.asarray(weight, np.float32) for weight in layer.get_weights()]
        kernel = weights[0]
        if isinstance(layer, DifferenceConvolution):
            kernel = merge_mean(kernel)
        bias = weights[1] if len(weights) > 1 else np.zeros(kernel.shape[3], np.float32)
        following = self._next(layer)
        if _activation(layer) is not keras.activations.linear:
            return kernel, bias
        if isinstance(following, keras.layers.BatchNormalization):
            kernel, bias = fold_batch_norm(kernel, bias, following)
            self._folded.add(id(following))
        elif isinstance(following, keras.layers.Rescaling) and not following.offset:
            kernel, bias = fold_factor(kernel, bias, following.scale)
            self._folded.add(id(following))
        return kernel, bias

    def _convolution(self, layer: keras.layers.Layer, source: _Tensor) -> _Tensor:
        weights = self._folded_weights(layer)
        rows, columns = weights[0].shape[:2]
        valid = getattr(layer, "padding", "same") == "valid"
        margins = [0] * 4 if valid else [rows // 2, columns // 2] * 2
        name = self._weighted("Conv", source.name, layer.name, weights, pads=margins)
        if _activation(layer) is keras.activations.relu:
            name = self._add("Relu", [name])
        reach = source.reach + (max(rows, columns) - 1) / 2 / source.density
        return _Tensor(name, source.density, reach)

    def _wide_convolution(self, layer: WideConvolution, source: _Tensor) -> _Tensor:
        kernel, bias = self._folded_weights(layer)
        size = kernel.shape[0]
        margin = size // 2
        if source.density % BLOCK == 0:
            wide = stride_wide(kernel, BLOCK), np.repeat(bias, BLOCK * BLOCK)
            if source.phases:
                blocks = self._of_phases(layer.name, source.phases, wide, margin)
            else:
                how = {"strides": [BLOCK, BLOCK], "pads": [margin] * 4}
                blocks = self._weighted("Conv", source.name, layer.name, wide, **how)
            name = self._add("DepthToSpace", [blocks], blocksize=BLOCK, mode="DCR")
        else:
            first, second = split_wide(kernel)
            columns = self._weighted(
                "Conv", source.name, layer.name, (first, None), pads=[margin, 0, margin, 0]
            )
            name = self._weighted(
                "Conv", columns, f"{layer.name}/sum", (second, bias), pads=[0, margin, 0, margin]
            )
        return _Tensor(name, source.density, source.reach + (size - 1) / 2 / source.density)

    def _of_phases(
        self,
        name: str,
        phases: dict[tuple[int, int], str],
        wide: tuple[Array, Array],
        margin: int,
    ) -> str:
        """A convolution with stride 4 of an image in phases: the sum of one for each."""
        total = ""
        for phase, source in phases.items():
            kernel, pads = wide_phase(wide[0], margin, phase)
            part = self._weighted(
                "Conv",
                source,
                f"{name}/{phase[0]}{phase[1]}",
                (kernel, None if total else wide[1]),
                strides=[BLOCK // 2, BLOCK // 2],
                pads=list(pads),
            )
            total = self._add("Add", [total, part]) if total else part
        return total

    def _nearest(self, layer: NearestConvolution, source: _Tensor) -> _Tensor:
        kernel, bias = self._folded_weights(layer)
        factor = layer.scale
        density = source.density * factor
        reach = source.reach + 0.5 / source.density + 1 / density
        if factor == 2 and density % BLOCK == 0 and self._meets_wide(layer):
            phases = self._phases(source.name, layer.name, kernel, bias)
            return _Tensor("", density, reach, phases)
        name = self._weighted(
            "ConvTranspose",
            source.name,
            layer.name,
            (merge_nearest(kernel, factor), bias),
            strides=[factor, factor],
            pads=[1] * 4,
        )
        return _Tensor(name, density, reach)

    def _meets_wide(self, layer: keras.layers.Layer) -> bool:
        """Whether the image goes nowhere but, through a ReLU perhaps, into a 9x9 convolution."""
        following = self._next(layer)
        while following is not None and (
            id(following) in self._folded or isinstance(following, keras.layers.ReLU)
        ):
            following = self._next(following)
        return isinstance(following, WideConvolution)

    def _phases(
        self, source: str, name: str, kernel: Array, bias: Array
    ) -> dict[tuple[int, int], str]:
        """Nearest-neighbour interpolation by 2 and a 3x3 convolution, each phase by itself."""
        channels = kernel.shape[2]
        step = np.zeros((channels, 1, 2, 1), np.float32)
        step[:, :, 0], step[:, :, 1] = -1.0, 1.0
        steps = [
            self._add(
                "Conv",
                # A constant each: a runtime folds one into its convolution if it has one use.
                [source, self._constant(f"{name}/step{row}", step)],
                kernel_shape=[2, 1],
                pads=[1 - row, 0, row, 0],
                group=channels,
            )
            for row in (0, 1)
        ]
        phases = {}
        for column in (0, 1):
            first, *others = share_products(kernel, column)
            how = {"pads": [0, 1 - column, 0, column]}
            whole = self._weighted("Conv", source, f"{name}/{column}", (first, bias), **how)
            for row, (other, taps) in enumerate(zip(steps, others, strict=True)):
                part = self._weighted("Conv", other, f"{name}/{row}{column}", (taps, None), **how)
                phases[row, column] = self._add("Add", [whole, part])
        return phases

    def _transposed(self, layer: TransposedConvolution, source: _Tensor) -> _Tensor:
        kernel, bias = (np.asarray(weight, np.float32) for weight in layer.get_weights())
        size, stride = kernel.shape[0], layer.strides[0]
        how = {"strides": [stride, stride], "pads": [(size - stride) // 2] * 4}
        density = source.density * stride
        reach = source.reach + (size - 1) / 2 / density
        following = self._next(layer)
        if following is None or not _is_plain(following):
            name = self._weighted("ConvTranspose", source.name, layer.name, (kernel, bias), **how)
            return _Tensor(name, density, reach)
        self._folded.add(id(following))
        after = self._folded_weights(following)

        def enlarged(name: str) -> str:
            middle = self._weighted("ConvTranspose", name, layer.name, (kernel, bias), **how)
            return self._weighted("Conv", middle, following.name, after, pads=[1] * 4)

        merged = merge_transposed(kernel, after[0]), merge_bias(bias, *after)
        inside = self._weighted(
            "ConvTranspose",
            source.name,
            f"{layer.name}/merged",
            merged,
            strides=[stride, stride],
            pads=[(size - stride) // 2 + 2] * 4,
        )
        name = self._framed(source.name, inside, enlarged)
        return _Tensor(name, density, reach + 1 / density)

    def _framed(self, source: str, inside: str, compute: Callable[[str], str]) -> str:
        """An output whose outermost pixels are computed from the two outermost of the source.

        A source of one row or column leaves nothing inside, which not every runtime takes.
        """
        sides = {}
        for axis in (2, 3):
            first = self._cut(compute(self._cut(source, axis, 0, 2)), axis, 0, 1)
            last = self._cut(compute(self._cut(source, axis, -2, END)), axis, -1, END)
            sides[axis] = first, last
        left, right = (self._cut(side, 2, 1, -1) for side in sides[3])
        rows = self._add("Concat", [left, inside, right], axis=3)
        top, bottom = sides[2]
        return self._add("Concat", [top, rows, bottom], axis=2)

    def _cut(self, source: str, axis: int, start: int, end: int) -> str:
        places = [
            self._constant(f"at/{value}", np.array([value], np.int64))
            for value in (start, end, axis)
        ]
        return self._add("Slice", [source, *places])

    def _relu(self, layer: keras.layers.ReLU, source: _Tensor) -> _Tensor:
        phases = {phase: self._add("Relu", [name]) for phase, name in source.phases.items()}
        name = "" if phases else self._add("Relu", [source.name])
        return replace(source, name=name, phases=phases)

    def _sum(self, layer: keras.layers.Add, *sources: _Tensor) -> _Tensor:
        name = self._add("Add", [source.name for source in sources])
        return _Tensor(name, sources[0].density, max(source.reach for source in sources))

    def _dense(self, layer: keras.layers.Dense, source: _Tensor) -> _Tensor:
        if _activation(layer) is not keras.activations.linear:
            raise ModelError(f"A Dense layer with {layer.activation.__name__} cannot be exported.")
        kernel, bias = (np.asarray(weight, np.float32) for weight in layer.get_weights())
        inputs = [
            source.name,
            self._constant(f"{layer.name}/kernel", kernel),
            self._constant(f"{layer.name}/bias", bias),
        ]
        return replace(source, name=self._add("Gemm", inputs))

    def _scaling(self, layer: ChannelScaling, source: _Tensor, numbers: _Tensor) -> _Tensor:
        """Factors for channels; a runtime folds them into the convolution before."""
        channels = layer.output.shape[-1]
        places = [
            self._constant(f"at/{value}", np.array([value], np.int64))
            for value in (layer.place, layer.place + channels, 1)
        ]
        own = self._add("Slice", [numbers.name, *places])
        shape = self._constant(f"channels/{channels}", np.array([1, channels, 1, 1], np.int64))
        own = self._add("Reshape", [own, shape])
        factors = self._add("Add", [own, self._constant("one", np.ones(1, np.float32))])
        if layer.factor != 1.0:
            factor = np.full(1, layer.factor, np.float32)
            factors = self._add("Mul", [factors, self._constant(f"times/{layer.factor}", factor)])
        return replace(source, name=self._add("Mul", [source.name, factors]))

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


def _is_plain(layer: keras.layers.Layer) -> bool:
    """A linear 3x3 convolution with zero padding, which can be merged with what is before it."""
    return (
        type(layer) is Convolution
        and layer.kernel_size == (3, 3)
        and layer.padding == "same"
        and _activation(layer) is keras.activations.linear
    )


def _inputs(layer: keras.layers.Layer) -> list[Any]:
    return [] if isinstance(layer, keras.layers.InputLayer) else keras.tree.flatten(layer.input)


def _activation(layer: keras.layers.Layer) -> Any:
    return getattr(layer, "activation", keras.activations.linear)
