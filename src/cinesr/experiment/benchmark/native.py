"""Scans as they are: there is no truth, but borders have a width and may overshoot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinesr.degradation import resize_bicubic
from cinesr.evaluation.edges import measure_edges, usable_rays
from cinesr.experiment.benchmark.bench import FINER, Bench, Image, slices_of, spacing_of
from cinesr.experiment.benchmark.candidates import BICUBIC, Candidate, prepare_of
from cinesr.experiment.benchmark.parts import Row
from cinesr.experiment.figures import draw_panels
from cinesr.experiment.pictures import mid_ventricular
from cinesr.experiment.scoring import heart_box
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import open_cines

SCALE = 2
FINER_CENTRE = (133, 147)
"""Row and column of a pixel of the left ventricle in those slices and phases of the finer cine that
are measured, found by eye on the animal's scan: it has no masks."""
FINER_SLICES = range(7, 12)
FINER_PHASES = 4
PANEL_INCHES = 4.0
POOL_LEVEL = 0.65
"""Blood is what is brighter than this share of the brightness at the centre."""
FEWEST_RAYS = 8
"""Fewer are no measure of a slice: it is cut through the base or the tip."""

Native = tuple[Image, NDArray[np.bool_]]
"""A slice as it is, and its blood pool."""


def native(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """The width of the border between blood and muscle, and the overshoot beside it."""
    every, found, spacing = native_slices(bench, person)
    upscale = prepare_of(candidate, bench)(every, None)
    for image, pool in found[:: bench.every]:
        twice = (image.shape[0] * SCALE, image.shape[1] * SCALE)
        neutral = resize_bicubic(image, twice)
        rays = usable_rays(neutral, pool, pixel_mm=spacing / SCALE)
        known = measure_edges(neutral, rays, pixel_mm=spacing / SCALE)
        edges = measure_edges(upscale(image), rays, pixel_mm=spacing / SCALE)
        if known is None or edges is None or known.rays < FEWEST_RAYS:
            continue
        row = {
            "degradation": "animal, finer" if person == FINER else "people",
            "edge_mm": edges.width_mm,
            "edge_change": 100 * (edges.width_mm / known.width_mm - 1),
            "overshoot": 100 * edges.overshoot,
            "rays": edges.rays,
            "pixel_mm": spacing,
        }
        if known.narrow_mm and edges.narrow_mm and known.narrow_rays >= FEWEST_RAYS:
            row["narrow_change"] = 100 * (edges.narrow_mm / known.narrow_mm - 1)
        yield row


def native_slices(bench: Bench, person: str) -> tuple[list[Image], list[Native], float]:
    """All of a person's slices, those whose ventricle is known, and the width of a pixel in mm."""
    if person == FINER:
        return _finer_slices(bench)
    slices = slices_of(bench.data, person)
    known = [
        (each.pixels, each.pool) for each in slices if each.pool is not None and each.pool.any()
    ]
    return [each.pixels for each in slices], known, spacing_of(bench, person)


def _finer_slices(bench: Bench) -> tuple[list[Image], list[Native], float]:
    assert bench.finer is not None
    cine = open_cines(bench.finer)[0]
    rule = IntensityRule.of(cine)
    phases, slices = cine.shape[:2]
    wanted = [
        (time, place)
        for time in range(0, phases, -(-phases // FINER_PHASES))
        for place in FINER_SLICES
        if place < slices
    ]
    images = [rule.apply(cine.frame(*place)) for place in wanted]
    pools = [pool_around(image, FINER_CENTRE) for image in images]
    known = [(image, pool) for image, pool in zip(images, pools, strict=True) if pool.any()]
    return images, known, float(cine.geometry.spacing_mm[0])


def pool_around(image: NDArray[np.float32], centre: tuple[int, int]) -> NDArray[np.bool_]:
    """The bright pixels that hang together with those around a pixel, holes filled.

    Args:
        image: (row, column).
        centre: (row, column) of a pixel of the pool.
    """
    row, column = centre
    around = image[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
    if not around.size:
        return np.zeros(image.shape, bool)
    # Narrow bridges to other chambers are opened.
    bright = ndimage.binary_opening(image > POOL_LEVEL * np.median(around), iterations=2)
    labels, _ = ndimage.label(bright)
    return np.asarray(ndimage.binary_fill_holes((labels == labels[centre]) & bright), bool)


def draw_native(
    models: Sequence[Candidate], bench: Bench, people: Sequence[str], folder: Path
) -> list[Path]:
    """Draws a mid-ventricular slice of each person at the heart, as each candidate gives it.

    The heart sets the grey scale, each pixel is shown as it is.

    Args:
        models: Beside bicubic interpolation; those of another scale are left out.
        bench: The data.
        people: Whose slices.
        folder: For `<person>.png`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fitting = [Candidate(BICUBIC, SCALE), *(each for each in models if each.scale == SCALE)]
    paths = []
    for person in [*people, *([FINER] if bench.finer else [])]:
        every, known, _ = native_slices(bench, person)
        if not known:
            continue
        image, pool = known[mid_ventricular([float(mask.sum()) for _, mask in known])]
        results = {
            f"{each.name} x{SCALE}": prepare_of(each, bench)(every, None)(image) for each in fitting
        }
        paths.append(folder / f"{person}.png")
        draw_at_heart(paths[-1], {"as it is": image, **results}, pool)
    return paths


def draw_at_heart(path: Path, panels: Mapping[str, Image], pool: NDArray[np.bool_]) -> None:
    """Draws pictures of one slice side by side: the heart, which sets the grey scale.

    Args:
        path: PNG file to write.
        panels: Title to (row, column), at the pool's resolution or a multiple of it.
        pool: (row, column), the blood pool.
    """
    box = heart_box(pool)
    assert box is not None
    hearts = {}
    for name, panel in panels.items():
        scale = panel.shape[0] // pool.shape[0]
        hearts[name] = panel[tuple(slice(part.start * scale, part.stop * scale) for part in box)]
    low, high = (float(np.percentile(next(iter(hearts.values())), share)) for share in (0.5, 99.5))
    draw_panels(path, hearts, limits=(low, high), inches=PANEL_INCHES)
