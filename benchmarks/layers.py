"""Where the time goes inside a network, as OpenVINO tells it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinesr.upscaling.runtime import openvino


@dataclass(frozen=True)
class LayerTime:
    """Time in one step of the network as it runs.

    Args:
        name: Of the step.
        kind: Of operation, and by what code it ran.
        origins: Names in the file of what was fused into the step.
        seconds: Median over the runs.
    """

    name: str
    kind: str
    origins: tuple[str, ...]
    seconds: float


def layer_times(path: Path, *, size: int, threads: int, repeats: int) -> list[LayerTime]:
    """Runs a model and measures every step of it, the longest first.

    Args:
        path: An .onnx file with one input (image, channel, row, column).
        size: Rows and columns of the input.
        threads: Processor cores to use.
        repeats: Runs.
    """
    core = openvino.Core()
    graph = core.read_model(path)
    graph.reshape([1, 1, size, size])
    compiled = core.compile_model(
        graph,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": True,
        },
    )
    request = compiled.create_infer_request()
    image = np.random.default_rng(0).random((1, 1, size, size), dtype=np.float32)
    request.infer([image])
    seconds: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for _ in range(repeats):
        request.infer([image])
        for step in request.profiling_info:
            seconds.setdefault(step.node_name, []).append(step.real_time.total_seconds())
            kinds[step.node_name] = f"{step.node_type} {step.exec_type}"
    origins = {
        node.get_friendly_name(): tuple(
            node.get_rt_info()["originalLayersNames"].astype(str).split(",")
        )
        for node in compiled.get_runtime_model().get_ordered_ops()
        if "originalLayersNames" in node.get_rt_info()
    }
    found = [
        LayerTime(name, kinds[name], origins.get(name, (name,)), statistics.median(each))
        for name, each in seconds.items()
    ]
    return sorted((it for it in found if it.seconds), key=lambda it: -it.seconds)
