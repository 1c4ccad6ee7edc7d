"""From slices to measures: what is scored, over which part of the picture, for which person."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.degradation import Degradation
from cinesr.errors import UnfitImageError
from cinesr.evaluation.lpips import SMALLEST_SIDE as SMALLEST_LPIPS_SIDE
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import (
    CHECKERBOARD_SCALE,
    body_mask,
    checkerboard_index,
    nrmse,
    psnr,
    ssim,
)
from cinesr.imaging.cine import Cine, IntensityRule
from cinesr.imaging.files import open_cines, staged

Image = NDArray[np.float32]
Box = tuple[slice, slice]
Upscaling = Callable[[Image], NDArray[Any]]
"""Makes high resolution of low, (row, column) each."""

REGIONS = ("whole", "body", "heart")
OWN_CHECKERBOARD = "checkerboard_own"
"""Of the truth by itself; the index of a method is what it has beyond this."""
MEASURES = ("psnr", "ssim", "nrmse", "lpips", "checkerboard", OWN_CHECKERBOARD)
HEART_MARGIN = 24
"""Pixels around the left ventricle's blood pool: the muscle and the right ventricle."""
SMALLEST_HEART_FOR_LPIPS = 64
FREQUENCIES = np.linspace(0, 0.5, 129)
"""Cycles per pixel at which spectra are kept."""
TRUTH, BICUBIC, LINEAR = "truth", "bicubic interpolation", "linear filter"
REFERENCES = (TRUTH, BICUBIC, LINEAR)
"""What stands beside the networks; their names have spaces where those of networks have none."""


@dataclass(frozen=True, eq=False)
class EvaluationSlice:
    """A slice to score, on the network's scale.

    Args:
        person: Whose it is.
        name: Of the file, with phase and slice where it holds several.
        truth: (row, column).
        low: The same, degraded.
        data_range: Largest stored value of the person's slices at this time, on the slice's scale.
        heart: The box around the heart, where it is known.
    """

    person: str
    name: str
    truth: Image
    low: Image
    data_range: float
    heart: Box | None


@dataclass(frozen=True)
class MethodScores:
    """What one method reached.

    Args:
        key: What decided the scores; they are taken again while it is the same.
        values: Region, then measure, then person: one value per slice.
        spectrum: Mean power at `FREQUENCIES`, of pictures of unit mean square.
    """

    key: str
    values: dict[str, dict[str, dict[str, list[float]]]]
    spectrum: list[float]

    def per_person(self, region: str, measure: str) -> dict[str, float]:
        """Means over each person's slices; empty where the measure could not be taken."""
        found = self.values.get(region, {}).get(measure, {})
        return {person: float(np.mean(values)) for person, values in found.items()}

    def write(self, path: Path) -> None:
        """Writes the scores as JSON."""
        with staged(path, overwrite=True) as part:
            part.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


