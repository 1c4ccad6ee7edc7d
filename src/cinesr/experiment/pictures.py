"""Chooses what a report shows, by rules that know nothing of the networks, and draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinesr.evaluation.metrics import body_mask
from cinesr.experiment.figures import (
    draw_panels,
    draw_spectra,
    draw_training,
    round_up,
)
from cinesr.experiment.history import Training
from cinesr.experiment.scoring import (
    Box,
    EvaluationSlice,
    MethodScores,
    Upscaling,
)
from cinesr.experiment.summary import CONSTANT, ConstantResponse

CROP_SHARE = 4
SMALLEST_CROP = 16
WINDOW_PERCENTILE = 99.5
ERROR_PERCENTILE = 99.5


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Args:
        path: PNG file.
        alt: What it shows, for those who do not see it.
        caption: What a reader should know.
    """

    path: Path
    alt: str
    caption: str


def median_person(values: Mapping[str, float]) -> str:
    """The person in the middle of an order, so that nobody picked a good one.

    Args:
        values: By person; of an even number, the lower of the two in the middle.
    """
    ordered = sorted(values, key=lambda person: (values[person], person))
    return ordered[(len(ordered) - 1) // 2]


def mid_ventricular(sizes: Sequence[float]) -> int:
    """Which of a person's slices shows the middle of a filled ventricle, by the ventricle's size.

    Among slices from base to tip, filled and emptied, three quarters are smaller than a filled one
    that lies midway; the largest are cut through the base.

    Args:
        sizes: Of the ventricle, by slice.

    Returns:
        The number of the slice.
    """
    order = sorted(range(len(sizes)), key=lambda number: (sizes[number], number))
    return order[round(0.75 * (len(order) - 1))]


def middle_slice(slices: Sequence[EvaluationSlice]) -> EvaluationSlice:
    """The mid-ventricular one of the slices whose heart is known, or else the middle of all.

    Args:
        slices: Of one person.
    """
    boxes = [(scored, scored.heart) for scored in slices if scored.heart is not None]
    if not boxes:
        return slices[len(slices) // 2]
    sizes = [float(np.prod([part.stop - part.start for part in box])) for _, box in boxes]
    return boxes[mid_ventricular(sizes)][0]


def crop_places(scored: EvaluationSlice) -> tuple[Box, Box]:
    """Two parts to magnify: the heart's middle, and the body's strongest edges elsewhere.

    Where the heart is not known, the first lies at the body's centre of mass.

    Args:
        scored: The slice.
    """
    truth = scored.truth
    side = max(SMALLEST_CROP, min(truth.shape) // CROP_SHARE)
    body = body_mask(truth, scored.data_range)
    if scored.heart is not None:
        row, column = ((part.start + part.stop) / 2 for part in scored.heart)
    else:
        row, column = ndimage.center_of_mass(body if body.any() else np.ones_like(body))
    first = _box_at((row, column), side, truth.shape)
    edges = ndimage.gaussian_gradient_magnitude(truth.astype(np.float64), 1.0) * body
    strength = ndimage.uniform_filter(edges, side, mode="constant")
    # Boxes whose centres are nearer than this would overlap the first.
    centre = [(part.start + part.stop) // 2 for part in first]
    near = tuple(slice(max(middle - side + 1, 0), middle + side) for middle in centre)
    margin = side // 2
    allowed = np.zeros(truth.shape, bool)
    allowed[margin : truth.shape[0] - margin, margin : truth.shape[1] - margin] = True
    if (allowed & ~_filled(truth.shape, near)).any():
        allowed &= ~_filled(truth.shape, near)
    place = np.unravel_index(np.argmax(np.where(allowed, strength, -1.0)), truth.shape)
    return first, _box_at((float(place[0]), float(place[1])), side, truth.shape)


def _filled(shape: tuple[int, ...], box: tuple[slice, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[box] = True
    return mask


def _box_at(centre: tuple[float, float], side: int, shape: tuple[int, ...]) -> Box:
    starts = [
        int(np.clip(round(middle) - side // 2, 0, max(size - side, 0)))
        for middle, size in zip(centre, shape, strict=True)
    ]
    rows, columns = (slice(start, start + side) for start in starts)
    return rows, columns


def _window(truth: NDArray[Any]) -> tuple[float, float]:
    """A grey scale that a few bright pixels do not darken."""
    return 0.0, max(float(np.percentile(truth, WINDOW_PERCENTILE)), 1e-6)


def draw_comparison(
    folder: Path, scored: EvaluationSlice, methods: Mapping[str, Upscaling]
) -> list[Picture]:
    """Draws a slice as each method gives it, two parts magnified, and the error maps.

    Args:
        folder: For the PNG files.
        scored: The slice. Its heart sets the grey scale, where it is known: fat near the coils is
            several times as bright.
        methods: By name.
    """
    results = {name: upscale(scored.low) for name, upscale in methods.items()}
    panels = {"ground truth": scored.truth, **results}
    boxes = crop_places(scored)
    where = f"Slice {scored.name} of {scored.person}"
    names = ", ".join(panels)
    limits = _window(scored.truth[scored.heart] if scored.heart else scored.truth)
    draw_panels(folder / "comparison.png", panels, limits=limits, boxes=boxes)
    pictures = [
        Picture(
            folder / "comparison.png",
            f"The same slice side by side: {names}.",
            f"{where}: a mid-ventricular slice of the person in the middle of the order of "
            "bicubic's PSNR. The boxes are magnified below. Same grey scale in all, set by the "
            f"{'heart' if scored.heart else 'frame'}.",
        )
    ]
    for number, (box, words) in enumerate(
        zip(boxes, ("the heart", "the body's strongest edges"), strict=True), 1
    ):
        path = folder / f"crop-{number}.png"
        limits = _window(scored.truth[box])
        draw_panels(path, {name: image[box] for name, image in panels.items()}, limits=limits)
        shown = words if number == 2 or scored.heart is not None else "the middle of the body"
        pictures.append(
            Picture(path, f"Magnified part: {names}.", f"Magnified: {shown}. Same grey scale.")
        )
    errors = {name: np.abs(image - scored.truth) for name, image in results.items()}
    every = np.concatenate([error.ravel() for error in errors.values()])
    highest = round_up(max(float(np.percentile(every, ERROR_PERCENTILE)), 1e-6))
    draw_panels(folder / "errors.png", errors, limits=(0.0, highest), colours="magma")
    pictures.append(
        Picture(
            folder / "errors.png",
            f"Maps of the absolute error: {', '.join(errors)}.",
            f"Absolute error of the same slice, all on one scale from 0 (black) to {highest:g} "
            "(brightest) of the intensity scale.",
        )
    )
    return pictures


def draw_curves(
    folder: Path,
    scores: Mapping[str, MethodScores],
    trainings: Mapping[str, Training],
    *,
    scale: int,
) -> tuple[Picture, Picture]:
    """Draws the mean spectrum of each method, and the validation curve of each network.

    Args:
        folder: For the PNG files.
        scores: By method.
        trainings: By network.
        scale: Of the networks.
    """
    spectra = {name: found.spectrum for name, found in scores.items()}
    draw_spectra(folder / "spectrum.png", spectra, scale=scale)
    draw_training(folder / "training.png", trainings)
    return (
        Picture(
            folder / "spectrum.png",
            "Curves of power over spatial frequency, one for each method.",
            "Mean power along rows and columns over all slices, under a Hann window. Dotted lines: "
            "where a checkerboard of the networks' scale would stand out as a peak.",
        ),
        Picture(
            folder / "training.png",
            f"Validation PSNR over training steps of {', '.join(trainings)}.",
            TRAINING_CAPTION,
        ),
    )


TRAINING_CAPTION = "Mean PSNR over validation slices after each epoch; range: each slice's maximum."


def draw_constant(folder: Path, responses: Mapping[str, ConstantResponse]) -> Picture:
    """Draws what each network makes of a constant image, as deviations on one scale.

    Args:
        folder: For the PNG file.
        responses: By network.
    """
    largest = max(max(found.inside, found.at_border) for found in responses.values())
    highest = round_up(max(largest, 1e-6))
    panels = {name: found.image - CONSTANT for name, found in responses.items()}
    draw_panels(folder / "constant.png", panels, limits=(-highest, highest), colours="RdBu_r")
    return Picture(
        folder / "constant.png",
        f"Deviation from a constant image: {', '.join(responses)}.",
        f"Deviation of the response to a constant image of {CONSTANT:g}, from {-highest:g} (blue) "
        f"to {highest:g} (red); white is none.",
    )
