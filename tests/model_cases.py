"""Tiny .onnx models for tests: what each computes is known exactly, or is wrong on purpose."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

CONV_CHANNELS = 3
CONV_REACH = 3
"""Two zero-padded convolutions, 5x5 and 3x3, look this many pixels to each side."""

Parts = tuple[list[NodeProto], dict[str, np.ndarray]]


def card(scale: int = 4, name: str = "tiny", receptive_field: int = 4) -> dict[str, Any]:
    """The least that a card must say."""
    return {"name": name, "scale": scale, "receptive_field": receptive_field}


def write_model(
    path: Path,
    kind: str = "bicubic",
    *,
    scale: int = 4,
    says: Mapping[str, Any] | str | None = None,
    input_name: str = "low",
) -> Path:
    """Writes a model.

    Args:
        path: The .onnx file; its folder is made where missing.
        kind: `bicubic` (cubic convolution with a = -0.5, as `resize_bicubic`), `nearest`, `conv`
            (random weights); or bicubic made wrong: `nan`, `black`, `constant`, `overshoot`, `dim`,
            `late` (NaN where the input exceeds 0.75), `shifted` (down by one output pixel), `large`
            (fails on any input).
        scale: Output pixels per input pixel, per axis.
        says: The card, or its text; by default it tells the truth.
        input_name: Of the graph's input.
    """
    nodes, constants = _conv(scale) if kind == "conv" else _resized(kind, scale)
    for node in nodes:
        node.input[:] = [input_name if name == "low" else name for name in node.input]
    low, high = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, f"r{name}", f"c{name}"])
        for name in (input_name, "high")
    )
    initializers = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [low], [high], initializer=initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if says is None:
        says = card(scale, path.stem)
    text = says if isinstance(says, str) else json.dumps(says)
    helper.set_model_props(model, {"cinesr": text})
    return _saved(model, path)


def write_model_without_card(path: Path) -> Path:
    """Writes an ONNX model that is not one of cinesr."""
    model = onnx.load(write_model(path))
    del model.metadata_props[:]
    return _saved(model, path)


def _saved(model: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def _resized(kind: str, scale: int) -> Parts:
    constants: dict[str, np.ndarray] = {}
    if kind == "nearest":
        constants["scales"] = np.array([1, 1, scale, scale], np.float32)
        how = {"mode": "nearest", "nearest_mode": "round_prefer_floor"}
        resize = [helper.make_node("Resize", ["low", "", "scales"], ["resized"], **how)]
    else:
        resize = _cubic(scale, constants)
    nodes, spoilt = _spoilt(kind, constants)
    return [*resize, *nodes, helper.make_node("Identity", [spoilt], ["high"])], constants


def _cubic(scale: int, constants: dict[str, np.ndarray]) -> list[NodeProto]:
    """Every pixel adds its cubic to the pixels around; weights beyond the border are shared out."""
    distance = np.abs((np.arange(-2 * scale, 3 * scale) + 0.5) / scale - 0.5)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    constants["taps"] = np.outer(taps, taps)[None, None].astype(np.float32)
    constants["none"], constants["one"] = np.float32(0), np.float32(1)
    how = {"strides": [scale, scale], "pads": [2 * scale] * 4}
    return [
        helper.make_node("Mul", ["low", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("ConvTranspose", ["low", "taps"], ["sum"], **how),
        helper.make_node("ConvTranspose", ["ones", "taps"], ["weight"], **how),
        helper.make_node("Div", ["sum", "weight"], ["resized"]),
    ]


def _spoilt(kind: str, constants: dict[str, np.ndarray]) -> tuple[list[NodeProto], str]:
    factors = {"nan": np.nan, "black": 0.0, "constant": 0.0, "overshoot": 3.0, "dim": 0.3}
    if kind in factors:
        constants["factor"] = np.float32(factors[kind])
        constants["offset"] = np.float32(0.5 if kind == "constant" else 0.0)
        return [
            helper.make_node("Mul", ["resized", "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "offset"], ["spoilt"]),
        ], "spoilt"
    if kind == "late":
        constants["limit"], constants["zero"] = np.float32(0.75), np.float32(0.0)
        return [
            helper.make_node("Sub", ["limit", "resized"], ["room"]),
            helper.make_node("Log", ["room"], ["logarithm"]),
            helper.make_node("Mul", ["logarithm", "zero"], ["nothing"]),
            helper.make_node("Add", ["resized", "nothing"], ["spoilt"]),
        ], "spoilt"
    if kind == "shifted":
        constants["sides"] = np.array([0, 0, 1, 0, 0, 0, -1, 0], np.int64)
        return [helper.make_node("Pad", ["resized", "sides"], ["spoilt"], mode="edge")], "spoilt"
    if kind == "large":
        constants["shape"] = np.array([7, 7, 7, 7], np.int64)
        return [helper.make_node("Reshape", ["resized", "shape"], ["spoilt"])], "spoilt"
    return [], "resized"


def _conv(scale: int) -> Parts:
    rng = np.random.default_rng(0)
    constants = {
        "first": rng.normal(size=(CONV_CHANNELS, 1, 5, 5)).astype(np.float32),
        "second": rng.normal(size=(scale**2, CONV_CHANNELS, 3, 3)).astype(np.float32),
        "bias": rng.normal(size=scale**2).astype(np.float32),
    }
    return [
        helper.make_node("Conv", ["low", "first"], ["a"], pads=[2] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second", "bias"], ["c"], pads=[1] * 4),
        helper.make_node("DepthToSpace", ["c"], ["high"], blocksize=scale),
    ], constants
