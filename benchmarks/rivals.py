"""Who is compared: each rival is made and run in a process of its own.

`keras.Model.export(format="onnx")` needs more packages: on the torch backend onnx and onnxscript,
on the JAX backend jax2onnx, which brings thirty others. The torch backend exports here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from foundry import (
    EXPECTED,
    NETWORKS,
    NUMBERS,
    REWRITTEN,
    SCALE,
    SLICES,
    STOCK,
    STOCK_ONNX,
    Order,
)
from harness import MatrixProduct
from numpy.typing import NDArray

Images = NDArray[np.float32]
Precision = Literal["float32", "bfloat16"]
Ways = dict[str, Callable[[Images], Images]]
"""Functions that upscale (image, row, column), by how they do it: one by one, in batches."""

SHORTEST_TURN = 0.2
"""Seconds; a rival that is done sooner repeats its work, so that asking it costs nothing."""
BATCHES = (1, 8)


class Contestant:
    """A rival at work; it has chosen the fastest of its ways.

    Args:
        name: Of the rival; see `RIVALS`.
        order: What the foundry has made.
        threads: Processor cores to use.
    """

    def __init__(self, name: str, order: Order, threads: int) -> None:
        self._slices = np.load(order.folder / SLICES)
        self._expected = np.load(order.folder / EXPECTED)
        ways = RIVALS[name].make(order, threads)
        seconds = {way: self._trial(run) for way, run in ways.items()}
        self.way = min(seconds, key=lambda way: seconds[way])
        self._run = ways[self.way]
        self._passes = max(1, math.ceil(SHORTEST_TURN / seconds[self.way]))

    def chosen(self) -> tuple[str, int]:
        """The way, and how many slices a turn upscales."""
        return self.way, self._passes * len(self._slices)

    def difference(self) -> float:
        """The largest, to the output of cinesr's own layers, as a share of its range."""
        outputs = self._run(self._slices)
        if outputs.shape != self._expected.shape:
            return math.inf
        return float(np.abs(outputs - self._expected).max() / np.ptp(self._expected))

    def turn(self) -> None:
        """Upscales all slices, several times if they are few."""
        for _ in range(self._passes):
            self._run(self._slices)

    def _trial(self, run: Callable[[Images], Images]) -> float:
        run(self._slices)
        start = time.perf_counter()
        run(self._slices)
        return time.perf_counter() - start


class Product:
    """The machine's matrix product, as one more who takes its turn."""

    def __init__(self) -> None:
        self._product = MatrixProduct()

    def turn(self) -> None:
        """Multiplies once."""
        self._product()

    def gigaflops(self, seconds: float) -> float:
        """See `harness.MatrixProduct`."""
        return self._product.gigaflops(seconds)


class StockExport:
    """Writes Keras's own ONNX export of the stock twin, in a process of the torch backend."""

    def __init__(self, order: Order) -> None:
        self._folder = order.folder

    def write(self) -> None:
        """Writes it for any number of images."""
        import warnings

        import keras

        network = keras.saving.load_model(self._folder / STOCK, compile=False)
        network(np.load(self._folder / SLICES)[..., None])  # Keras exports what was called once.
        with warnings.catch_warnings():
            # torch warns of what Keras's exporter asks of it.
            warnings.simplefilter("ignore")
            network.export(self._folder / STOCK_ONNX, format="onnx", verbose=False)


def _in_batches(run: Callable[[Images], Images], slices: int) -> Ways:
    """A function of several images, called with so many at a time."""

    def of_size(size: int) -> Callable[[Images], Images]:
        def whole(images: Images) -> Images:
            parts = [run(images[at : at + size]) for at in range(0, len(images), size)]
            return np.concatenate(parts)

        return whole

    return {f"batches of {size}": of_size(size) for size in BATCHES if size <= slices}


