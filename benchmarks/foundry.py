"""Makes what the rivals are given: one network with random numbers, in files of several makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

NETWORKS: dict[str, dict[str, Any]] = {
    "mse-nearest": {"architecture": "seed", "upsampling": "nearest", "blocks": 4},
    "fidelity-x4": {"architecture": "residual", "blocks": 8},
}
"""By the name of the shipped model that is such a network."""
SCALE: Literal[4] = 4
REWRITTEN, STOCK, STOCK_ONNX = "rewritten.onnx", "stock.keras", "stock.onnx"
NUMBERS, SLICES, EXPECTED = "numbers.npz", "slices.npy", "expected.npy"


@dataclass(frozen=True)
class Order:
    """What to make.

    Args:
        name: Of the network; see `NETWORKS`.
        folder: Where the files go.
        filters: Channels of the hidden layers.
        slices: How many images to upscale.
        size: Rows and columns of each.
    """

    name: str
    folder: Path
    filters: int
    slices: int
    size: int


class Foundry:
    """Makes the files, in a process that has Keras.

    The numbers are random, from a fixed seed, batch norm's statistics too, so that a rival that
    forgot a term would be found out.
    """

    def __init__(self, order: Order) -> None:
        from cinesr.learning.config import NetworkConfig
        from cinesr.learning.networks import build_network

        self._order = order
        self._config = NetworkConfig(scale=SCALE, filters=order.filters, **NETWORKS[order.name])
        self._network = build_network(self._config)
        _randomise(self._network)

    def slices(self) -> None:
        """Writes the input, and what cinesr's own layers make of it."""
        order = self._order
        shape = (order.slices, order.size, order.size)
        slices = np.random.default_rng(1).random(shape, dtype=np.float32)
        outputs = [np.asarray(self._network(image[None, ..., None])) for image in slices]
        np.save(order.folder / SLICES, slices)
        np.save(order.folder / EXPECTED, np.concatenate(outputs)[..., 0])

    def rewritten(self) -> None:
        """Writes what `cinesr export` makes of the network."""
        from cinesr.learning.export import export

        order = self._order
        run = order.folder / "run"
        run.mkdir()
        self._network.save(run / "model.keras")
        card = {"name": order.name, "scale": SCALE}
        (run / "card.json").write_text(json.dumps(card), encoding="utf-8")
        export(run, order.folder / REWRITTEN)

    def stock(self) -> None:
        """Writes the twin in Keras's own layers, and its numbers for other makes."""
        from stock_twin import stock_network

        order = self._order
        twin = stock_network(
            self._config.architecture,
            size=order.size,
            scale=SCALE,
            filters=order.filters,
            blocks=self._config.blocks,
        )
        twin.set_weights(_stock_numbers(self._network))
        twin.save(order.folder / STOCK)
        np.savez(order.folder / NUMBERS, *twin.get_weights())


def _randomise(network: Any) -> None:
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if not layer.trainable:  # The bicubic filter stays what it is.
            continue
        for weight in layer.weights:
            if weight.name == "kernel":
                # He et al. (ICCV 2015): outputs are as large as inputs.
                spread = (2 / np.prod(weight.shape[:3])) ** 0.5
                weight.assign(generator.normal(0, spread, weight.shape))
            elif weight.name in ("gamma", "moving_variance"):
                weight.assign(generator.uniform(0.5, 1.5, weight.shape))
            else:
                weight.assign(generator.normal(0, 0.2, weight.shape))


def _stock_numbers(network: Any) -> list[Array]:
    """The weights as the stock twin has them, whose layers with weights come in the same order."""
    from cinesr.learning.layers import DifferenceConvolution
    from cinesr.learning.rewriting import merge_mean

    numbers: list[Array] = []
    for layer in network.layers:
        values = layer.get_weights()
        differs = isinstance(layer, DifferenceConvolution)
        numbers += [merge_mean(value) for value in values] if differs else values
    return numbers
