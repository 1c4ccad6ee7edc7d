"""The parts of a benchmark that have a truth to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from scipy.ndimage import gaussian_filter

from cinesr.degradation import BLUR_SIGMA, Degradation, random_scanner
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import body_mask, checkerboard_index, psnr, ssim
from cinesr.experiment.benchmark.bench import (
    PAPER_METHODS,
    SHRINK,
    Bench,
    Image,
    measured_slices,
    people_of,
    scanner_recipes,
    scanner_truth,
    slices_of,
)
from cinesr.experiment.benchmark.candidates import LINEAR, Candidate, Making, prepare_of
from cinesr.experiment.scoring import Box, own_checkerboard
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import open_cines

Row = dict[str, Any]
Part = Callable[[Bench, str, Candidate], Iterator[Row]]
"""What a part measures of one person's slices as one candidate gives them."""

DICOM_STEP = 10
PUBLIC_METHODS = ("bicubic", "johnson", "thesis")
PUBLIC_STEP = 5
DRAWN_SEED = 5
CONSTANT_SIZES = range(8, 66)
CONSTANT_LEVELS = (0.5, 1.0)


def slices(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """The 8-bit slices of a person under the recipes of papers."""
    found = slices_of(bench.data, person)
    truths = [each.on_network_scale() for each in found]
    for method in PAPER_METHODS:
        recipe = Degradation(method, candidate.scale)
        whole = [_cropped(truth, recipe) for truth in truths]
        lows = [recipe.apply(truth) for truth in whole]
        upscale = prepare_of(candidate, bench)(lows, Making(recipe))
        for each, truth, low in list(zip(found, whole, lows, strict=True))[:: bench.every]:
            brightest = float(each.on_network_scale().max())
            image = upscale(low)
            yield {
                "degradation": method,
                **measures(truth, image, data_range=brightest, heart=each.heart()),
            }


def _cropped(truth: Image, recipe: Degradation) -> Image:
    rows, columns = recipe.cropped_shape(*truth.shape)
    return truth[:rows, :columns]


def dicom(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """Every tenth 16-bit frame of a person, or fewer, if there are any."""
    folder = bench.data / "dicom" / person
    if candidate.name == LINEAR:
        return
    for cine in open_cines(folder) if folder.is_dir() else []:
        rule = IntensityRule.of(cine)
        data_range = float(rule.apply(np.array(rule.maximum)))
        places = list(np.ndindex(*cine.shape[:2]))[:: DICOM_STEP * bench.every]
        for method in PAPER_METHODS:
            recipe = Degradation(method, candidate.scale)
            truths = [_cropped(rule.apply(cine.frame(*place)), recipe) for place in places]
            lows = [recipe.apply(truth) for truth in truths]
            upscale = prepare_of(candidate, bench)(lows, Making(recipe))
            for truth, low in zip(truths, lows, strict=True):
                found = measures(truth, upscale(low), data_range=data_range, heart=None)
                yield {"degradation": method, **found}


def scanner(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """Slices as a scanner makes them of fewer measurements, at fixed and at random settings."""
    scale = candidate.scale
    found = slices_of(bench.data, person)
    truths = [scanner_truth(each.pixels, scale) for each in found]
    for setting, recipe in scanner_recipes(person, scale):
        lows = measured_slices(truths, recipe, person, scale, setting)
        upscale = prepare_of(candidate, bench)(lows, Making(recipe, SHRINK))
        for each, truth, low in list(zip(found, truths, lows, strict=True))[:: bench.every]:
            heart = each.heart((truth.shape[0], truth.shape[1]))
            image = np.clip(upscale(low), 0, 1)
            yield {
                "degradation": setting,
                **measures(truth, image, data_range=1.0, heart=heart),
            }


def measures(
    truth: Image, image: NDArray[Any], *, data_range: float, heart: Box | None
) -> dict[str, float]:
    """What is reported of one slice; `checkerboard_truth` is what the truth has of its own."""
    body = body_mask(truth, data_range)
    found = {
        "psnr": psnr(truth, image, data_range=data_range),
        "psnr_body": psnr(truth, image, data_range=data_range, mask=body),
        "ssim": ssim(truth, image, data_range=data_range),
        "lpips": lpips(truth, image, data_range=data_range),
        "checkerboard": checkerboard_index(image, truth),
        "checkerboard_truth": own_checkerboard(truth),
    }
    if heart is not None:
        region = np.zeros(truth.shape, bool)
        region[heart] = True
        found["psnr_heart"] = psnr(truth, image, data_range=data_range, mask=region)
    return found


def public(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """Every fifth slice of a person, as public networks are measured."""
    if candidate.name == LINEAR:
        return
    for each in slices_of(bench.data, person)[::PUBLIC_STEP]:
        for method in PUBLIC_METHODS:
            low = pillow_degraded(each.pixels, method, candidate.scale)
            upscale = prepare_of(candidate, bench)([low], None)
            yield {"degradation": method, **_as_published(each.pixels, upscale(low))}


def _as_published(truth: Image, image: Image) -> dict[str, float]:
    shown = np.clip(image, 0, 1)
    body = body_mask(truth, 1.0)
    return {
        "psnr": psnr(truth, shown, data_range=1.0),
        "psnr_body": psnr(truth, shown, data_range=1.0, mask=body),
        "lpips": lpips(truth, shown, data_range=1.0),
    }


def pillow_resized(image: Image, shape: tuple[int, int]) -> Image:
    """Pillow's bicubic, antialiased where it shrinks, on floats."""
    size = shape[1], shape[0]
    return np.asarray(Pictures.fromarray(image).resize(size, Pictures.Resampling.BICUBIC))


def pillow_degraded(truth: Image, method: str, scale: int) -> Image:
    """`bicubic`, `johnson` or `thesis` with Pillow's bicubic in place of ours."""
    sharp = gaussian_filter(truth, BLUR_SIGMA) if method == "johnson" else truth
    low = pillow_resized(sharp, (truth.shape[0] // scale, truth.shape[1] // scale))
    return gaussian_filter(low, BLUR_SIGMA) if method == "thesis" else low


def drawn(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """Every fifth slice of a person, each acquired in a way of its own, told from itself alone."""
    if candidate.name == LINEAR:
        return
    scale = candidate.scale
    people = people_of(bench.data, bench.split)
    before = sum(
        len(slices_of(bench.data, other)[::PUBLIC_STEP]) for other in people[: people.index(person)]
    )
    for number, each in enumerate(slices_of(bench.data, person)[::PUBLIC_STEP], before):
        generator = np.random.default_rng([DRAWN_SEED, number])
        truth = scanner_truth(each.pixels, scale)
        recipe = random_scanner(generator, scale=scale, varied=False)
        low = probe_low(truth, recipe, generator)
        upscale = prepare_of(candidate, bench)([low], Making(recipe, SHRINK))
        yield {"degradation": "drawn", **_as_published(truth, upscale(low))}


def probe_low(truth: Image, recipe: Degradation, generator: np.random.Generator) -> Image:
    """A scanner's picture as in the trial whose figures these are compared with.

    It differs from `Degradation.measure` in that the frequencies' numbers are cut off where
    rounding left them below a whole number, so that a few lines of k-space are their neighbours',
    and in where the window ends along an axis of odd length.

    Args:
        truth: (row, column), of a size that the scale divides.
        recipe: With a rectangular k-space and a cosine window or none.
        generator: Source of the noise.
    """
    scale, (rows, columns) = recipe.scale, truth.shape
    down, across = (np.fft.fftfreq(size // scale) * (size // scale) for size in truth.shape)
    spectrum = np.fft.fft2(truth)[np.ix_(down.astype(int) % rows, across.astype(int) % columns)]
    shift = 1j * np.pi * (scale - 1)
    spectrum = spectrum / scale**2 * np.exp(shift * down / rows)[:, None]
    spectrum = spectrum * np.exp(shift * across / columns)
    white = generator.standard_normal((2, *spectrum.shape))
    spectrum = spectrum + recipe.noise * np.sqrt(spectrum.size) * (white[0] + 1j * white[1])
    for axis, frequency in enumerate((down, across)):
        window = recipe.acquisition.axis_transfer(2 * frequency / frequency.size, axis)
        spectrum = spectrum * (window[:, None] if axis == 0 else window)
    return np.abs(np.fft.ifft2(spectrum)).astype(np.float32)


def constant(bench: Bench, person: str, candidate: Candidate) -> Iterator[Row]:
    """The largest deviation from a constant image, as a share of its value, and at which size."""
    if not candidate.is_network:
        return
    found = []
    for size in CONSTANT_SIZES:
        for level in CONSTANT_LEVELS:
            flat = np.full((size, size), level, np.float32)
            image = prepare_of(candidate, bench)([flat], None)(flat)
            found.append((float(np.abs(image / level - 1).max()), size))
    largest, size = max(found)
    yield {"largest_deviation": largest, "at_size": size}
