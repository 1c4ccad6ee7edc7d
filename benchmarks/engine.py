"""Compares cinesr's engine with other ways to run the same network on the same slices.

    python benchmarks/engine.py --output DIR

Rivals take turns, each in its own process; none is timed before it has given the same image as all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import harness
from arithmetic import Layer, count
from foundry import NETWORKS, REWRITTEN, Foundry, Order
from layers import LayerTime, layer_times
from rivals import ON_JAX, ON_TORCH, OURS, RIVALS, Contestant, Product, StockExport
from worker import Worker

from cinesr.errors import CheckFailedError, ConfigError
from cinesr.upscaling.engine import multiplies_bfloat16

TOLERANCE = 1e-4
"""Largest difference between rivals as a share of the range: float32 sums in another order."""
LAYER_RUNS = 10
"""Runs of the engine, for each repeat, in which its layers are timed."""
PRODUCT = "matrix product"
FLOOR = "opencv"
FOUNDRY_PACKAGES = ("keras", "jax", "onnx")
LAYERS_SHOWN = 12


def main() -> None:
    options = _options()
    threads = harness.use_cores(options.threads)
    names, left_out = available(options.only)
    found = {}
    for name in options.networks:
        with TemporaryDirectory() as folder:
            order = Order(name, Path(folder), options.filters, options.slices, options.size)
            found[name] = compare(order, names, threads=threads, repeats=options.repeats)
    rates = [network["product_gflops"] for network in found.values()]
    result = {
        "machine": harness.machine(sum(rates) / len(rates)),
        "settings": {
            **{key: getattr(options, key) for key in ("repeats", "filters", "slices", "size")},
            "threads": threads,
        },
        "left_out": left_out,
        "networks": found,
    }
    harness.write(options.output, "engine", result, _tables(result))


def _options() -> argparse.Namespace:
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--only", help="rivals, with commas between; all that are installed")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--size", type=int, default=64, help="rows and columns of a slice")
    parser.add_argument("--slices", type=int, default=8, help="how many, one after another")
    parser.add_argument("--filters", type=int, default=64, help="channels of the hidden layers")
    return parser.parse_args()


def available(only: str | None) -> tuple[list[str], dict[str, str]]:
    """Who can take part here, and why others cannot.

    Args:
        only: Names with commas between, cinesr's engine always among them; all where not given.

    Raises:
        ConfigError: There is no such rival, or the network cannot be made here.
    """
    wanted = list(RIVALS) if only is None else [OURS, *only.split(",")]
    if unknown := set(wanted) - set(RIVALS):
        raise ConfigError(
            f"--only {only}: there is no rival {', '.join(sorted(unknown))}.",
            hint=f"Choose among {', '.join(RIVALS)}.",
        )
    if missing := _missing(FOUNDRY_PACKAGES):
        raise ConfigError(
            f"The networks are made with {', '.join(missing)}, which is not installed.",
            hint='Run pip install "cinesr[bench]".',
        )
    left_out = {
        name: f"needs {', '.join(missing)}"
        for name in RIVALS
        if name in wanted and (missing := _missing(RIVALS[name].packages))
    }
    if "engine-bfloat16" in wanted and not multiplies_bfloat16():
        left_out["engine-bfloat16"] = "the processor does not multiply in bfloat16"
    return [name for name in RIVALS if name in wanted and name not in left_out], left_out


def _missing(packages: Iterable[str]) -> list[str]:
    return [name for name in packages if find_spec(name) is None]


def compare(order: Order, names: Sequence[str], *, threads: int, repeats: int) -> dict[str, Any]:
    """Makes a network and lets the rivals upscale with it, in turn.

    Args:
        order: Which network, and what slices.
        names: Of the rivals; the first is cinesr's engine.
        threads: Processor cores to use.
        repeats: Turns of each.

    Raises:
        CheckFailedError: A rival gives another image.
    """
    _forge(order, exported="onnxruntime" in names)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                Worker(Contestant, name, order, threads, environment=RIVALS[name].environment)
            )
            for name in names
        }
        product = stack.enter_context(Worker(Product))
        differences = {name: worker.call("difference") for name, worker in workers.items()}
        require_same(differences)
        chosen = {name: worker.call("chosen") for name, worker in workers.items()}
        everyone = {**workers, PRODUCT: product}
        turns = {name: partial(worker.call, "turn") for name, worker in everyone.items()}
        timings = harness.interleaved(turns, repeats=repeats)
        product_gflops = product.call("gigaflops", timings[PRODUCT].median)
    per_slice = {name: timings[name].per(chosen[name][1]) for name in names}
    path, ours = order.folder / REWRITTEN, per_slice[OURS].median
    counted = count(path, rows=order.size, columns=order.size)
    times = layer_times(path, size=order.size, threads=threads, repeats=LAYER_RUNS * repeats)
    return {
        "rivals": {
            name: {
                "ms_per_slice": per_slice[name].to_dict(unit=1e-3),
                "ratio_to_engine": per_slice[name].median / ours,
                "way": chosen[name][0],
                "slices_per_turn": chosen[name][1],
                "largest_difference": differences[name],
            }
            for name in names
        },
        "product_gflops": product_gflops,
        "arithmetic": _arithmetic(counted, ours, product_gflops),
        "layers": _layers(times, counted, product_gflops),
    }


def _forge(order: Order, *, exported: bool) -> None:
    with Worker(Foundry, order, environment=ON_JAX) as foundry:
        foundry.call("slices")
        foundry.call("rewritten")
        foundry.call("stock")
    if exported:
        with Worker(StockExport, order, environment=ON_TORCH) as exporter:
            exporter.call("write")


def require_same(differences: dict[str, float]) -> None:
    """Refuses rivals that do not run the same network.

    Args:
        differences: Of each to cinesr's own layers, as a share of the range.

    Raises:
        CheckFailedError: One gives another image.
    """
    for name, difference in differences.items():
        if RIVALS[name].exact and not difference <= TOLERANCE:
            raise CheckFailedError(
                f"{name} gives another image: it differs by {difference:.1e} of the range; "
                f"expected at most {TOLERANCE:g}.",
                hint="Its network was put together wrongly; its time would say nothing.",
            )


def _arithmetic(counted: Sequence[Layer], seconds: float, product: float) -> dict[str, float]:
    every = sum(layer.multiply_adds for layer in counted)
    useful = sum(layer.without_zeros for layer in counted)
    return {
        "multiply_adds": every,
        "without_zeros": useful,
        "gflops": 2 * every / seconds / 1e9,
        "share_of_product": 2 * every / seconds / 1e9 / product,
        "share_without_zeros": 2 * useful / seconds / 1e9 / product,
    }


def _layers(
    times: Sequence[LayerTime], counted: Sequence[Layer], product: float
) -> list[dict[str, Any]]:
    whole = sum(step.seconds for step in times)
    work = {layer.name: layer.multiply_adds for layer in counted}
    rows = []
    for step in times:
        fused = [origin for origin in step.origins if origin in work]
        multiply_adds = sum(work[origin] for origin in fused)
        rate = 2 * multiply_adds / step.seconds / 1e9
        rows.append(
            {
                "layer": " ".join(fused) or step.origins[-1],
                **asdict(step),
                "share": step.seconds / whole,
                "multiply_adds": multiply_adds,
                "gflops": rate,
                "share_of_product": rate / product,
            }
        )
    return rows


def _tables(result: dict[str, Any]) -> str:
    machine, settings = result["machine"], result["settings"]
    size, large = settings["size"], 4 * settings["size"]
    parts = [
        f"{machine['processor']}, {settings['threads']} cores, "
        f"{machine['float32_product_gflops']:.0f} GFLOP/s in numpy's float32 product; "
        f"{size} x {size} to {large} x {large}, median (low to high) of {settings['repeats']}\n"
    ]
    parts += [_table(name, network) for name, network in result["networks"].items()]
    parts += [f"Left out: {name}, {reason}.\n" for name, reason in result["left_out"].items()]
    return "\n".join(parts)


def _table(name: str, network: dict[str, Any]) -> str:
    rivals = harness.table(
        (name, "ms per slice", "times engine", "largest difference", "how"),
        (
            (
                rival,
                "{median:.3g} ({low:.3g} to {high:.3g})".format(**found["ms_per_slice"]),
                f"{found['ratio_to_engine']:.2f}",
                # What is no network gives another image, and is only there for its time.
                "-" if rival == FLOOR else f"{found['largest_difference']:.1e}",
                found["way"],
            )
            for rival, found in network["rivals"].items()
        ),
    )
    work = network["arithmetic"]
    share = (
        f"{work['multiply_adds'] / 1e6:.0f} million multiply-adds in the rewritten graph: "
        f"{work['gflops']:.0f} GFLOP/s, {work['share_of_product']:.0%} of the matrix product "
        f"({work['share_without_zeros']:.0%} without taps that are zero)\n"
    )
    steps = harness.table(
        ("layer", "ms", "share", "million multiply-adds", "of the product", "kind"),
        (
            (
                step["layer"],
                f"{step['seconds'] * 1e3:.2f}",
                f"{step['share']:.0%}",
                f"{step['multiply_adds'] / 1e6:.0f}",
                f"{step['share_of_product']:.0%}",
                step["kind"],
            )
            for step in network["layers"][:LAYERS_SHOWN]
        ),
    )
    return "\n".join([rivals, share, steps])


if __name__ == "__main__":
    harness.run(main)
