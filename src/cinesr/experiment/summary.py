"""All that an experiment found, as numbers: what the report is written from."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.evaluation.confidence import Interval, bootstrap_interval
from cinesr.experiment.comparison import (
    COMPARED,
    FactorEffect,
    PairedTest,
    Scores,
    differences,
    factor_effects,
    paired_tests,
)
from cinesr.experiment.config import ExperimentConfig
from cinesr.experiment.history import Training
from cinesr.experiment.scoring import LINEAR, MEASURES, OWN_CHECKERBOARD, REGIONS, TRUTH
from cinesr.imaging.files import staged
from cinesr.upscaling.catalogue import Model
from cinesr.upscaling.engine import Engine

CONSTANT = 0.5
"""Brightness of the constant image that every network is asked to upscale."""
LOW_FREE_OF_BORDER = 32


@dataclass(frozen=True, eq=False)
class ConstantResponse:
    """What a network makes of a constant image (Odena, Dumoulin and Olah, Distill 2016).

    Args:
        image: (row, column), output.
        border: Output pixels along each side that see the padding.
        inside: Largest deviation from the constant beyond the border.
        at_border: Largest deviation within it.
    """

    image: NDArray[np.float32]
    border: int
    inside: float
    at_border: float


def constant_response(model: Model) -> ConstantResponse:
    """Asks a network for a constant image, at a size that has an inside.

    Args:
        model: The network.

    Raises:
        ModelError: It fails.
    """
    low = np.full((2 * model.receptive_field + LOW_FREE_OF_BORDER,) * 2, CONSTANT, np.float32)
    image = Engine(model).run(low)
    border = model.receptive_field * model.scale
    apart = np.abs(image - CONSTANT)
    inner = (slice(border, -border),) * 2
    inside = float(apart[inner].max())
    apart[inner] = 0
    return ConstantResponse(image, border, inside, float(apart.max()))


@dataclass(frozen=True)
class NetworkFacts:
    """One network, beside its scores.

    Args:
        levels: The values of the grid's keys.
        seed: Of its training.
        card: As it stands in the model.
        sha256: Of the model's file.
        training: How the training went.
        constant: Largest deviation of the response to a constant image, "inside" and "at_border".
    """

    levels: dict[str, Any]
    seed: int
    card: dict[str, Any]
    sha256: str
    training: Training
    constant: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """All that an experiment found.

    Args:
        config: What was run.
        people: Who was scored.
        slices: How many slices of them.
        split_sha256: Of the split.
        intervals: Method, region and measure to the mean over persons with its interval.
        networks: By name; the repeated one among them.
        tests: Every pair of networks of the grid.
        effects: What each key of the grid does.
        margins: Each network minus the linear filter.
        repeat: The repeated network minus the first, where one was.
        truth_checkerboard_spread: Standard deviation over persons of the truth's own index.
        machine: Where it was evaluated.
        versions: Of the software.
    """

    config: ExperimentConfig
    people: list[str]
    slices: int
    split_sha256: str
    intervals: dict[str, dict[str, dict[str, Interval]]]
    networks: dict[str, NetworkFacts]
    tests: list[PairedTest]
    effects: list[FactorEffect]
    margins: dict[str, dict[str, dict[str, Interval]]]
    repeat: dict[str, dict[str, Interval]]
    truth_checkerboard_spread: float | None
    machine: dict[str, Any]
    versions: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The networks of the grid, in its order."""
        return list(self.config.levels)

    def interval(self, method: str, region: str, measure: str) -> Interval | None:
        """The mean over persons, where the measure could be taken."""
        return self.intervals.get(method, {}).get(region, {}).get(measure)

    def write(self, path: Path) -> None:
        """Writes everything as JSON."""
        with staged(path, overwrite=True) as part:
            part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def summarise(
    config: ExperimentConfig,
    scores: Scores,
    networks: dict[str, NetworkFacts],
    *,
    split_sha256: str,
    machine: dict[str, Any],
    versions: dict[str, str],
) -> Summary:
    """Draws up all intervals, tests and effects.

    Args:
        config: What was run.
        scores: Of every method, the truth among them.
        networks: What else is known of each network.
        split_sha256: Of the split.
        machine: Where it was evaluated.
        versions: Of the software.
    """
    by_method = {name: _intervals(scores, name) for name in scores}
    counted = scores[LINEAR].values["whole"]["psnr"]
    own = list(scores[TRUTH].per_person("whole", OWN_CHECKERBOARD).values())
    repeated = config.repeat
    return Summary(
        config=config,
        people=sorted(counted),
        slices=sum(len(values) for values in counted.values()),
        split_sha256=split_sha256,
        intervals=by_method,
        networks=networks,
        tests=paired_tests(scores, list(config.levels)),
        effects=factor_effects(config, scores),
        margins={name: _differences(scores, name, LINEAR) for name in networks},
        repeat={}
        if repeated is None
        else _differences(scores, repeated.name, config.evaluation.repeat.network),
        truth_checkerboard_spread=float(np.std(own, ddof=1)) if len(own) > 1 else None,
        machine=machine,
        versions=versions,
    )


def _intervals(scores: Scores, method: str) -> dict[str, dict[str, Interval]]:
    found: dict[str, dict[str, Interval]] = {}
    for region, measure in itertools.product(REGIONS, MEASURES):
        values = scores[method].per_person(region, measure)
        if len(values) > 1:
            found.setdefault(region, {})[measure] = bootstrap_interval(list(values.values()))
    return found


def _differences(scores: Scores, first: str, second: str) -> dict[str, dict[str, Interval]]:
    found: dict[str, dict[str, Interval]] = {}
    for region, measure in COMPARED:
        ours, theirs = (scores[name].per_person(region, measure) for name in (first, second))
        if len(ours) > 1:
            found.setdefault(region, {})[measure] = bootstrap_interval(differences(ours, theirs))
    return found


def result_rows(scores: Mapping[str, Any]) -> list[dict[str, str | float]]:
    """One row per method, region, measure and person: the mean over the person's slices.

    Args:
        scores: `MethodScores` by the method's name.
    """
    return [
        {"person": person, "method": method, "region": region, "measure": measure, "value": value}
        for method, found in scores.items()
        for region, measures in found.values.items()
        for measure in measures
        for person, value in sorted(found.per_person(region, measure).items())
    ]