def read_scores(path: Path, *, key: str) -> MethodScores | None:
    """Scores that were taken before, if they are of this key."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        scores = MethodScores(**found)
    except (OSError, ValueError, TypeError):
        return None
    return scores if scores.key == key else None


def heart_box(blood_pool: NDArray[Any], margin: int = HEART_MARGIN) -> Box | None:
    """The box around the left ventricle's blood pool, with the muscle and the right ventricle.

    Args:
        blood_pool: (row, column), 0 elsewhere.
        margin: Pixels to each side.

    Returns:
        Rows and columns, cut at the border; None where there is no blood pool.
    """
    places = np.argwhere(np.asarray(blood_pool) > 0)
    if not len(places):
        return None
    (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
    return (
        slice(max(int(top) - margin, 0), min(int(bottom) + margin + 1, blood_pool.shape[0])),
        slice(max(int(left) - margin, 0), min(int(right) + margin + 1, blood_pool.shape[1])),
    )


def evaluation_slices(
    scans: Path,
    recipe: Degradation,
    *,
    person: str,
    spacing_mm: tuple[float, ...] = (),
    masks: Path | None = None,
) -> list[EvaluationSlice]:
    """A person's slices, but for black ones, with their degraded twins.

    The data range is the largest stored value of all the person's slices at one time (fastMRI's
    rule, a volume's maximum). Files that hold one picture each count as slices of the same time.

    Args:
        scans: The person's file or folder.
        recipe: How low resolution is made.
        person: The name.
        spacing_mm: In-plane spacing of files that hold none.
        masks: Holds the blood pool under the same names as the scans.

    Raises:
        CinesrError: A file cannot be read, or a mask is of another size than its slice.
    """
    spacing = (spacing_mm[0], spacing_mm[1]) if spacing_mm else None
    found: dict[tuple[str, int, int], tuple[Image, IntensityRule, Box | None]] = {}
    brightest: dict[int, float] = {}
    for cine in open_cines(scans, spacing_mm=spacing):
        pool = _mask_of(cine, scans, masks)
        rows, columns = recipe.cropped_shape(*cine.shape[2:])
        rule = IntensityRule.of(cine)
        for time, index, frame in cine.iter_frames():
            stored = frame[:rows, :columns]
            image = rule.apply(stored)
            if image.max() > 0:
                # Stored values share one scale; each file's own rule stretches it differently.
                brightest[time] = max(brightest.get(time, -np.inf), float(stored.max()))
                box = _box_of(pool, time, index, image)
                found[cine.name, time, index] = (image, rule, box)
    single = len({name for name, _, _ in found}) == len(found)
    return [
        EvaluationSlice(
            person,
            name if single else f"{name}, phase {time}, slice {index}",
            image,
            recipe.apply(image).astype(np.float32),
            brightest[time] / (rule.high - rule.low),
            box,
        )
        for (name, time, index), (image, rule, box) in found.items()
    ]


def _mask_of(cine: Cine, scans: Path, masks: Path | None) -> Cine | None:
    if masks is None:
        return None
    path = masks / scans.name
    path = path / cine.name if scans.is_dir() else path
    if not path.exists():
        return None
    pool = open_cines(path)[0]
    if pool.shape[2:] != cine.shape[2:]:
        raise UnfitImageError(
            f"{path}: the mask has {pool.shape[2]} rows and {pool.shape[3]} columns; expected "
            f"{cine.shape[2]} and {cine.shape[3]}, as {cine.name} has."
        )
    return pool


def _box_of(pool: Cine | None, time: int, index: int, image: Image) -> Box | None:
    if pool is None or index >= pool.shape[1]:
        return None
    frame = pool.frame(min(time, pool.shape[0] - 1), index)
    return heart_box(frame[: image.shape[0], : image.shape[1]])


def measure(scored: EvaluationSlice, image: NDArray[Any]) -> dict[str, dict[str, float]]:
    """Every measure that the picture is large enough for, by region.

    Args:
        scored: With the truth.
        image: What a method made of the low resolution, (row, column).
    """
    truth, data_range = scored.truth, scored.data_range

    def over(mask: NDArray[np.bool_] | None) -> dict[str, float]:
        return {
            "psnr": psnr(truth, image, data_range=data_range, mask=mask),
            "ssim": ssim(truth, image, data_range=data_range, mask=mask),
            "nrmse": nrmse(truth, image, mask=mask),
        }

    found = {"whole": over(None)}
    if min(truth.shape) >= SMALLEST_LPIPS_SIDE:
        found["whole"]["lpips"] = lpips(truth, image, data_range=data_range)
    if min(truth.shape) >= 8 * CHECKERBOARD_SCALE:
        found["whole"]["checkerboard"] = checkerboard_index(image, truth)
    body = body_mask(truth, data_range)
    if body.any():
        found["body"] = over(body)
    if scored.heart is not None:
        region = np.zeros(truth.shape, bool)
        region[scored.heart] = True
        found["heart"] = over(region)
        inner = truth[scored.heart]
        if min(inner.shape) >= SMALLEST_HEART_FOR_LPIPS:
            found["heart"]["lpips"] = lpips(inner, image[scored.heart], data_range=data_range)
    return found


def own_checkerboard(truth: NDArray[Any]) -> float:
    """The index of a picture by itself, in percent of its RMS: anatomy has such frequencies too.

    Args:
        truth: (row, column).
    """
    level = float(np.sqrt(np.mean(np.square(truth, dtype=np.float64))))
    return checkerboard_index(truth, np.full(truth.shape, level))


def axis_spectrum(image: NDArray[Any]) -> NDArray[np.float64]:
    """Mean power along rows and along columns at `FREQUENCIES`, under a Hann window.

    Args:
        image: (row, column).
    """
    values = np.asarray(image, np.float64)
    spectra = []
    for axis, size in enumerate(values.shape):
        window = np.hanning(size + 1)[:-1]
        lines = np.moveaxis(values - values.mean(), axis, -1) * window
        power = (np.abs(np.fft.rfft(lines)) ** 2).mean(axis=0) / np.sum(window**2)
        spectra.append(np.interp(FREQUENCIES, np.fft.rfftfreq(size), power))
    return np.asarray(np.mean(spectra, axis=0))


def score_method(
    upscale: Upscaling, people: Iterable[Iterable[EvaluationSlice]], *, key: str
) -> MethodScores:
    """Scores a method on every slice.

    Args:
        upscale: The method.
        people: Each person's slices.
        key: Kept with the scores.
    """
    return _scored(people, key, upscale, lambda scored, image: measure(scored, image))


def score_truth(people: Iterable[Iterable[EvaluationSlice]], *, key: str) -> MethodScores:
    """The checkerboard index and the spectrum of the truth itself, to judge the others' by."""

    def own(scored: EvaluationSlice, _: NDArray[Any]) -> dict[str, dict[str, float]]:
        if min(scored.truth.shape) < 8 * CHECKERBOARD_SCALE:
            return {}
        return {"whole": {OWN_CHECKERBOARD: own_checkerboard(scored.truth)}}

    return _scored(people, key, None, own)


def _scored(
    people: Iterable[Iterable[EvaluationSlice]],
    key: str,
    upscale: Upscaling | None,
    measured: Callable[[EvaluationSlice, NDArray[Any]], dict[str, dict[str, float]]],
) -> MethodScores:
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    spectra = []
    for scored in _each(people):
        image = scored.truth if upscale is None else upscale(scored.low)
        for region, measures in measured(scored, image).items():
            for name, value in measures.items():
                by_person = values.setdefault(region, {}).setdefault(name, {})
                by_person.setdefault(scored.person, []).append(value)
        power = np.mean(np.square(scored.truth, dtype=np.float64))
        spectra.append(axis_spectrum(image) / power)
    return MethodScores(key, values, np.mean(spectra, axis=0).tolist())


def _each(people: Iterable[Iterable[EvaluationSlice]]) -> Iterator[EvaluationSlice]:
    for slices in people:
        yield from slices
