"""The card of a model: what it learned from, how, how well, and what it is for."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from cinesr import __version__
from cinesr.degradation import BLUR_SIGMA
from cinesr.imaging.files import staged
from cinesr.learning.config import TrainingConfig
from cinesr.learning.dataset import Material, count_summary
from cinesr.learning.log import TIMES

INTENDED_USE = (
    "Research on cardiac cine balanced-SSFP MR images. Not for diagnosis: the detail that is added "
    "is predicted from other people's scans."
)
THESIS_LIMIT = (
    f"It inverts a blur of sigma {BLUR_SIGMA:.1f} low-resolution pixels which a real scan has not: "
    "on anything but `thesis` input it overshoots."
)


def write_card(
    path: Path,
    *,
    config: TrainingConfig,
    material: Material,
    history: list[dict[str, float]],
    parameters: int,
    precision: str,
    multiply_adds: float | None = None,
) -> None:
    """Writes a run's card as JSON beside its model: what a user needs to judge and to cite it.

    Args:
        path: The file.
        config: Of the run.
        material: What it learned from and is checked on.
        history: A row per epoch; the last one's scores are the model's.
        parameters: How many numbers the network holds.
        precision: What it was trained in.
        multiply_adds: Multiplications with an addition for each output pixel.
    """
    learned = material.learn.spacing_mm
    scale = config.network.scale
    card: dict[str, Any] = {
        "name": config.name,
        "scale": scale,
        "purpose": purpose(config),
        "network": config.to_dict()["network"] | {"start": Path(config.network.start).name},
        "parameters": parameters,
        "multiply_adds_per_output_pixel": multiply_adds,
        "data": {
            "name": config.data.name,
            "licence": config.data.licence,
            "citation": config.data.citation,
            "folder": Path(config.data.folder).name,
            "train": count_summary(material.learn),
            "validation": count_summary(material.check),
            "test": {"people": len(material.split.test)},
            "split_sha256": material.split.digest(),
            "spacing_mm": None if learned is None else list(learned),
        },
        "input_spacing_mm": input_spacing_mm(config, learned),
        "degradation": config.to_dict()["degradation"],
        "loss": config.to_dict()["loss"] | {"weights": Path(config.loss.weights).name},
        "optimisation": config.to_dict()["optimisation"] | {"used_precision": precision},
        "variation": config.to_dict()["variation"],
        "steps": int(history[-1]["step"]),
        "seed": config.seed,
        "validation": {key: value for key, value in history[-1].items() if key not in TIMES},
        "training_seconds": sum(row["seconds"] for row in history),
        "versions": {
            "cinesr": __version__,
            "python": platform.python_version(),
            "keras": keras.version(),
            "backend": keras.backend.backend(),
            "numpy": version("numpy"),
        },
        "intended_use": INTENDED_USE,
        "limits": limits(config),
    }
    with staged(path, overwrite=True) as part:
        part.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def input_spacing_mm(
    config: TrainingConfig, learned: tuple[float, float] | None
) -> list[float] | None:
    """The sizes of what low-resolution pixels showed in training, smallest and largest.

    Args:
        config: Under `scanner` slices are made smaller first.
        learned: Smallest and largest spacing of the slices.
    """
    if learned is None:
        return None
    scale, shrink = config.network.scale, config.variation.shrink
    methods = set(config.degradation.methods)
    smallest = shrink[0] if methods == {"scanner"} else 1.0
    largest = shrink[1] if "scanner" in methods else 1.0
    return [scale * learned[0] * smallest, scale * learned[1] * largest]


def purpose(config: TrainingConfig) -> str:
    """What a model is for, in one sentence, for a list of models.

    Args:
        config: Of its training. A network inverts what it was trained on and nothing else, so one
            degradation alone makes a model for comparisons, a mixture one for scans.
    """
    methods = config.degradation.methods
    if len(methods) == 1:
        return f"Comparisons on images that were degraded by `{methods[0]}`; not scans."
    if config.loss.name in ("perceptual", "lpips"):
        return "Scans acquired at low resolution, to look at: sharper, less close to the truth."
    return "Scans acquired at low resolution: as close to the truth as it comes (PSNR, SSIM)."


def limits(config: TrainingConfig) -> list[str]:
    """What a user should not expect: the configuration's sentences, and what its recipe implies."""
    implied = [THESIS_LIMIT] if config.degradation.methods == ("thesis",) else []
    return [*implied, *config.limits]
