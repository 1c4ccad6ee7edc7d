"""What all benchmarks share: rivals timed in turn, the machine they ran on, JSON and a table."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cinesr import __version__
from cinesr.errors import CinesrError, ConfigError
from cinesr.experiment.environment import machine as computer
from cinesr.imaging.staging import staged

FEWEST_REPEATS = 7
PRODUCT_SIDE = 2048
"""Of the square matrices whose product measures the machine: 48 MB, so that caches do not hold it
all, and long enough that starting threads costs nothing."""
PAUSE_SECONDS = 0.1
"""Before each rival's turn. OpenBLAS's threads look for more work for 2^26 clock cycles after they
have finished, some 30 ms; the next rival would pay for it, and was seen to take twice as long."""
PACKAGES = (
    *("numpy", "openvino", "onnxruntime", "onnx", "keras", "jax", "torch"),
    *("opencv-python-headless", "pydicom", "nibabel"),
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Timing:
    """Seconds that one turn took.

    Args:
        median: Over the repeats.
        low: The shortest.
        high: The longest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Of what was measured."""
        return cls(statistics.median(seconds), min(seconds), max(seconds))

    def per(self, parts: float) -> Timing:
        """For one of so many equal parts."""
        return Timing(self.median / parts, self.low / parts, self.high / parts)

    def to_dict(self, *, unit: float = 1.0) -> dict[str, float]:
        """For JSON.

        Args:
            unit: What to count in, in seconds: 1e-3 gives milliseconds.
        """
        return {name: seconds / unit for name, seconds in asdict(self).items()}


def arguments(description: str, *, repeats: int = FEWEST_REPEATS) -> argparse.ArgumentParser:
    """The options that every benchmark has.

    Args:
        description: What it measures.
        repeats: Default number of turns of each rival.
    """
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--threads", type=int, help="processor cores to use; by default all")
    parser.add_argument("--repeats", type=int, default=repeats, help="turns of each rival")
    return parser


def run(main: Callable[[], None]) -> None:
    """Runs a benchmark; an error of ours becomes a message and an exit code."""
    try:
        main()
    except CinesrError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def use_cores(threads: int | None) -> int:
    """Keeps this process and its children to so many processor cores.

    Called before numpy or a runtime is loaded: each makes its threads for the cores that it finds,
    some of them whatever their own options say.

    Args:
        threads: How many; all that this process may use where not given.

    Returns:
        How many.

    Raises:
        ConfigError: There are not so many.
    """
    cores = _allowed_cores()
    wanted = len(cores) if threads is None else threads
    if not 1 <= wanted <= len(cores):
        raise ConfigError(
            f"--threads {wanted}: this process may use {len(cores)} cores.",
            hint=f"Name a number from 1 to {len(cores)}.",
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[:wanted])
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(wanted)))
    return wanted


def _allowed_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def interleaved(
    rivals: Mapping[str, Callable[[], object]], *, repeats: int = FEWEST_REPEATS, warm_up: int = 1
) -> dict[str, Timing]:
    """Times each rival in turn, again and again, so that what slows the machine slows them all.

    Args:
        rivals: What to call, by name.
        repeats: Turns of each that count.
        warm_up: Turns of each, before these, that do not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(warm_up + repeats):
        for name, run in rivals.items():
            time.sleep(PAUSE_SECONDS)
            start = time.perf_counter()
            run()
            spent = time.perf_counter() - start
            if turn >= warm_up:
                seconds[name].append(spent)
    return {name: Timing.of(found) for name, found in seconds.items()}


class MatrixProduct:
    """A float32 product of two square matrices, to tell what the machine multiplies per second.

    Args:
        side: Of the matrices.
    """

    def __init__(self, side: int = PRODUCT_SIDE) -> None:
        import numpy as np

        self.side = side
        generator = np.random.default_rng(0)
        self._first, self._second = generator.random((2, side, side), dtype=np.float32)
        self._result = np.empty((side, side), np.float32)

    def __call__(self) -> None:
        """Multiplies once."""
        import numpy as np

        np.matmul(self._first, self._second, out=self._result)

    def gigaflops(self, seconds: float) -> float:
        """Multiplications and additions per second, in thousand millions."""
        return 2 * self.side**3 / seconds / 1e9


def machine(product_gigaflops: float | None = None) -> dict[str, Any]:
    """What a benchmark ran on.

    Args:
        product_gigaflops: The rate of numpy's float32 matrix product, measured among the rivals of
            the benchmark; measured here where not given.
    """
    if product_gigaflops is None:
        product = MatrixProduct()
        timing = interleaved({"product": product})["product"]
        product_gigaflops = product.gigaflops(timing.median)
    return {
        **computer(),
        "cores": len(_allowed_cores()),
        "float32_product_gflops": product_gigaflops,
        "versions": {"cinesr": __version__, **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned text that is a Markdown table too; the first column names the rows."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        places = enumerate(zip(cells, widths, strict=True))
        aligned = (cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in places)
        return "| " + " | ".join(aligned) + " |"

    rule = "|" + "|".join(
        "-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths)
    )
    return "\n".join([line(header), rule + "|", *map(line, lines[1:])]) + "\n"


def milliseconds(timing: Timing) -> str:
    """The median, and the spread behind it."""
    parts = (f"{value * 1e3:.3g}" for value in (timing.median, timing.low, timing.high))
    return "{} ({} to {})".format(*parts)


def write(output: Path, name: str, result: Mapping[str, Any], table: str) -> None:
    """Leaves `name.json` and `name.md` in a folder, and prints the table.

    Args:
        output: The folder, made where missing; results from before are replaced.
        name: Of the benchmark.
        result: Whatever JSON can hold.
        table: Of the same, to read.
    """
    output.mkdir(parents=True, exist_ok=True)
    texts = {"json": json.dumps(result, indent=1) + "\n", "md": table}
    for suffix, text in texts.items():
        with staged(output / f"{name}.{suffix}", overwrite=True) as part:
            part.write_text(text, encoding="utf-8")
    print(table)
