"""The models in the package: their cards are complete, and they do what the cards say.

`shipped_psnr.json` pins what each model scores on one phantom. After a model was replaced, measure
it anew:

    python tests/upscaling/test_shipped.py
"""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cinesr.degradation import METHODS, PAPER_METHODS, Degradation, resize_bicubic
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import psnr
from cinesr.experiment.benchmark.bench import RANDOM, SCANNER_SETTINGS
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.phantom import make_phantom
from cinesr.upscaling.catalogue import DEFAULT_MODELS, SHIPPED_MODELS, find_model, read_model
from cinesr.upscaling.engine import Engine

PINS = Path(__file__).with_name("shipped_psnr.json")
TOLERANCE_DB = 0.02
FILES = sorted(SHIPPED_MODELS.glob("*.onnx"))
NAMES = [path.stem for path in FILES]
SEED = [f"{loss}-{kind}" for loss in ("mse", "perceptual") for kind in ("nearest", "transposed")]
FIDELITY = ["fast-x2", "fidelity-x2", "fidelity-x4"]
MIXTURES = [*FIDELITY, "perceptual-x2", "perceptual-x4"]
SCANNER = {"noise": 0.008, "keep": (0.88, 0.7), "window": "cosine:0.15"}
"""As a scanner that measures fewer phase encodings than it shows."""
ROOM_BYTES = 24_000_000
"""Of nine models."""


@cache
def engine_of(name: str) -> Engine:
    return Engine(read_model(SHIPPED_MODELS / f"{name}.onnx"), threads=1)


@cache
def phantom() -> np.ndarray:
    cine = make_phantom(slices=1, phases=1, seed=3, noise=0.0)
    return IntensityRule.of(cine).apply(cine.frame(0, 0))


def learned(engine: Engine) -> list[str]:
    """The degradations that a model learned and that anybody can apply."""
    return [name for name in METHODS if name in engine.model.card["degradation"]["methods"]]


def pair(engine: Engine, method: str) -> tuple[np.ndarray, np.ndarray]:
    """What bicubic interpolation and the model, told the truth, make of the degraded phantom."""
    settings = SCANNER if method == "scanner" else {}
    recipe = Degradation(method, engine.model.scale, **settings)
    low = recipe.measure(phantom(), generator=np.random.default_rng(0))
    return resize_bicubic(low, phantom().shape), engine.told(recipe).run(low)


