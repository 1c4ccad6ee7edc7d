"""The card of a model: what it learned from, how, how well, and what it is for."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from cinesr import __version__
from cinesr.imaging.files import staged
from cinesr.learning.dataset import count_summary

if TYPE_CHECKING:
    from cinesr.learning.training import TrainingRun

INTENDED_USE = (
    "Research on cardiac cine balanced-SSFP MR images. Not for diagnosis: the detail that is added "
    "is predicted from other people's scans."
)


def write_card(path: Path, run: TrainingRun) -> None:
    """Writes a run's card as JSON beside its model."""
    config = run.config
    learned = run.learn.spacing_mm
    card: dict[str, Any] = {
        "name": config.name,
        "scale": config.network.scale,
        "network": config.to_dict()["network"],
        "parameters": run.result.count_params(),
        "data": {
            "folder": Path(config.data.folder).name,
            "train": count_summary(run.learn),
            "validation": count_summary(run.check),
            "split_sha256": run.split.digest(),
            "spacing_mm": None if learned is None else list(learned),
        },
        "degradation": config.to_dict()["degradation"],
        "loss": config.to_dict()["loss"] | {"weights": Path(config.loss.weights).name},
        "optimisation": config.to_dict()["optimisation"] | {"used_precision": run.precision},
        "steps": int(run.history[-1]["step"]),
        "seed": config.seed,
        "validation": {key: value for key, value in run.history[-1].items() if key != "seconds"},
        "training_seconds": sum(row["seconds"] for row in run.history),
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
