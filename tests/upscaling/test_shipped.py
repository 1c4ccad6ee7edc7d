"""The model in the package: its card is complete, and it does what the card says."""

import numpy as np
import pytest

from cinesr.degradation import METHODS, Degradation, resize_bicubic
from cinesr.evaluation.metrics import psnr
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.catalogue import DEFAULT_MODEL, find_model
from cinesr.upscaling.engine import Engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(find_model(), threads=1)


@pytest.fixture(scope="module")
def phantom() -> np.ndarray:
    cine = make_phantom(slices=1, phases=1, seed=3, noise=0.0)
    return IntensityRule.of(cine).apply(cine.frame(0, 0))


def test_the_card_says_what_the_model_was_made_from(engine):
    card = engine.model.card
    assert card["name"] == DEFAULT_MODEL
    assert card["scale"] == 4
    assert card["degradation"]["methods"] == list(METHODS)
    assert card["data"]["train"]["people"] == 30
    assert card["data"]["validation"]["people"] == 5
    assert len(card["data"]["split_sha256"]) == 64
    assert card["parity"] < 1e-5
    assert card["steps"] == card["optimisation"]["epochs"] * card["optimisation"]["steps_per_epoch"]


@pytest.mark.parametrize("method", METHODS)
def test_it_beats_bicubic_on_the_phantom(engine, phantom, method):
    low = Degradation(method, 4).apply(phantom)
    bicubic = psnr(phantom, resize_bicubic(low, phantom.shape), data_range=1.0)
    assert psnr(phantom, engine.run(low), data_range=1.0) > bicubic + 0.5


def test_a_scan_at_its_own_resolution_keeps_its_range(engine, phantom):
    """Smooth edges are not taken for blurred ones: no ridges around them."""
    result = engine.run(phantom)
    assert result.min() > phantom.min() - 0.1
    assert result.max() < phantom.max() + 0.1


def test_what_is_constant_stays_constant(engine):
    result = engine.run(np.full((48, 40), 0.5, np.float32))
    assert np.abs(result[16:-16, 16:-16] - 0.5).max() < 0.01
