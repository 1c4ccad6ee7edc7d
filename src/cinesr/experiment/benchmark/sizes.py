"""How the gain over bicubic interpolation depends on the size of the truth's pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cinesr.evaluation.metrics import body_mask, psnr
from cinesr.experiment.benchmark.bench import (
    FINER,
    Bench,
    Image,
    drawn_recipe,
    measured_slices,
    scanner_truth,
    slices_of,
    spacing_of,
)
from cinesr.experiment.benchmark.candidates import Candidate, Making, prepare_of
from cinesr.experiment.benchmark.parts import Row
from cinesr.experiment.figures import draw_gains
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import open_cines, staged

PEOPLE_FACTORS = (1.0, 1.25, 1.5, 1.8, 2.2)
"""From 1.37 mm, as the scanner interpolated it, to 3 mm."""
FINER_FACTORS = (1.0, 1.25, 1.6, 2.0, 2.5, 3.0)
FINER_STEP = 21
"""Of 20 slices by 20 phases, every frame of the finer cine that shows another slice and phase."""


def sizes(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """PSNR at a random setting of a scanner, of truths that were shrunk by more and more."""
    images, spacing = _images(bench, person)
    recipe = drawn_recipe(person, candidate.scale)
    for factor in FINER_FACTORS if person == FINER else PEOPLE_FACTORS:
        truths = [scanner_truth(image, candidate.scale, factor) for image in images]
        lows = measured_slices(truths, recipe, person, candidate.scale, factor)
        upscale = prepare_of(candidate, bench)(lows, Making(recipe, factor))
        for truth, low in list(zip(truths, lows, strict=True))[:: bench.every]:
            image = np.clip(upscale(low), 0, 1)
            body = body_mask(truth, 1.0)
            yield {
                "degradation": f"{'animal, finer' if person == FINER else 'people'} x{factor:g}",
                "truth_mm": spacing * factor,
                "psnr": psnr(truth, image, data_range=1.0),
                "psnr_body": psnr(truth, image, data_range=1.0, mask=body),
            }


def _images(bench: Bench, person: str) -> tuple[list[Image], float]:
    if person != FINER or bench.finer is None:
        slices = slices_of(bench.data, person)
        return [each.pixels for each in slices], spacing_of(bench, person)
    cine = open_cines(bench.finer)[0]
    rule = IntensityRule.of(cine)
    places = list(np.ndindex(*cine.shape[:2]))[::FINER_STEP]
    return [rule.apply(cine.frame(*place)) for place in places], cine.geometry.spacing_mm[0]


def draw_sizes(files: Sequence[Path], path: Path) -> None:
    """Draws the gain over the size of the truth's pixels, and writes the numbers beside the plot.

    Args:
        files: Results of models; those that have no such part are left out.
        path: PNG file to write.
    """
    lines: dict[str, dict[str, list[float]]] = {}
    for file in files:
        results = json.loads(file.read_text(encoding="utf-8"))
        for source, found in _by_source(results.get("sizes", {})).items():
            lines[f"{results['model']} (x{results['scale']}), {source}"] = found
    if not lines:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_gains(path, lines)
    with staged(path.with_suffix(".json"), overwrite=True) as part:
        part.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


def _by_source(part: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for words, measures in part.items():
        line = found.setdefault(words.rpartition(" x")[0], {})
        line.setdefault("truth_mm", []).append(measures["truth_mm"]["model"]["mean"])
        for measure, name in (("psnr", "whole"), ("psnr_body", "body")):
            line.setdefault(name, []).append(measures[measure]["margin"]["mean"])
    return found
