"""Measures how fast `cinesr train` trains, and whether its input keeps up.

    python benchmarks/training.py --output DIR [--seconds 2]

It is the training's own loop that is measured, on slices of the phantom: the seed's `mse-nearest`,
and `fidelity-x4` with its optimiser and variations, on each installed backend and in each
precision. Each trains in a process of its own, for an epoch when its turn comes, and sleeps while
the others have theirs. No scans are needed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import harness

from cinesr.errors import CinesrError, ConfigError
from cinesr.learning.config import (
    DataConfig,
    DegradationConfig,
    LossConfig,
    NetworkConfig,
    OptimisationConfig,
    TrainingConfig,
    VariationConfig,
)

if TYPE_CHECKING:
    from cinesr.learning.dataset import Material
    from cinesr.learning.pace import Pace

NETWORKS = ("mse-nearest", "fidelity-x4")
BACKENDS = ("jax", "torch")
PRECISIONS = ("float32", "bfloat16")
PRODUCT = "matrix product"
FIRST_STEPS = 4
"""Of the epoch that compiles the network, and tells how many steps fill a turn."""
BATCHES = 20
"""That are prepared in a turn without a training."""


@dataclass(frozen=True)
class Rival:
    """What trains.

    Args:
        network: One of `NETWORKS`.
        backend: Of Keras.
        precision: "float32" or "bfloat16".
    """

    network: str
    backend: str
    precision: str

    @property
    def name(self) -> str:
        """To tell it from the others."""
        return f"{self.network} {self.backend} {self.precision}"


def main() -> None:
    parser = harness.arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=2.0, help="of training in each turn")
    parser.add_argument("--size", type=int, default=256, help="rows and columns of the slices")
    parser.add_argument("--filters", type=int, default=64, help="channels of the networks")
    parser.add_argument("--only", default="", help="words that a rival's name has to hold")
    parser.add_argument("--rival", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rival:
        train(Rival(*json.loads(options.rival)), options)
        return
    threads = harness.use_cores(options.threads)
    result = measure(chosen(options.only), options)
    result["settings"]["threads"] = threads
    harness.write(options.output, "training", result, _table(result))


def chosen(only: str) -> list[Rival]:
    """The rivals whose backend is installed.

    Args:
        only: Words that their names have to hold.

    Raises:
        ConfigError: There is none.
    """
    every = [
        Rival(network, backend, precision)
        for network in NETWORKS
        for backend in BACKENDS
        for precision in PRECISIONS
        if find_spec(backend)
    ]
    found = [rival for rival in every if set(only.split()) <= set(rival.name.split())]
    if not found:
        names = ", ".join(repr(rival.name) for rival in every)
        raise ConfigError(f"--only {only!r}: no rival's name holds that; there are {names}.")
    return found


def configuration(rival: Rival, *, size: int, filters: int) -> TrainingConfig:
    """What a rival trains with.

    Args:
        rival: Which one.
        size: Rows and columns of its slices; a crop is no larger than half of one.
        filters: Channels of its network.
    """
    plan = OptimisationConfig(
        epochs=1,
        steps_per_epoch=FIRST_STEPS,
        crop=min(96, size // 8 * 4),
        warmup_steps=0,
        schedule="constant",
        precision=rival.precision,  # type: ignore[arg-type]
        validation_slices=1,
    )
    config = TrainingConfig(rival.name, "unused", DataConfig("unused"), optimisation=plan)
    if rival.network == "mse-nearest":
        network = NetworkConfig("seed", filters=filters, upsampling="nearest")
        return replace(config, network=network, loss=LossConfig("mse"))
    return replace(
        config,
        degradation=DegradationConfig(("thesis", "johnson", "bicubic", "kspace"), 0.02, 0.6),
        variation=VariationConfig(contrast=1.3, zoom=5.0, synthetic=0.1),
        network=NetworkConfig("residual", filters=filters, blocks=8),
        loss=LossConfig("mae"),
        optimisation=replace(plan, optimizer="muon", learning_rate=3e-3, ema=0.999),
    )


def material(size: int) -> Material:
    """Slices of the phantom, to learn from and to be checked on.

    Args:
        size: Rows and columns.
    """
    import numpy as np

    from cinesr.imaging.cine import IntensityRule
    from cinesr.imaging.phantom import make_phantom
    from cinesr.learning.dataset import Material, SliceSet, Split

    cine = make_phantom(size=size, slices=4, phases=2)
    rule = IntensityRule.of(cine)
    images = tuple(rule.apply(cine.frame(time, place)) for time, place in np.ndindex(2, 4))
    slices = SliceSet(images, ("phantom",) * len(images), None)
    return Material(Split(("phantom",), ("phantom",), ()), slices, slices)


def train(rival: Rival, options: argparse.Namespace) -> None:
    """Trains an epoch for each line that comes in, and prints its pace as JSON.

    Args:
        rival: What trains.
        options: Of the command; `output` is for the checkpoints.
    """
    from cinesr.learning.hardware import input_processes, trains_on_gpu
    from cinesr.learning.networks import multiply_adds
    from cinesr.learning.training import TrainingRun

    def answer(found: dict[str, Any]) -> None:
        print(json.dumps(found), flush=True)
        sys.stdin.readline()

    first: list[Pace] = []

    def watch(pace: Pace) -> None:
        if not pace.epoch_done:
            return
        if first:
            answer({"steps_per_second": pace.steps_per_second, "device_busy": pace.device_busy})
        first.append(pace)

    config = configuration(rival, size=options.size, filters=options.filters)
    run = TrainingRun(config, material(options.size), lambda *_: None, watch)
    # A short epoch compiles the network and is timed; the same model goes on with longer ones.
    run.fit(options.output)
    steps = max(FIRST_STEPS, round(options.seconds * first[0].steps_per_second))
    plan = replace(config.optimisation, epochs=2 + options.repeats, steps_per_epoch=steps)
    run.config = replace(config, optimisation=plan)
    answer(
        {
            "on_gpu": trains_on_gpu(),
            "input_processes": input_processes(),
            "steps_per_turn": steps,
            "batch_size": plan.batch_size,
            "multiply_adds": multiply_adds(run.result) * plan.batch_size * plan.crop**2,
        }
    )
    run.fit(options.output)


class Training:
    """A rival in a process of its own, because Keras chooses its backend when it is loaded.

    Args:
        rival: What trains there.
        options: Of the process.
    """

    def __init__(self, rival: Rival, options: Sequence[str]) -> None:
        self.rival = rival
        self._paces: list[dict[str, float]] = []
        told = json.dumps([rival.network, rival.backend, rival.precision])
        self._process = subprocess.Popen(
            [sys.executable, __file__, *options, "--rival", told],
            env={**os.environ, "KERAS_BACKEND": rival.backend},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()

    def epoch(self) -> None:
        """Trains for an epoch."""
        if self._process.stdin is not None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        self._paces.append(self._answer())

    def close(self) -> None:
        """Ends the process, wherever it is."""
        self._process.kill()
        self._process.communicate()

    def result(self) -> dict[str, Any]:
        """What its epochs were like, but for the first, which is the harness's warm-up."""
        speeds, busy = (
            [pace[key] for pace in self._paces[1:]] for key in ("steps_per_second", "device_busy")
        )
        median = statistics.median(speeds)
        return {
            "name": self.rival.name,
            "network": self.rival.network,
            "backend": self.rival.backend,
            "precision": self.rival.precision,
            **self.facts,
            "steps_per_second": {"median": median, "low": min(speeds), "high": max(speeds)},
            "device_busy": {"median": statistics.median(busy), "low": min(busy)},
            # Backwards through a network costs twice as much as forwards; each is two operations.
            "gflops": 6 * self.facts["multiply_adds"] * median / 1e9,
        }

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise CinesrError(f"{self.rival.name}: ended by itself; its error stands above.")
        found: dict[str, Any] = json.loads(line)
        return found