def phantom_psnr(name: str) -> dict[str, float]:
    """What is pinned, in dB, for each degradation that the model learned."""
    engine = engine_of(name)
    return {
        method: round(psnr(phantom(), pair(engine, method)[1], data_range=1.0), 4)
        for method in learned(engine)
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_phantom_scores_what_it_scored(name: str) -> None:
    pinned = json.loads(PINS.read_text())
    assert name in pinned, "measure it: python tests/upscaling/test_shipped.py"
    assert phantom_psnr(name) == pytest.approx(pinned[name], abs=TOLERANCE_DB)


@pytest.mark.parametrize("name", NAMES)
def test_it_beats_bicubic_on_the_phantom(name: str) -> None:
    engine = engine_of(name)
    for method in learned(engine):
        bicubic, ours = pair(engine, method)
        if engine.model.card["loss"]["name"] in ("perceptual", "lpips"):
            distances = [lpips(phantom(), image, data_range=1.0) for image in (ours, bicubic)]
            assert distances[0] < distances[1], method
        else:
            gained = [psnr(phantom(), image, data_range=1.0) for image in (ours, bicubic)]
            assert gained[0] > gained[1] + 0.5, method


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_the_model_was_made_from(name: str) -> None:
    card = engine_of(name).model.card
    assert card["name"] == name
    assert card["scale"] in (2, 4)
    assert set(card["degradation"]["methods"])
    # The pig with the finer pixels counts as one.
    assert card["data"]["train"]["people"] == (31 if "scanner" in learned(engine_of(name)) else 30)
    assert card["data"]["validation"]["people"] == 5
    assert len(card["data"]["split_sha256"]) == 64
    assert 0 <= card["parity"] < 1e-5
    plan = card["optimisation"]
    assert card["steps"] == plan["epochs"] * plan["steps_per_epoch"]
    assert plan["used_precision"] in ("float32", "bfloat16")
    assert plan["learning_rate"] > 0
    assert card["loss"]["name"]
    assert card["training_seconds"] > 0
    assert card["versions"]["backend"] in ("jax", "torch")
    assert 10_000 < card["parameters"] <= 1_000_000
    assert "Not for diagnosis" in card["intended_use"]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_it_may_be_used_for(name: str) -> None:
    card = engine_of(name).model.card
    assert all(card["data"][key] for key in ("name", "licence", "citation"))
    assert card["data"]["test"] == {"people": 10}
    low, high = card["input_spacing_mm"]
    smallest, largest = (card["scale"] * end for end in card["data"]["spacing_mm"])
    shrink = card["variation"]["shrink"] if name in MIXTURES else (1.0, 1.0)
    assert [low, high] == [smallest, largest * shrink[1]]
    assert 1.0 < low <= high < 15.0
    assert 100 < card["multiply_adds_per_output_pixel"] < 1e6
    assert card["purpose"].endswith(".")
    assert card["limits"]
    assert all(sentence.endswith(".") for sentence in card["limits"])
    inverts_a_blur = any("inverts a blur" in sentence for sentence in card["limits"])
    assert inverts_a_blur is (card["degradation"]["methods"] == ["thesis"])


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_how_good_it_is(name: str) -> None:
    """On the test people."""
    people = 10
    results = engine_of(name).model.card["results"]
    assert (results["model"], results["split"]) == (name, "test")
    assert len(results["people"]) == people
    parts = [("slices", people, set(PAPER_METHODS))]
    if name in SEED:
        parts.append(("dicom", 2, set(PAPER_METHODS)))
    else:
        parts.append(("scanner", people, {*SCANNER_SETTINGS, RANDOM}))
    for part, count, settings in parts:
        assert set(results[part]) == settings
        for found in results[part].values():
            assert found["people"] == count
            for measure in ("psnr", "psnr_body", "ssim", "lpips", "checkerboard"):
                model = found[measure]["model"]
                assert math.isfinite(model["mean"])
                assert model["low"] <= model["mean"] <= model["high"]
            assert 0 < found["ssim"]["model"]["mean"] < 1
    for method in set(learned(engine_of(name))) & set(PAPER_METHODS):
        assert 20 < results["slices"][method]["psnr"]["model"]["mean"] < 50
    assert results["public"]["bicubic"]["slices"] >= 10
    assert results["constant"]["largest_deviation"] >= 0


@pytest.mark.parametrize("name", FIDELITY)
def test_on_scans_as_scanners_make_them_it_is_well_ahead_of_bicubic(name: str) -> None:
    results = engine_of(name).model.card["results"]["scanner"]
    for setting, found in results.items():
        assert found["psnr"]["margin"]["mean"] > 1.0, setting
        assert found["psnr_body"]["margin"]["mean"] > 0.5, setting


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (33, 47), (64, 64)])
def test_what_is_constant_stays_constant(name: str, shape: tuple[int, int]) -> None:
    result = engine_of(name).run(np.full(shape, 0.5, np.float32))
    assert np.abs(result - 0.5).max() <= 1e-3


@pytest.mark.parametrize("name", FIDELITY)
def test_a_scan_at_its_own_resolution_keeps_its_range(name: str) -> None:
    """Smooth edges are not taken for blurred ones: no ridges around them.

    This is promised of the models for fidelity; the perceptual one sharpens, as its card says.
    """
    result = engine_of(name).run(phantom())
    assert result.min() > phantom().min() - 0.1
    assert result.max() < phantom().max() + 0.1


def test_the_default_is_shipped_and_learned_every_degradation() -> None:
    model = find_model()
    assert model.name == DEFAULT_MODELS[2]
    assert model.path.parent == SHIPPED_MODELS
    assert learned(engine_of(DEFAULT_MODELS[2])) == list(METHODS)


def test_what_ships() -> None:
    assert sorted(NAMES) == sorted([*MIXTURES, *SEED])
    assert all(learned(engine_of(name)) == list(METHODS) for name in MIXTURES)
    assert all(learned(engine_of(name)) == ["thesis"] for name in SEED)


def test_all_models_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < ROOM_BYTES


if __name__ == "__main__":
    scores = {name: phantom_psnr(name) for name in NAMES}
    PINS.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
