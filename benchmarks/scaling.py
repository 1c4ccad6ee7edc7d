"""Measures what an output pixel costs, against the size of a slice and the number of frames.

    python benchmarks/scaling.py --output DIR

Sizes go through the engine alone; frames through the whole workflow in memory, checks included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import harness

SIZES = (64, 96, 128, 192, 256, 384, 512)
FRAMES = (1, 10, 100, 500)
FRAME_SIZE = 64
PHASES = 10
"""So many are drawn; longer cines repeat them."""
PRODUCT = "matrix product"


def main() -> None:
    options = _options()
    threads = harness.use_cores(options.threads)
    product = harness.MatrixProduct()
    sizes = _measured(
        size_runs(options.sizes, model=options.model, threads=threads),
        product,
        repeats=options.repeats,
    )
    frames = _measured(
        frame_runs(options.frames, model=options.model, threads=threads),
        product,
        repeats=options.repeats,
    )
    rates = [found.pop("product_gflops") for found in (sizes, frames)]
    result = {
        "machine": harness.machine(sum(rates) / len(rates)),
        "settings": {"repeats": options.repeats, "threads": threads, "model": options.model},
        "sizes": sizes["runs"],
        "frames": frames["runs"],
    }
    harness.write(options.output, "scaling", result, _tables(result))
    draw(result, options.output / "scaling.png")


def _options() -> Any:
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--model", help="a name or an .onnx file; by default the default model")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows and columns")
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES, help="frames of a cine")
    return parser.parse_args()


Run = tuple[Callable[[], object], int]
"""What to time, and how many output pixels it makes."""


def size_runs(sizes: Sequence[int], *, model: str | None, threads: int) -> dict[str, Run]:
    """One slice of each size through the engine.

    Args:
        sizes: Rows and columns.
        model: Its name or file; the default model where not given.
        threads: Processor cores to use.
    """
    import numpy as np

    from cinesr.upscaling.catalogue import find_model
    from cinesr.upscaling.engine import Engine

    found = find_model(model)
    engine = Engine(found, threads=threads)
    generator = np.random.default_rng(0)
    runs: dict[str, Run] = {}
    for size in sizes:
        image = generator.random((size, size), dtype=np.float32)
        runs[str(size)] = partial(engine.run, image), (found.scale * size) ** 2
    return runs


def frame_runs(counts: Sequence[int], *, model: str | None, threads: int) -> dict[str, Run]:
    """Cines of so many frames through the workflow, in memory.

    Args:
        counts: How many frames.
        model: Its name or file; the default model where not given.
        threads: Processor cores to use.
    """
    from dataclasses import replace

    import numpy as np

    from cinesr.imaging.phantom import make_phantom
    from cinesr.upscaling.upscale import Upscaler

    upscaler = Upscaler(model, threads=threads)
    beat = make_phantom(size=FRAME_SIZE, slices=1, phases=PHASES)
    frames = np.asarray(beat.frames)
    runs: dict[str, Run] = {}
    for count in counts:
        many = np.resize(frames, (count, *frames.shape[1:]))
        times = np.arange(count, dtype=np.float64)
        cine = replace(beat, frames=many, times_ms=times)
        side = FRAME_SIZE * upscaler.model.scale
        runs[str(count)] = partial(_upscale, upscaler, cine), count * side**2
    return runs


def _upscale(upscaler: Any, cine: Any) -> None:
    upscaler(cine).cine.in_memory()


def _measured(
    runs: dict[str, Run], product: harness.MatrixProduct, *, repeats: int
) -> dict[str, Any]:
    rivals = {name: run for name, (run, _) in runs.items()}
    timings = harness.interleaved({**rivals, PRODUCT: product}, repeats=repeats)
    costs = {name: timings[name].per(pixels) for name, (_, pixels) in runs.items()}
    cheapest = min(cost.median for cost in costs.values())
    return {
        "product_gflops": product.gigaflops(timings[PRODUCT].median),
        "runs": [
            {
                "of": int(name),
                "seconds": timings[name].to_dict(),
                "ns_per_output_pixel": cost.to_dict(unit=1e-9),
                "ratio_to_cheapest": cost.median / cheapest,
            }
            for name, cost in costs.items()
        ],
    }


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws both curves with their spread.

    Args:
        result: As it stands in the JSON file.
        path: Of the PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for part, (key, words) in zip(
        axes,
        (
            ("sizes", "rows and columns of a slice"),
            ("frames", f"frames of {FRAME_SIZE} x {FRAME_SIZE}"),
        ),
        strict=True,
    ):
        costs = [run["ns_per_output_pixel"] for run in result[key]]
        medians = [cost["median"] for cost in costs]
        spread = [
            [cost["median"] - cost["low"] for cost in costs],
            [cost["high"] - cost["median"] for cost in costs],
        ]
        places = [run["of"] for run in result[key]]
        part.errorbar(places, medians, yerr=spread, marker="o", capsize=3)
        part.set_xscale("log")
        part.set_xticks(places, [str(place) for place in places])
        part.minorticks_off()
        part.set_ylim(bottom=0)
        part.set_xlabel(words)
        part.set_ylabel("ns per output pixel")
        part.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=120)


def _tables(result: dict[str, Any]) -> str:
    tables = [
        harness.table(
            (words, "ns per output pixel", "low", "high", "to the cheapest"),
            (
                (
                    str(run["of"]),
                    *(
                        f"{run['ns_per_output_pixel'][key]:.1f}"
                        for key in ("median", "low", "high")
                    ),
                    f"{run['ratio_to_cheapest']:.2f}",
                )
                for run in result[key]
            ),
        )
        for key, words in (("sizes", "slice"), ("frames", "frames"))
    ]
    return "\n".join(tables)


if __name__ == "__main__":
    harness.run(main)
