"""The count against one by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from arithmetic import Layer, count
from onnx import TensorProto, helper, numpy_helper

from cinesr.errors import ModelError

ROWS, COLUMNS = 5, 7


def write(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> Path:
    low, high = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, f"{name}r", f"{name}c"])
        for name in ("low", "high")
    )
    stored = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "tiny", [low], [high], initializer=stored)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def test_convolutions_of_every_kind(tmp_path: Path) -> None:
    weights = {
        "first": np.ones((4, 1, 3, 3), np.float32),
        "grouped": np.ones((6, 2, 1, 3), np.float32),
        "up": np.ones((6, 3, 4, 4), np.float32),
        "down": np.ones((1, 3, 2, 2), np.float32),
    }
    weights["down"][0, 0] = 0
    nodes = [
        helper.make_node("Conv", ["low", "first"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "grouped"], ["b"], group=2, pads=[0, 1, 0, 1]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("ConvTranspose", ["c", "up"], ["d"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Conv", ["d", "down"], ["high"], strides=[2, 2]),
    ]
    pixels = ROWS * COLUMNS
    assert count(write(tmp_path / "m.onnx", nodes, weights), rows=ROWS, columns=COLUMNS) == [
        Layer("a", "Conv", 9 * 1 * 4 * pixels, 9 * 1 * 4 * pixels),
        # Each of 6 outputs sees 2 of the 4 channels.
        Layer("b", "Conv", 3 * 2 * 6 * pixels, 3 * 2 * 6 * pixels),
        # 16 taps on 6 channels for 3 outputs, once for each pixel that comes in.
        Layer("d", "ConvTranspose", 16 * 6 * 3 * pixels, 16 * 6 * 3 * pixels),
        # 2x2 taps at stride 2 on an image of twice the size; one channel's weights are zero.
        Layer("high", "Conv", 4 * 3 * pixels, 4 * 2 * pixels),
    ]


def test_a_size_that_is_only_known_at_run_time_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["low"], ["places"]),
        helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["numbers", "axes"], ["image"]),
        helper.make_node("Conv", ["image", "kernel"], ["high"]),
    ]
    weights = {
        "axes": np.array([0, 1], np.int64),
        "kernel": np.ones((1, 1, 3, 3), np.float32),
    }
    with pytest.raises(ModelError, match="the size of 'high' is not known before it runs"):
        count(write(tmp_path / "m.onnx", nodes, weights), rows=ROWS, columns=COLUMNS)
