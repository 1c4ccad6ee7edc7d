"""How a training went: its curve, whether that is flat, and how long an epoch took."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinesr.errors import UnreadableFileError
from cinesr.learning.config import TrainingConfig

FLAT_GAIN_DB = 0.05
FLAT_SHARE = 0.2
"""A curve is flat where its last fifth gained less than this."""


@dataclass(frozen=True)
class Training:
    """How a training went.

    Args:
        steps: At the end of each epoch.
        psnr: On the validation split, dB, at the same steps.
        seconds_per_epoch: Median.
        planned_epochs: How many the configuration asked for.
        late_gain_db: Validation PSNR that the last fifth of the steps gained; None where there are
            fewer than five epochs.
        schedule: Of the learning rate.
    """

    steps: list[int]
    psnr: list[float]
    seconds_per_epoch: float
    planned_epochs: int
    late_gain_db: float | None
    schedule: str

    @property
    def cut_short(self) -> bool:
        """Whether fewer epochs were done than planned."""
        return len(self.steps) < self.planned_epochs

    @property
    def flat(self) -> bool:
        """Whether the last fifth of the steps gained next to nothing."""
        return self.late_gain_db is not None and self.late_gain_db < FLAT_GAIN_DB


def read_training(config: TrainingConfig) -> Training:
    """What the log of a run says.

    Args:
        config: Of the run; its folder holds `log.csv`.

    Raises:
        UnreadableFileError: There is no log, or it is not one of `cinesr train`.
    """
    path = Path(config.output) / "log.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        steps = [int(row["step"]) for row in rows]
        psnr = [float(row["psnr"]) for row in rows]
        last_fifth = (1 - FLAT_SHARE) * steps[-1]
        late = [value for step, value in zip(steps, psnr, strict=True) if step <= last_fifth]
        seconds = float(np.median([float(row["seconds"]) for row in rows]))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UnreadableFileError(
            f"{path}: is not the log of a training: {error}.",
            hint="Train the network anew in an empty folder.",
        ) from error
    gain = psnr[-1] - late[-1] if len(rows) >= 1 / FLAT_SHARE else None
    plan = config.optimisation
    return Training(steps, psnr, seconds, plan.epochs, gain, plan.schedule)
