"""Which of two methods is better, by how much, and how sure that is: always person by person."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cinesr.errors import CinesrError
from cinesr.evaluation.confidence import Interval, bootstrap_interval
from cinesr.experiment.config import ExperimentConfig, level_name
from cinesr.experiment.scoring import MethodScores

Scores = Mapping[str, MethodScores]
"""By the method's name."""

COMPARED = (
    ("whole", "psnr"),
    ("whole", "ssim"),
    ("whole", "lpips"),
    ("whole", "checkerboard"),
    ("body", "psnr"),
    ("heart", "psnr"),
    ("heart", "lpips"),
)
"""Regions and measures in which networks are tested against each other."""


@dataclass(frozen=True)
class PairedTest:
    """How two methods differ in one measure.

    Args:
        region: Of the picture.
        measure: Of the difference.
        first: A method.
        second: Another.
        difference: First minus second, over persons.
        p: Two-sided, of the exact Wilcoxon signed-rank test.
        p_holm: The same, corrected for all pairs that were tested in this measure (Holm 1979).
    """

    region: str
    measure: str
    first: str
    second: str
    difference: Interval
    p: float
    p_holm: float


@dataclass(frozen=True)
class FactorEffect:
    """What one value of a key of the grid gives beside another, all else being equal.

    Args:
        factor: Key of the grid.
        region: Of the picture.
        measure: Of the effect.
        first: A value of the key.
        second: Another.
        setting: The values of the other keys; empty for the mean over all of them.
        difference: First minus second, over persons.
    """

    factor: str
    region: str
    measure: str
    first: str
    second: str
    setting: str
    difference: Interval


def differences(first: Mapping[str, float], second: Mapping[str, float]) -> list[float]:
    """First minus second for each person, in the order of names.

    Args:
        first: A value per person.
        second: Of the same persons.

    Raises:
        CinesrError: The two are not of the same persons.
    """
    if set(first) != set(second):
        raise CinesrError(
            f"Scores of {sorted(first)} were compared with scores of {sorted(second)}; expected "
            "the same persons."
        )
    return [first[person] - second[person] for person in sorted(first)]


def signed_rank_p(values: Sequence[float]) -> float:
    """Two-sided p of the exact Wilcoxon signed-rank test that differences are centred at zero.

    Args:
        values: A difference per person; zeros say nothing and are left out (Wilcoxon 1945).
    """
    telling = [value for value in values if value != 0]
    return float(stats.wilcoxon(telling, method="exact").pvalue) if telling else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for being several (Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: Of one family of tests.

    Returns:
        In the order in which they came.
    """
    order = np.argsort(p_values)
    weighted = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(weighted), 1.0)
    return [float(value) for value in corrected]


def paired_tests(scores: Scores, methods: Sequence[str]) -> list[PairedTest]:
    """Every pair of methods in every measure that could be taken.

    Args:
        scores: Of at least these methods.
        methods: To compare.
    """
    found = []
    for region, measure in COMPARED:
        by_method = {name: scores[name].per_person(region, measure) for name in methods}
        if not all(len(values) > 1 for values in by_method.values()):
            continue
        pairs = list(itertools.combinations(methods, 2))
        apart = [differences(by_method[first], by_method[second]) for first, second in pairs]
        p_values = [signed_rank_p(values) for values in apart]
        found += [
            PairedTest(region, measure, first, second, bootstrap_interval(values), p, p_holm)
            for (first, second), values, p, p_holm in zip(
                pairs, apart, p_values, holm(p_values), strict=True
            )
        ]
    return found


def factor_effects(config: ExperimentConfig, scores: Scores) -> list[FactorEffect]:
    """What each key of the grid does, over all settings of the others and in each of them.

    Args:
        config: Of the grid.
        scores: Of its networks.
    """
    found = []
    for factor, values in config.grid.items():
        for first, second in itertools.combinations(values, 2):
            matched = _matched(config, factor, (first, second))
            for region, measure in COMPARED:
                apart = {
                    setting: [scores[name].per_person(region, measure) for name in networks]
                    for setting, networks in matched.items()
                }
                if not all(len(side) > 1 for pair in apart.values() for side in pair):
                    continue
                by_setting = {setting: differences(*pair) for setting, pair in apart.items()}
                rows = {"": list(np.mean(list(by_setting.values()), axis=0))}
                if len(by_setting) > 1:
                    rows |= by_setting
                found += [
                    FactorEffect(
                        factor,
                        region,
                        measure,
                        level_name(first),
                        level_name(second),
                        setting,
                        bootstrap_interval(row),
                    )
                    for setting, row in rows.items()
                ]
    return found


def _matched(
    config: ExperimentConfig, factor: str, pair: tuple[object, object]
) -> dict[str, tuple[str, str]]:
    """The two networks that differ in one key alone, for each setting of the others."""
    found: dict[str, dict[int, str]] = {}
    for name, levels in config.levels.items():
        setting = ", ".join(level_name(value) for key, value in levels.items() if key != factor)
        for place, value in enumerate(pair):
            if levels[factor] == value:
                found.setdefault(setting, {})[place] = name
    return {setting: (names[0], names[1]) for setting, names in found.items()}
