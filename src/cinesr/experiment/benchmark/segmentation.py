"""Does it matter for measuring hearts? The blood pool is found in slices that were brought back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cinesr.experiment.benchmark.bench import (
    Bench,
    Slice,
    measured_slices,
    scanner_recipes,
    slices_of,
    spacing_of,
)
from cinesr.experiment.benchmark.candidates import NATIVE, Candidate, Making, prepare_of
from cinesr.experiment.benchmark.parts import Row
from cinesr.experiment.benchmark.segmenter import segmenter

SETTINGS = ("GE-like", "random")


def segmentation(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """Dice's coefficient and the error of the area, in slices of native size.

    The slices are degraded as a scanner would and brought back to their own grid by the candidate;
    `native` leaves them as they are.
    """
    scale, find = candidate.scale, segmenter(bench).find
    slices = slices_of(bench.data, person)
    truths = [each.pixels for each in slices]
    pixel_mm2 = spacing_of(bench, person) ** 2
    known = [number for number, each in enumerate(slices) if _pool_size(each)][:: bench.every]
    if not known:
        return
    mean = float(np.mean([_pool_size(slices[number]) for number in known]))
    for setting, recipe in scanner_recipes(person, scale):
        if setting not in SETTINGS:
            continue
        cropped = [
            truth[: len(truth) // scale * scale, : truth.shape[1] // scale * scale]
            for truth in truths
        ]
        if candidate.name == NATIVE:
            results = {number: cropped[number] for number in known}
        else:
            lows = measured_slices(cropped, recipe, person, scale, setting, "segmentation")
            upscale = prepare_of(candidate, bench)(lows, Making(recipe))
            results = {number: upscale(lows[number]) for number in known}
        for number, image in results.items():
            pool = slices[number].pool
            assert pool is not None
            pool = pool[: image.shape[0], : image.shape[1]]
            found = find(np.clip(image, 0, None))
            error = float(found.sum()) - float(pool.sum())
            yield {
                "degradation": setting,
                "dice": dice(found, pool),
                "area_error": 100 * abs(error) / mean,
                "area_bias": 100 * error / mean,
                "area_error_mm2": abs(error) * pixel_mm2,
                "area_bias_mm2": error * pixel_mm2,
            }


def _pool_size(each: Slice) -> int:
    return 0 if each.pool is None else int(each.pool.sum())


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Twice what two masks share over what they hold together; 1 where both are empty.

    Args:
        found: (row, column).
        truth: (row, column).
    """
    together = int(found.sum()) + int(truth.sum())
    return 2.0 * int((found & truth).sum()) / together if together else 1.0