def measure(rivals: Sequence[Rival], options: argparse.Namespace) -> dict[str, Any]:
    """Trains all rivals in turn, between matrix products and batches without a training.

    Args:
        rivals: What trains.
        options: Of the command.
    """
    product = harness.MatrixProduct()
    turns: dict[str, Callable[[], object]] = {PRODUCT: product}
    first = {rival.network: rival for rival in rivals}
    turns |= {name: preparation(rival, options) for name, rival in first.items()}
    with ExitStack() as stack:
        trainings = []
        for rival in rivals:
            folder = stack.enter_context(TemporaryDirectory())
            told = {"output": folder, **{key: getattr(options, key) for key in PASSED}}
            words = [f"--{key}={value}" for key, value in told.items()]
            trainings.append(stack.enter_context(closing(Training(rival, words))))
            turns[rival.name] = trainings[-1].epoch
        timings = harness.interleaved(turns, repeats=options.repeats)
    results = [training.result() for training in trainings]
    for result in results:
        prepared = BATCHES / timings[result["network"]].median
        result["batches_per_second_of_one_thread"] = prepared
    return {
        "machine": harness.machine(product.gigaflops(timings[PRODUCT].median)),
        "settings": {key: getattr(options, key) for key in (*PASSED, "only")},
        "rivals": results,
    }


PASSED = ("seconds", "size", "filters", "repeats")
"""Options that a rival's process gets as well."""


def preparation(rival: Rival, options: argparse.Namespace) -> Callable[[], object]:
    """Prepares batches as a training's thread does, with no training beside it.

    Args:
        rival: Whose batches.
        options: Of the command.
    """
    from cinesr.learning.crops import CropStream
    from cinesr.learning.prefetch import one_blas_thread

    with one_blas_thread():
        config = configuration(rival, size=options.size, filters=options.filters)
        stream = CropStream(material(options.size).learn, config)

    def prepare() -> None:
        with one_blas_thread():
            for step in range(BATCHES):
                stream.batch(step)

    return prepare


def _table(result: dict[str, Any]) -> str:
    rate = result["machine"]["float32_product_gflops"]
    header = (
        *("training", "steps/s", "low", "high", "device busy", "least"),
        *("batches/s one thread prepares", "GFLOP/s", "of the product's"),
    )
    return harness.table(
        header,
        (
            (
                rival["name"],
                *(f"{rival['steps_per_second'][key]:.2f}" for key in ("median", "low", "high")),
                *(f"{rival['device_busy'][key]:.1%}" for key in ("median", "low")),
                f"{rival['batches_per_second_of_one_thread']:.0f}",
                f"{rival['gflops']:.0f}",
                f"{rival['gflops'] / rate:.0%}",
            )
            for rival in result["rivals"]
        ),
    )


if __name__ == "__main__":
    harness.run(main)
