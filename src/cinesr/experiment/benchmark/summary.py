"""From rows to results: means over persons, with intervals, margins, and the worst person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.evaluation.confidence import bootstrap_interval
from cinesr.experiment.benchmark.candidates import BICUBIC, LINEAR, NATIVE
from cinesr.experiment.benchmark.parts import Row

LABELS = ("part", "person", "scale", "degradation", "who")
BY_SLICE = ("public", "drawn")
"""Parts whose means are over slices, because that is how the figures beside them were taken."""
MARGINS = {BICUBIC: "margin", LINEAR: "margin_over_linear", NATIVE: "margin_over_native"}
EDGES = ("edge_mm", "edge_change", "narrow_change")
LOWER_IS_BETTER = ("lpips", *EDGES, "area_error", "area_error_mm2")

Values = NDArray[np.float64]


def summarise(rows: Sequence[Row], who: str, scale: int) -> dict[str, Any]:
    """One model's results: part, degradation, measure, and there baselines, the model, margins.

    Args:
        rows: Of all tasks.
        who: The model's name.
        scale: The model's.
    """
    results: dict[str, Any] = {}
    here = [row for row in rows if row["scale"] == scale]
    for row in here:
        part = row["part"]
        if row["who"] != who:
            continue
        if "degradation" not in row:
            results[part] = {key: value for key, value in row.items() if key not in LABELS}
        elif row["degradation"] not in results.setdefault(part, {}):
            same = (part, row["degradation"])
            results[part][row["degradation"]] = _summary(
                [row for row in here if (row["part"], row.get("degradation")) == same],
                who,
                by_slice=part in BY_SLICE,
            )
    return results


def _summary(rows: Sequence[Row], who: str, *, by_slice: bool) -> dict[str, Any]:
    columns = {BICUBIC: BICUBIC, LINEAR: LINEAR, NATIVE: NATIVE, "model": who}
    found = {
        column: [row for row in rows if row["who"] == name] for column, name in columns.items()
    }
    sides = {column: side for column, side in found.items() if side}
    names = dict.fromkeys(key for row in sides["model"] for key in row if key not in LABELS)
    gather = _over_slices if by_slice else _over_people
    return {measure: gather(sides, measure) for measure in names} | {
        "slices": len(sides["model"]),
        "people": len({row["person"] for row in sides["model"]}),
    }


def _over_people(sides: Mapping[str, Sequence[Row]], measure: str) -> dict[str, Any]:
    """Means over persons with their 95 % intervals, where there are two persons or more."""
    by_person = {column: person_means(side, measure) for column, side in sides.items()}
    persons = list(by_person["model"])
    columns = {
        column: np.array([found[person] for person in persons])
        for column, found in by_person.items()
        if all(person in found for person in persons)
    }
    found = {key: interval(values) for key, values in _with_margins(columns).items()}
    if BICUBIC in columns:
        gains = columns["model"] - columns[BICUBIC]
        worst = int(np.argmax(gains) if measure in LOWER_IS_BETTER else np.argmin(gains))
        found["worst"] = {"mean": float(gains[worst]), "person": persons[worst]}
    return found


def person_means(rows: Sequence[Row], measure: str) -> dict[str, float]:
    """The mean of each person's slices that have the measure."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if measure in row:
            values.setdefault(row["person"], []).append(row[measure])
    return {person: float(np.mean(found)) for person, found in values.items()}


def _with_margins(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns, and what the model has over each baseline."""
    margins = {
        name: columns["model"] - columns[base] for base, name in MARGINS.items() if base in columns
    }
    return {**columns, **margins}


def interval(values: Values) -> dict[str, Any]:
    """The mean, and how sure it is where there are persons enough to tell."""
    if len(values) < 2:
        return {"mean": float(values.mean()), "low": None, "high": None}
    return dict(vars(bootstrap_interval(values.tolist())))


def _over_slices(sides: Mapping[str, Sequence[Row]], measure: str) -> dict[str, Any]:
    """Means over slices, which is how public networks are reported."""
    columns = {
        column: float(np.mean([row[measure] for row in side])) for column, side in sides.items()
    }
    return {key: {"mean": value} for key, value in _with_margins(columns).items()}