def _engine(order: Order, threads: int, *, precision: Precision = "float32") -> Ways:
    from cinesr.upscaling.catalogue import read_model
    from cinesr.upscaling.engine import Engine

    engine = Engine(read_model(order.folder / REWRITTEN), threads=threads, precision=precision)
    return {"one by one": lambda images: np.stack([engine.run(image) for image in images])}


def _predict(order: Order, threads: int) -> Ways:
    import keras

    network = keras.saving.load_model(order.folder / STOCK, compile=False)
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(threads)

    def in_batches_of(size: int) -> Callable[[Images], Images]:
        # Keras makes the batches itself: one call for all images costs least.
        return lambda images: network.predict(images[..., None], size, verbose=0)[..., 0]

    sizes = [size for size in BATCHES if size <= order.slices]
    return {f"batches of {size}": in_batches_of(size) for size in sizes}


def _onnxruntime_keras(order: Order, threads: int) -> Ways:
    session = _session(order.folder / STOCK_ONNX, threads)
    (source,) = session.get_inputs()

    def run(images: Images) -> Images:
        return np.asarray(session.run(None, {source.name: images[..., None]})[0])[..., 0]

    return _in_batches(run, order.slices)


def _onnxruntime_rewritten(order: Order, threads: int) -> Ways:
    session = _session(order.folder / REWRITTEN, threads)
    (source,) = session.get_inputs()

    def run(images: Images) -> Images:
        return np.asarray(session.run(None, {source.name: images[:, None]})[0])[:, 0]

    return _in_batches(run, order.slices)


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads go on looking for work where they are not told to stop, in other rivals' turns.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _torch(order: Order, threads: int) -> Ways:
    import torch
    from torch_twin import torch_network

    torch.set_num_threads(threads)
    recipe = NETWORKS[order.name]
    with np.load(order.folder / NUMBERS) as stored:
        numbers = [stored[key] for key in stored.files]

    def in_layout(layout: torch.memory_format) -> Callable[[Images], Images]:
        network = torch_network(
            recipe["architecture"], numbers, scale=SCALE, blocks=recipe["blocks"]
        ).to(memory_format=layout)

        def run(images: Images) -> Images:
            with torch.inference_mode():
                inputs = torch.from_numpy(images[:, None]).to(memory_format=layout)
                return np.asarray(network(inputs).numpy()[:, 0])

        return run

    layouts = {
        "channels first": torch.contiguous_format,
        "channels last": torch.channels_last,
    }
    return {
        f"{words}, {way}": run
        for words, layout in layouts.items()
        for way, run in _in_batches(in_layout(layout), order.slices).items()
    }


def _bicubic(order: Order, threads: int) -> Ways:
    import cv2

    cv2.setNumThreads(threads)
    side = order.size * SCALE

    def resized(image: Images) -> Images:
        return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC))

    return {"one by one": lambda images: np.stack([resized(image) for image in images])}


@dataclass(frozen=True)
class Rival:
    """Who takes part.

    Args:
        make: Gives its ways to work, in its own process.
        packages: Modules that it needs.
        environment: What its process finds beside what all have.
        exact: Whether it is to give what cinesr's own layers give.
    """

    make: Callable[[Order, int], Ways]
    packages: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    exact: bool = True


ON_JAX, ON_TORCH = ({"KERAS_BACKEND": name} for name in ("jax", "torch"))
OURS = "engine"
RIVALS = {
    OURS: Rival(_engine, ("openvino",)),
    "engine-bfloat16": Rival(partial(_engine, precision="bfloat16"), ("openvino",), exact=False),
    "keras-jax": Rival(_predict, ("keras", "jax"), ON_JAX),
    "keras-torch": Rival(_predict, ("keras", "torch"), ON_TORCH),
    "onnxruntime": Rival(_onnxruntime_keras, ("onnxruntime", "torch", "onnxscript")),
    "onnxruntime-rewritten": Rival(_onnxruntime_rewritten, ("onnxruntime",)),
    "torch": Rival(_torch, ("torch",), ON_TORCH),
    "opencv": Rival(_bicubic, ("cv2",), exact=False),
}
