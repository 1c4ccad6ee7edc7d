"""The networks that rivals run are the one that cinesr runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import engine
import numpy as np
import pytest
from foundry import EXPECTED, NETWORKS, NUMBERS, SCALE, SLICES, STOCK, Foundry, Order
from rivals import OURS, RIVALS

from cinesr.errors import CheckFailedError, ConfigError

SIZE = 16


@pytest.fixture(scope="module", params=NETWORKS)
def order(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Order:
    made = Order(request.param, tmp_path_factory.mktemp("network"), filters=4, slices=2, size=SIZE)
    foundry = Foundry(made)
    foundry.slices()
    foundry.stock()
    return made


@pytest.fixture
def images(order: Order) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    slices, expected = (np.load(order.folder / name) for name in (SLICES, EXPECTED))
    assert expected.shape == (2, SIZE * SCALE, SIZE * SCALE)
    # Numbers of which none drowns the others: a wrong one would be seen.
    assert 0.1 < np.ptp(expected) < 100
    return slices, expected


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.ptp(expected))


def test_keras_stock_layers(order: Order, images: tuple[np.ndarray, np.ndarray]) -> None:
    import keras

    slices, expected = images
    network = keras.saving.load_model(order.folder / STOCK, compile=False)
    assert {type(layer).__module__.split(".")[0] for layer in network.layers} == {"keras"}
    found = np.asarray(network(slices[..., None]))[..., 0]
    assert difference(found, expected) < engine.TOLERANCE


def test_torch_modules(order: Order, images: tuple[np.ndarray, np.ndarray]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch_twin import torch_network

    slices, expected = images
    recipe = NETWORKS[order.name]
    with np.load(order.folder / NUMBERS) as stored:
        numbers = [stored[key] for key in stored.files]
    network = torch_network(recipe["architecture"], numbers, scale=SCALE, blocks=recipe["blocks"])
    with torch.inference_mode():
        found = network(torch.from_numpy(slices[:, None])).numpy()[:, 0]
    assert difference(found, expected) < engine.TOLERANCE


@pytest.mark.parametrize("wrong", [1e-3, float("nan"), float("inf")])
def test_a_rival_that_gives_another_image_is_not_timed(wrong: float) -> None:
    engine.require_same({OURS: 1e-6, "opencv": 1.0, "engine-bfloat16": 1e-2})
    with pytest.raises(CheckFailedError, match="torch gives another image"):
        engine.require_same({OURS: 1e-6, "torch": wrong})


def test_who_takes_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(RIVALS, "torch", replace(RIVALS["torch"], packages=("no_such_package",)))
    assert engine.available("torch") == ([OURS], {"torch": "needs no_such_package"})
    names, left_out = engine.available(None)
    assert names[0] == OURS
    assert {*names, *left_out} == set(RIVALS)
    with pytest.raises(ConfigError, match="there is no rival nobody"):
        engine.available("nobody")
