"""The card of a run: what a user needs to judge and to cite a model; more in test_training.py."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cinesr.learning.card import INTENDED_USE, limits, purpose, write_card
from cinesr.learning.config import DegradationConfig, LossConfig, TrainingConfig
from cinesr.learning.dataset import Material, SliceSet, Split
from cinesr.learning.losses import SHIPPED_WEIGHTS

HISTORY = [
    {"epoch": 1, "step": 10, "loss": 1.0, "seconds": 2.5, "psnr": 20.0},
    {"epoch": 2, "step": 20, "loss": 0.5, "seconds": 1.5, "psnr": 21.0},
]


def written(path: Path, config: TrainingConfig, **changes: Any) -> dict[str, Any]:
    spacing = changes.pop("spacing_mm", None)
    slices = SliceSet((np.ones((20, 20), np.float32),) * 3, ("a", "a", "b"), spacing)
    write_card(
        path,
        config=config,
        material=Material(Split(("a", "b"), ("c",), ("d", "e", "f")), slices, slices),
        history=HISTORY,
        parameters=1,
        precision="float32",
        **changes,
    )
    card: dict[str, Any] = json.loads(path.read_text())
    return card


def test_a_card_holds_names_but_no_paths(
    tiny: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    loss = LossConfig("perceptual", layer="block1_conv1", weights=str(SHIPPED_WEIGHTS))
    card = written(tmp_path / "card.json", tiny(loss=loss))
    assert card["data"]["train"] == {"people": 2, "slices": 3}
    assert card["data"]["test"] == {"people": 3}
    assert card["data"]["spacing_mm"] is None
    assert card["input_spacing_mm"] is None
    assert card["loss"]["weights"] == "vgg16_block1_2.npz"
    assert card["training_seconds"] == 4.0
    assert card["steps"] == 20
    assert card["validation"] == {"epoch": 2, "step": 20, "loss": 0.5, "psnr": 21.0}
    assert card["intended_use"] == INTENDED_USE
    assert str(SHIPPED_WEIGHTS.parent) not in (tmp_path / "card.json").read_text()


def test_a_card_says_whose_data_it_was_and_what_input_it_covers(
    tiny: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    config = tiny(limits=("Never on Mondays.",))
    data = replace(config.data, name="Hearts", licence="CC0", citation="A. B., 2009")
    card = written(
        tmp_path / "card.json",
        replace(config, data=data),
        spacing_mm=(1.25, 1.5),
        multiply_adds=12.5,
    )
    assert {key: card["data"][key] for key in ("name", "licence", "citation")} == {
        "name": "Hearts",
        "licence": "CC0",
        "citation": "A. B., 2009",
    }
    assert card["data"]["spacing_mm"] == [1.25, 1.5]
    assert card["input_spacing_mm"] == [2.5, 3.0]
    assert card["multiply_adds_per_output_pixel"] == 12.5
    assert card["limits"] == ["Never on Mondays."]
    assert card["purpose"] == purpose(config)


@pytest.mark.parametrize(
    ("methods", "loss", "words", "is_limited"),
    [
        (("thesis",), "mse", "degraded by `thesis`; not scans", True),
        (("thesis",), "perceptual", "degraded by `thesis`; not scans", True),
        (("kspace",), "mae", "degraded by `kspace`; not scans", False),
        (("thesis", "kspace"), "mae", "close to the truth as it comes", False),
        (("thesis", "kspace"), "perceptual", "to look at", False),
    ],
)
def test_what_a_model_is_for_follows_from_what_it_learned(
    tiny: Callable[..., TrainingConfig],
    methods: tuple[Any, ...],
    loss: Any,
    words: str,
    is_limited: bool,
) -> None:
    config = tiny(degradation=DegradationConfig(methods), loss=LossConfig(loss), limits=("Last.",))
    assert words in purpose(config)
    found = limits(config)
    assert found[-1] == "Last."
    assert ("inverts a blur of sigma 1.0 low-resolution pixels" in found[0]) is is_limited
    assert len(found) == 1 + is_limited
