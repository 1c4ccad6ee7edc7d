"""The card of a model: what it learned from, how, how well, and what it is for."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from cinesr import __version__
from cinesr.imaging.files import staged
from cinesr.learning.config import TrainingConfig
from cinesr.learning.dataset import Material, count_summary

INTENDED_USE = (
    "Research on cardiac cine balanced-SSFP MR images. Not for diagnosis: the detail that is added "
    "is predicted from other people's scans."
)


def write_card(
    path: Path,
    *,
    config: TrainingConfig,
    material: Material,
    history: list[dict[str, float]],
    parameters: int,
    precision: str,
) -> None:
    """Writes a run's card as JSON beside its model.

    Args:
        path: The file.
        config: Of the run.
        material: What it learned from and is checked on.
        history: A row per epoch; the last one's scores are the model's.
        parameters: How many numbers the network holds.
        precision: What it was trained in.
    """
    learned = material.learn.spacing_mm
    card: dict[str, Any] = {
        "name": config.name,
        "scale": config.network.scale,
        "network": config.to_dict()["network"],
        "parameters": parameters,
        "data": {
            "folder": Path(config.data.folder).name,
            "train": count_summary(material.learn),
            "validation": count_summary(material.check),
            "split_sha256": material.split.digest(),
            "spacing_mm": None if learned is None else list(learned),
        },
        "degradation": config.to_dict()["degradation"],
        "loss": config.to_dict()["loss"] | {"weights": Path(config.loss.weights).name},
        "optimisation": config.to_dict()["optimisation"] | {"used_precision": precision},
        "steps": int(history[-1]["step"]),
        "seed": config.seed,
        "validation": {key: value for key, value in history[-1].items() if key != "seconds"},
        "training_seconds": sum(row["seconds"] for row in history),
        "versions": {
            "cinesr": __version__,
            "python": platform.python_version(),
            "keras": keras.version(),
            "backend": keras.backend.backend(),
            "numpy": version("numpy"),
        },
        "intended_use": INTENDED_USE,
    }
    with staged(path, overwrite=True) as part:
        part.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
