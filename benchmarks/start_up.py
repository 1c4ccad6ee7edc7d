"""Measures how long the first slice takes out of a cold start, Python's own start included.

    python benchmarks/start_up.py --output DIR

Every turn is a new process. The first one may find its files on the disk alone; it stands apart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import commands
import harness

SIZES = (64, 256)
PRODUCT = "matrix product"


def main() -> None:
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--model", help="a name or an .onnx file; by default the default model")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the pictures")
    options = parser.parse_args()
    threads = harness.use_cores(options.threads)
    with TemporaryDirectory() as folder:
        lines = command_lines(Path(folder), sizes=options.sizes, model=options.model)
        first = {name: commands.run(line).seconds for name, line in lines.items()}
        runs = {name: partial(commands.run, line) for name, line in lines.items()}
        product = harness.MatrixProduct()
        rivals: dict[str, Callable[[], object]] = {**runs, PRODUCT: product}
        timings = harness.interleaved(rivals, repeats=options.repeats, warm_up=0)
    result = {
        "machine": harness.machine(product.gigaflops(timings[PRODUCT].median)),
        "settings": {"repeats": options.repeats, "threads": threads, "model": options.model},
        "commands": {
            name: {"seconds": timings[name].to_dict(), "first_seconds": first[name]}
            for name in lines
        },
    }
    harness.write(options.output, "start_up", result, _table(result))


def command_lines(folder: Path, *, sizes: list[int], model: str | None) -> dict[str, list[str]]:
    """What is started, by name.

    Args:
        folder: For the pictures and the results.
        sizes: Rows and columns of each picture.
        model: Its name or file; the default model where not given.
    """
    chosen = [] if model is None else ["--model", model]
    lines = {
        "python": [sys.executable, "-c", "pass"],
        "import cinesr": [sys.executable, "-c", "import cinesr"],
        "cinesr --help": [*commands.CINESR, "--help"],
    }
    for size in sizes:
        source, target = folder / f"{size}.png", folder / f"{size}_up.png"
        _draw(source, size)
        arguments = ["upscale", str(source), "-o", str(target), "--overwrite", *chosen]
        lines[f"cinesr upscale {size} x {size}"] = [*commands.CINESR, *arguments]
    return lines


def _draw(path: Path, size: int) -> None:
    import numpy as np
    from PIL import Image

    from cinesr.imaging.phantom import STORED_MAXIMUM, make_phantom

    frame = np.asarray(make_phantom(size=size, slices=1, phases=1).frames)[0, 0]
    Image.fromarray((frame * (255 / STORED_MAXIMUM)).astype(np.uint8)).save(path)


def _table(result: dict[str, Any]) -> str:
    return harness.table(
        ("command", "seconds", "low", "high", "first"),
        (
            (
                name,
                *(f"{found['seconds'][key]:.3f}" for key in ("median", "low", "high")),
                f"{found['first_seconds']:.3f}",
            )
            for name, found in result["commands"].items()
        ),
    )


if __name__ == "__main__":
    harness.run(main)
