"""How sure a mean over a handful of persons is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cinesr.errors import CinesrError


@dataclass(frozen=True)
class Interval:
    """A mean over persons with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values_by_person: Mapping[str, Sequence[float]] | Sequence[float],
    *,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """Mean and 95 % confidence interval by resampling persons, never slices (Efron 1979).

    Slices of one heart resemble each other; counting them as independent would make the interval
    several times too narrow.

    Args:
        values_by_person: Each person's values, which are averaged first; or one value per person.
        seed: Of the resampling.
        resamples: How many times the persons are drawn.

    Raises:
        CinesrError: Fewer than two persons, a person without values, or a value that is not finite.
    """
    if isinstance(values_by_person, Mapping):
        persons = [
            np.mean(values) if len(values) else np.nan for values in values_by_person.values()
        ]
    else:
        persons = list(values_by_person)
    means = np.asarray(persons, dtype=np.float64)
    if len(means) < 2 or not np.isfinite(means).all():
        raise CinesrError(
            f"A confidence interval was asked for over {means.tolist()}; expected finite values of "
            "at least two persons.",
            hint="Score more people, or report the values without an interval.",
        )
    drawn = np.random.default_rng(seed).integers(len(means), size=(resamples, len(means)))
    low, high = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    return Interval(float(means.mean()), float(low), float(high))
