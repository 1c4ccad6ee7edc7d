"""The card of a run without spacing and with a weights file; the whole of it: test_training.py."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cinesr.learning.card import INTENDED_USE, write_card
from cinesr.learning.config import LossConfig, TrainingConfig
from cinesr.learning.dataset import Material, SliceSet, Split
from cinesr.learning.losses import SHIPPED_WEIGHTS


def test_a_card_holds_names_but_no_paths(
    tiny: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    loss = LossConfig("perceptual", layer="block1_conv1", weights=str(SHIPPED_WEIGHTS))
    slices = SliceSet((np.ones((20, 20), np.float32),) * 3, ("a", "a", "b"), None)
    split = Split(("a", "b"), ("c",), ())
    history = [
        {"epoch": 1, "step": 10, "loss": 1.0, "seconds": 2.5, "psnr": 20.0},
        {"epoch": 2, "step": 20, "loss": 0.5, "seconds": 1.5, "psnr": 21.0},
    ]
    write_card(
        tmp_path / "card.json",
        config=tiny(loss=loss),
        material=Material(split, slices, slices),
        history=history,
        parameters=1,
        precision="float32",
    )
    text = (tmp_path / "card.json").read_text()
    card = json.loads(text)
    assert card["data"]["train"] == {"people": 2, "slices": 3}
    assert card["data"]["spacing_mm"] is None
    assert card["loss"]["weights"] == "vgg16_block1_2.npz"
    assert card["training_seconds"] == 4.0
    assert card["steps"] == 20
    assert card["validation"] == {"epoch": 2, "step": 20, "loss": 0.5, "psnr": 21.0}
    assert card["intended_use"] == INTENDED_USE
    assert str(SHIPPED_WEIGHTS.parent) not in text
