"""One slice as a scanner makes it, and what each model makes of it: a picture for a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cinesr.degradation import Degradation
from cinesr.experiment.benchmark.bench import (
    SCANNER_SETTINGS,
    SHRINK,
    Bench,
    measured_slices,
    scanner_truth,
    slices_of,
)
from cinesr.experiment.benchmark.candidates import BICUBIC, Candidate, Making, prepare_of
from cinesr.experiment.benchmark.parts import Row
from cinesr.experiment.benchmark.summary import person_means
from cinesr.experiment.pictures import median_person, mid_ventricular
from cinesr.upscaling.preview import write_preview

SETTING = "GE-like"


def draw_examples(
    models: Sequence[Candidate], bench: Bench, rows: Sequence[Row], folder: Path
) -> list[Path]:
    """Draws `comparison-<model>.png`: the input, bicubic interpolation, the model and the truth.

    Shown is a mid-ventricular slice of the person in the middle of the order of bicubic's PSNR at
    the heart, which is magnified and sets the grey scale.

    Args:
        models: Each gets a picture, where any person's heart is known.
        bench: The data.
        rows: With those of the part `scanner`.
        folder: For the PNG files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for model in models:
        labels = {"part": "scanner", "who": BICUBIC, "scale": model.scale, "degradation": SETTING}
        mine = [row for row in rows if labels.items() <= row.items()]
        if persons := person_means(mine, "psnr_heart"):
            paths.append(folder / f"comparison-{model.name}.png")
            _draw(model, bench, median_person(persons), paths[-1])
    return paths


def _draw(model: Candidate, bench: Bench, person: str, path: Path) -> None:
    found = slices_of(bench.data, person)
    known = [
        (number, float(each.pool.sum()))
        for number, each in enumerate(found)
        if each.pool is not None and each.pool.any()
    ]
    number = known[mid_ventricular([size for _, size in known])][0]
    recipe = Degradation("scanner", model.scale, **SCANNER_SETTINGS[SETTING])  # type: ignore[arg-type]
    truths = [scanner_truth(each.pixels, model.scale) for each in found]
    lows = measured_slices(truths, recipe, person, model.scale, SETTING)
    truth, making = truths[number], Making(recipe, SHRINK)
    heart = found[number].heart((truth.shape[0], truth.shape[1]))
    assert heart is not None
    results = {
        each.name: prepare_of(each, bench)(lows, making)(lows[number])
        for each in (Candidate(BICUBIC, model.scale), model)
    }
    write_preview(
        path,
        [("a scanner's picture", lows[number]), *results.items(), ("truth", truth)],
        centre=(
            (heart[0].start + heart[0].stop) / 2 / truth.shape[0],
            (heart[1].start + heart[1].stop) / 2 / truth.shape[1],
        ),
        window=(0.0, float(np.percentile(truth[heart], 99.5))),
    )
