"""What a network multiplies, counted in its ONNX file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from cinesr.errors import ModelError


@dataclass(frozen=True)
class Layer:
    """What one convolution multiplies and adds.

    Args:
        name: Of its output in the file.
        kind: "Conv" or "ConvTranspose".
        multiply_adds: Taps times positions, as the file has it. Taps over the padding count.
        without_zeros: The same but for taps whose weight is zero.
    """

    name: str
    kind: str
    multiply_adds: int
    without_zeros: int


def count(path: Path, *, rows: int, columns: int) -> list[Layer]:
    """Counts every convolution of a model, in the order of the file.

    Args:
        path: An .onnx file with one input (image, channel, row, column).
        rows: Of the input.
        columns: Of the input.

    Raises:
        ModelError: The shape of a convolution's input or output depends on more than that.
    """
    model = onnx.load(path)
    shape = model.graph.input[0].type.tensor_type.shape
    for place, size in ((0, 1), (2, rows), (3, columns)):
        shape.dim[place].dim_value = size
    model.graph.output[0].type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [part.dim_value for part in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    weights = {it.name: it for it in graph.initializer}
    layers = []
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        # A kernel meets every position of the output; one that is transposed, of the input.
        place = node.output[0] if node.op_type == "Conv" else node.input[0]
        positions = math.prod(shapes.get(place, [0])[2:])
        if not positions:
            raise ModelError(f"{path}: the size of {place!r} is not known before it runs.")
        kernel = numpy_helper.to_array(weights[node.input[1]])
        # ONNX has (out, in / group, ...) and (in, out / group, ...): all that a position meets.
        taps = int(np.prod(kernel.shape)), int(np.count_nonzero(kernel))
        layers.append(Layer(node.output[0], node.op_type, taps[0] * positions, taps[1] * positions))
    return layers
