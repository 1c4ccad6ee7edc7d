"""Runs one exported file in several runtimes and settings, to choose what the engine uses.

    python benchmarks/runtimes.py --output DIR

The file is that of a shipped model. Layouts: onnxruntime keeps pixels in blocks of channels with
all its optimisations, channels first without the last of them; OpenVINO chooses for itself. A
stream is a network in flight, to which the threads are dealt. Tiles are those of the engine. The
change that bfloat16 makes is measured on a phantom that each of the four degradations made small.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Run = Callable[[], object]

PRODUCT = "matrix product"
FRAME_SIZES = (64, 128)
LARGE_SIZE = 256
BATCHES, STREAMS, TILES = (2, 4), (2,), (64, 128)


def main() -> None:
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--models", nargs="+", default=["mse-nearest", "fidelity-x4"])
    parser.add_argument("--sizes", type=int, nargs="+", default=FRAME_SIZES)
    parser.add_argument("--large", type=int, default=LARGE_SIZE, help="of the slice that is tiled")
    options = parser.parse_args()
    threads = harness.use_cores(options.threads)
    product = harness.MatrixProduct()
    found: dict[str, Any] = {}
    rates = []
    for name in options.models:
        groups: dict[str, dict[str, tuple[Run, int]]] = {
            f"{size} x {size}": settings(name, size, threads=threads) for size in options.sizes
        }
        groups[f"{options.large} x {options.large}, in tiles"] = tilings(
            name, options.large, threads=threads
        )
        timings: dict[str, Any] = {}
        for group, runs in groups.items():
            rivals = {key: run for key, (run, _) in runs.items()}
            times = harness.interleaved({**rivals, PRODUCT: product}, repeats=options.repeats)
            rates.append(product.gigaflops(times[PRODUCT].median))
            timings[group] = {
                key: times[key].per(slices).to_dict(unit=1e-3) for key, (_, slices) in runs.items()
            }
        found[name] = {"ms_per_slice": timings, "bfloat16": change(name, threads=threads)}
    result = {
        "machine": harness.machine(sum(rates) / len(rates)),
        "settings": {"repeats": options.repeats, "threads": threads},
        "models": found,
    }
    harness.write(options.output, "runtimes", result, _tables(found))


def settings(name: str, size: int, *, threads: int) -> dict[str, tuple[Run, int]]:
    """Every runtime and setting, as what to call and how many slices that upscales.

    Args:
        name: Of a model.
        size: Rows and columns of a slice.
        threads: Processor threads to use.
    """
    from cinesr.upscaling.engine import multiplies_bfloat16

    path = _path(name)
    images = np.random.default_rng(0).random((max(BATCHES), 1, size, size), dtype=np.float32)
    runs: dict[str, tuple[Run, int]] = {
        "OpenVINO": (_openvino(path, images[:1], threads=threads), 1),
        **{
            f"OpenVINO, batch of {batch}": (
                _openvino(path, images[:batch], threads=threads),
                batch,
            )
            for batch in BATCHES
        },
        **{
            f"OpenVINO, {streams} streams": (
                _openvino(path, images[:1], threads=threads, streams=streams),
                2 * streams,
            )
            for streams in STREAMS
            if streams <= threads
        },
    }
    if threads > 1:
        runs["OpenVINO, 1 thread"] = _openvino(path, images[:1], threads=1), 1
    if multiplies_bfloat16():
        runs["OpenVINO, bfloat16"] = _openvino(path, images[:1], threads=threads, kind="bf16"), 1
    runs["onnxruntime"] = _onnxruntime(path, images[:1], threads=threads), 1
    runs["onnxruntime, channels first"] = (
        _onnxruntime(path, images[:1], threads=threads, blocked=False),
        1,
    )
    return runs


def tilings(name: str, size: int, *, threads: int) -> dict[str, tuple[Run, int]]:
    """One large slice through the engine, in tiles of several sizes.

    Args:
        name: Of a model.
        size: Rows and columns of the slice.
        threads: Processor threads to use.
    """
    from cinesr.upscaling.catalogue import find_model
    from cinesr.upscaling.engine import Engine

    image = np.random.default_rng(0).random((size, size), dtype=np.float32)
    model = find_model(name)

    def run(tile: int | None) -> Run:
        engine = Engine(model, threads=threads, tile=tile)
        return lambda: engine.run(image)

    tiles = {f"tiles of {tile}": (run(tile), 1) for tile in TILES if tile < size}
    return {**tiles, "as the engine chooses": (run(None), 1)}


def change(name: str, *, threads: int) -> dict[str, float] | None:
    """What bfloat16 changes: the largest share of the range, and the PSNR in dB.

    Args:
        name: Of a model.
        threads: Processor threads to use.

    Returns:
        None where the processor has no bfloat16.
    """
    from cinesr.degradation import METHODS, Degradation
    from cinesr.evaluation.metrics import psnr
    from cinesr.imaging.cine import IntensityRule
    from cinesr.imaging.phantom import make_phantom
    from cinesr.upscaling.catalogue import find_model
    from cinesr.upscaling.engine import Engine, multiplies_bfloat16

    if not multiplies_bfloat16():
        return None
    cine = make_phantom(slices=1, phases=1)
    truth = IntensityRule.of(cine).apply(cine.frame(0, 0))
    model = find_model(name)
    exact = Engine(model, threads=threads)
    fast = Engine(model, threads=threads, precision="bfloat16")
    largest, moved = 0.0, 0.0
    for method in METHODS:
        low = Degradation(method, model.scale).apply(truth)
        one, other = exact.run(low), fast.run(low)
        largest = max(largest, float(np.abs(one - other).max()))
        scores = (psnr(truth, image, data_range=1.0) for image in (one, other))
        moved = max(moved, abs(float(np.subtract(*scores))))
    return {"largest_change": largest, "psnr_moves_db": moved}


def _path(name: str) -> Path:
    from cinesr.upscaling.catalogue import find_model

    return find_model(name).path


def _openvino(
    path: Path, images: Images, *, threads: int, streams: int = 1, kind: str = "f32"
) -> Run:
    from cinesr.upscaling.runtime import openvino

    core = openvino.Core()
    graph = core.read_model(path)
    graph.reshape(list(images.shape))
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": kind,
        "ENABLE_CPU_PINNING": threads == harness.use_cores(None),
    }
    compiled = core.compile_model(graph, "CPU", options)
    if streams == 1:
        request = compiled.create_infer_request()
        return lambda: request.infer([images])
    queue = openvino.AsyncInferQueue(compiled, streams)

    def run() -> None:
        for _ in range(2 * streams):
            queue.start_async([images])
        queue.wait_all()

    return run


def _onnxruntime(path: Path, images: Images, *, threads: int, blocked: bool = True) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        level.ORT_ENABLE_ALL if blocked else level.ORT_ENABLE_EXTENDED
    )
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"low": images})


def _tables(found: dict[str, Any]) -> str:
    parts = []
    for name, model in found.items():
        for group, times in model["ms_per_slice"].items():
            first = next(iter(times.values()))["median"]
            rows = (
                (
                    key,
                    *(f"{time[part]:.1f}" for part in ("median", "low", "high")),
                    f"{time['median'] / first:.2f}",
                )
                for key, time in times.items()
            )
            header = (f"{name}, {group}", "ms per slice", "low", "high", "to the first")
            parts.append(harness.table(header, rows))
        if changed := model["bfloat16"]:
            parts.append(
                f"{name}, bfloat16 against float32: pixels change by up to "
                f"{100 * changed['largest_change']:.2f} % of the range, PSNR by up to "
                f"{changed['psnr_moves_db']:.4f} dB.\n"
            )
    return "\n".join(parts)


if __name__ == "__main__":
    harness.run(main)
