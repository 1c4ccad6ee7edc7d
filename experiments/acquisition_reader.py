"""Trains what reads from pictures how they were acquired, and measures how well it reads.

    cd experiments
    python acquisition_reader.py simulate DIR   pictures whose acquisition is known
    python acquisition_reader.py train DIR      writes the network into the package
    python acquisition_reader.py measure DIR    writes the tables of docs/acquisition.md

Truths are slices of the Sunnybrook train people and the pig, shrunk by a random factor so that they
are sharp at their own pixel size; choices are made on the validation people. The ten test people
are not touched. Everything is drawn from --seed; `simulate` goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

import cinesr.imaging
from cinesr.degradation import Degradation, random_scanner, resize_bicubic
from cinesr.imaging.acquisition import Acquisition
from cinesr.imaging.acquisition_network import METHODS
from cinesr.imaging.cine import Cine
from cinesr.imaging.spectral_features import SMALLEST_SIZE, features, intensity_range

DATA = Path(__file__).parents[2] / "shared" / "data"
PAPERS = ("thesis", "johnson", "bicubic", "kspace")
WEIGHTS = Path(cinesr.imaging.__file__).parent / "acquisition_reader.npz"
PAGE = Path(__file__).parents[1] / "docs" / "acquisition.md"
PART = 250
"""Examples in one file."""

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """Pictures of one person that were acquired alike, and how."""

    pictures: list[Picture]
    recipe: Degradation
    is_native: bool = False

    def label(self) -> list[float]:
        """keep (row, column), taper, noise as a share of the pictures' range, ellipse, method.

        NaN for the ellipse of a scan that is taken as the scanner gave it.
        """
        # `kspace` is a scanner that kept everything without a window.
        name = "hamming" if self.recipe.window == "hamming" else self.recipe.method
        method = METHODS.index(name) if name in METHODS else 0
        noise = self.recipe.noise / intensity_range(self.pictures)
        ellipse = math.nan if self.is_native else float(self.recipe.shape == "elliptical")
        return [*self.recipe.keep, taper_width(self.recipe.acquisition), noise, ellipse, method]


def taper_width(acquisition: Acquisition) -> float:
    """The width of the cosine that comes nearest to a window; 0 for none."""
    name, _, width = acquisition.window.partition(":")
    if name == "fermi":
        return min(1.0, 6.0 * float(width))  # From 95 % to 5 %.
    return {"none": 0.0, "hamming": 1.0}.get(name) if name != "cosine" else float(width)


@cache
def people(split: str) -> dict[str, list[Picture]]:
    """Slices on [0, 1] of every person of a split; the pig is with the train people."""
    names = json.loads((DATA / "scd" / "splits.json").read_text())[split]
    found = {
        name: [
            np.asarray(Image.open(path), np.float32) / 255
            for path in sorted((DATA / "scd" / "slices" / name).glob("*.png"))
        ]
        for name in names
    }
    if split == "train":
        found["pig"] = _pig()
    return found


def _pig() -> list[Picture]:
    cine = _native("pig/short-axis")
    frames = np.asarray(cine.frames, np.float32)[::4].reshape(-1, *cine.shape[2:])
    return list(frames / np.percentile(frames, 99.9))


NATIVE = ("pig/short-axis", "scd/dicom/SC-HF-I-02", "scd/dicom/SC-HF-I-04")
"""Scans of train people whose header says what was kept."""
STILL = 32
"""Pixels per side of the places in which the noise of a cine is looked at."""
STILLEST = 0.03
"""The share of places that move least."""


@cache
def _native(name: str) -> Cine:
    from cinesr.imaging.files import load

    return load(DATA / name)


@cache
def noise_of_phases(name: str) -> tuple[NDArray[np.float64], float]:
    """Where the window of k-space falls to half along each axis, and the noise before it.

    Both are seen in what neighbouring phases differ by where nothing moves: white noise that went
    through the window. Where its power has fallen to a quarter, the window has fallen to half.

    Returns:
        (2,) shares of the highest frequencies of rows and columns, and the standard deviation as a
        share of the pictures' range.
    """
    frames = np.asarray(_native(name).frames[:8, ::2], np.float64)
    half = STILL // 2
    windows = np.lib.stride_tricks.sliding_window_view(frames, (STILL, STILL), axis=(2, 3))
    places = windows[:, :, ::half, ::half].reshape(len(frames), -1, STILL, STILL)
    # Of two phases' difference the variance is twice that of one.
    changes = np.diff(places, axis=0) / np.sqrt(2)
    changes -= changes.mean(axis=(2, 3), keepdims=True)
    spreads = np.sqrt(np.mean(changes**2, axis=(0, 2, 3)))
    # Where there is hardly a signal, a magnitude is no sum of it and noise.
    lit = np.flatnonzero(places.mean(axis=0).min(axis=(1, 2)) > 2 * spreads)
    stillest = lit[np.argsort(spreads[lit])][: max(4, round(STILLEST * len(lit)))]
    taper = np.hanning(STILL)[:, None] * np.hanning(STILL)[None, :]
    taper /= np.sqrt(np.sum(taper**2))
    power = np.mean(np.abs(np.fft.fft2(changes[:, stillest] * taper)) ** 2, axis=(0, 1))
    power = np.maximum(power[: half + 1, : half + 1] - 1 / 12, 0)  # Rounding to whole numbers.
    falls = []
    for profile in (power[:, 1:5].mean(axis=1), power[1:5].mean(axis=0)):
        left = np.minimum.accumulate(profile / profile[3:6].mean())
        falls.append(np.interp(-0.25, -left, np.arange(half + 1)))
    level = float(np.sqrt(power[3:6, 3:6].mean()))
    return np.array(falls) / half, level / intensity_range(frames.reshape(-1, *frames.shape[2:]))


def native(generator: np.random.Generator) -> Example:
    """Frames as a scanner gave them, or with the outer part of their k-space cut off.

    Then what was kept is a larger share, and the object reaches further; the header's meaning is
    the likeliest. Taper and noise are those of `noise_of_phases`.
    """
    name = NATIVE[generator.integers(len(NATIVE))]
    cine = _native(name)
    count = 1 if generator.random() < 0.3 else round(2 ** generator.uniform(1, 4.2))
    places = [tuple(generator.integers(cine.shape[:2])) for _ in range(count)]
    sizes = cine.shape[2:]
    if generator.random() < 0.7:
        sizes = tuple(
            int(size * share) // 2 * 2
            for size, share in zip(sizes, generator.uniform(0.72, 1.0, 2), strict=True)
        )
    matrix = cine.measured
    lines = (matrix.phase, matrix.frequency)[:: 1 - 2 * matrix.phase_axis]
    keep = tuple(min(1.0, count / size) for count, size in zip(lines, sizes, strict=True))
    halves, noise = noise_of_phases(name)
    left = np.array(sizes) / cine.shape[2:]
    taper = float(np.mean(np.clip(2 * (1 - halves / left / keep), 0, 1)))
    pictures = [_cropped_kspace(cine.frame(*place), sizes) for place in places]
    if generator.random() < 0.5:
        pictures, keep = [picture.T for picture in pictures], keep[::-1]
    if generator.random() < 0.5:  # As such scans are handed on.
        top = max(picture.max() for picture in pictures)
        pictures = [np.rint(picture * (255 / top)) for picture in pictures]
    range_ = np.float32(intensity_range(pictures))
    pictures = [picture / range_ for picture in pictures]
    noise *= float(np.sqrt(left.prod()))
    window = f"cosine:{taper:.4f}" if taper else "none"
    how = Degradation("scanner", noise=noise, keep=keep, window=window)
    return Example(pictures, how, is_native=True)


def _cropped_kspace(frame: NDArray[Any], sizes: tuple[int, ...]) -> Picture:
    spectrum = np.fft.fftshift(np.fft.fft2(frame))
    starts = [(old - new) // 2 for old, new in zip(frame.shape, sizes, strict=True)]
    kept = spectrum[starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]]
    return np.asarray(np.abs(np.fft.ifft2(np.fft.ifftshift(kept))), np.float32)


def example(
    generator: np.random.Generator,
    split: str,
    *,
    slices: int | None = None,
    scale: int | None = None,
    recipe: Callable[[np.random.Generator, int], Degradation] | None = None,
    clean: bool = False,
) -> Example:
    """A random person's slices, shrunk and acquired alike.

    Args:
        generator: Source of everything random.
        split: Whose.
        slices: How many; at random where not given, and all for 0.
        scale: Of the recipe; 2 or 4 at random.
        recipe: Draws the recipe from a generator and a scale.
        clean: Leaves out what scanners and exports do besides.
    """
    if split == "train" and not clean and generator.random() < 0.06:
        return native(generator)
    everyone = people(split)
    name = list(everyone)[generator.integers(len(everyone))]
    if slices is None:
        slices = 1 if generator.random() < 0.5 else round(2 ** generator.uniform(1, 4.2))
    count = min(slices or 10**6, len(everyone[name]))
    order = generator.permutation(len(everyone[name]))[:count]
    scale = scale or (2 if generator.random() < 0.6 else 4)
    how = (recipe or random_recipe)(generator, scale)
    by = generator.uniform(1.0, 2.5)
    if how.method in PAPERS and generator.random() < 0.5:
        by = 1.0  # Such recipes are tried on slices as they are.
    spoil = None if clean or generator.random() < 0.65 else _random_spoiling(generator)
    truths = [_shrunk(everyone[name][index], by, scale) for index in order]
    if not clean and generator.random() < 0.2:  # Thick slices and motion: no edge is sharp.
        sigma = generator.uniform(0.3, 1.2) * scale / 2
        truths = [gaussian_filter(truth, sigma) for truth in truths]
    if scale == 2 and by < 1.3 and not clean and generator.random() < 0.3:
        truths = [_mosaic(truths, generator) for _ in range(min(count, 5))]
    if how.method == "scanner" and not clean and generator.random() < 0.35:
        signal = Complex(generator, truths[0].shape)
        truths = truths[: Complex.MOST_PICTURES]
        pictures = [signal.measure(truth, how, generator) for truth in truths]
    else:
        pictures = [how.measure(truth, generator=generator) for truth in truths]
    if spoil is not None:
        pictures = [spoil(picture) for picture in pictures]
    return Example(pictures, how)


def random_recipe(generator: np.random.Generator, scale: int) -> Degradation:
    """Two fifths as models are compared, the rest with other windows or from a paper."""
    kind = generator.random()
    if kind < 0.7:
        how = random_scanner(generator, scale=scale, varied=kind >= 0.4)
        return replace(how, window="hamming") if kind >= 0.64 else how
    noise = generator.uniform(0, 0.025) if generator.random() < 0.5 else 0.0
    return Degradation(PAPERS[generator.integers(len(PAPERS))], scale, noise)


def _shrunk(image: Picture, by: float, scale: int) -> Picture:
    size = [max(round(side / by) // scale, SMALLEST_SIZE) * scale for side in image.shape]
    return resize_bicubic(image, (size[0], size[1]))


def _mosaic(truths: list[Picture], generator: np.random.Generator) -> Picture:
    """Four slices side by side, each mirrored so that edges meet: a picture of more pixels."""
    chosen = [truths[index] for index in generator.integers(0, len(truths), 4)]
    upper = np.concatenate([chosen[0], chosen[1][:, ::-1]], axis=1)
    lower = np.concatenate([chosen[2], chosen[3][:, ::-1]], axis=1)
    return np.concatenate([upper, lower[::-1]], axis=0)


class Complex:
    """Balanced SSFP as it is, for pictures of one shape: a complex signal, in several coils.

    Its phase goes in slow waves; fat is opposite to water, so that the magnitude has dark lines
    between them; coils are combined by the root of the sum of their squares.
    """

    MOST_PICTURES = 6

    def __init__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> None:
        coils = int(generator.integers(3, 6)) if generator.random() < 0.3 else 1
        rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
        down = np.array([np.cos(np.pi * k * rows) for k in range(3)])
        across = np.array([np.sin(k + columns) for k in range(3)])
        angle = down.T @ generator.normal(0, 1.5, (3, 3)).astype(np.float32) @ across
        wave = np.exp(1j * angle).astype(np.complex64)
        spread = generator.uniform(0.5, 1.2)
        self.coils = [wave]
        if coils > 1:
            turns = 2 * np.pi * np.arange(coils) / coils
            self.coils = [wave * _sensitivity(rows, columns, turn, spread) for turn in turns]
        # What is brighter than a level in a blurred copy is taken for fat.
        self.fat = generator.uniform(0.3, 0.8) if generator.random() < 0.6 else 2.0

    def measure(self, truth: Picture, how: Degradation, generator: np.random.Generator) -> Picture:
        small = resize_bicubic(truth, (truth.shape[0] // 3, truth.shape[1] // 3))
        blurred = resize_bicubic(small, (truth.shape[0], truth.shape[1]))
        signed = np.where(blurred > self.fat * blurred.max(), -truth, truth)
        whole = Degradation("kspace", how.scale)
        total: Any = 0.0
        for coil in self.coils:
            signal = signed * coil
            low = whole.apply(signal.real) + 1j * whole.apply(signal.imag)
            noise = generator.standard_normal((2, *low.shape), dtype=np.float32)
            low = low + np.float32(how.noise) * (noise[0] + 1j * noise[1])
            total = total + np.abs(_filtered(low, how.acquisition)) ** 2
        return np.asarray(np.sqrt(total), np.float32)


def _sensitivity(
    rows: Picture, columns: Picture, turn: float, spread: float
) -> NDArray[np.complex64]:
    """Of a coil beside the picture, in the direction of `turn`."""
    down, across = (rows - 0.8 * np.sin(turn)) ** 2, (columns - 0.8 * np.cos(turn)) ** 2
    near = np.exp(-down / spread**2)[:, None] * np.exp(-across / spread**2)[None, :]
    return np.asarray(near * np.exp(1j * turn * rows)[:, None], np.complex64)


def _filtered(low: NDArray[Any], acquisition: Acquisition) -> NDArray[Any]:
    return np.fft.ifft2(np.fft.fft2(low) * acquisition.transfer(*low.shape))


def _random_spoiling(generator: np.random.Generator) -> Callable[[Picture], Picture]:
    """What scanners and exports do besides: unwarping, a mask, a cut edge, few grey levels."""
    steps: list[Callable[[Picture], Picture]] = []
    if generator.random() < 0.4:
        bend = generator.uniform(-1.5, 1.5, 2)
        steps.append(lambda picture: _unwarped(picture, bend))
    if generator.random() < 0.3:
        floor = generator.uniform(0.0, 0.05)
        radius = generator.uniform(0.9, 1.2)
        steps.append(lambda picture: _masked(picture, floor, radius))
    if generator.random() < 0.4:
        share = generator.uniform(0.75, 1.0, 2)
        steps.append(lambda picture: _cut(picture, share))
    if generator.random() < 0.6:
        levels = 2 ** generator.uniform(6.0, 11.0)
        steps.append(lambda picture: np.rint(picture * levels) / np.float32(levels))

    def spoil(picture: Picture) -> Picture:
        for step in steps:
            picture = np.asarray(step(picture), np.float32)
        return picture

    return spoil


def _unwarped(picture: Picture, bend: NDArray[Any]) -> Picture:
    """Cubic interpolation at places that wander off by up to `bend` pixels: gradients' errors."""
    for axis in (0, 1):
        size = picture.shape[axis]
        place = np.arange(size, dtype=np.float64)
        centred = (place - size / 2) / (size / 2)
        place = np.clip(place + bend[axis] * centred**3 * size / 128, 0, size - 1)
        distance = np.abs(place[:, None] - np.arange(size)[None, :])
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
        weight /= weight.sum(axis=1, keepdims=True)
        picture = np.moveaxis(np.tensordot(weight, picture, (1, axis)), 0, axis)
    return np.maximum(picture, 0)


def _masked(picture: Picture, floor: float, radius: float) -> Picture:
    row, column = (np.linspace(-1, 1, size) for size in picture.shape)
    outside = np.hypot(row[:, None], column[None, :]) > radius
    return np.where(outside | (picture < floor), 0, picture)


def _cut(picture: Picture, share: NDArray[Any]) -> Picture:
    rows, columns = (
        max(SMALLEST_SIZE, round(size * part))
        for size, part in zip(picture.shape, share, strict=True)
    )
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return picture[top : top + rows, left : left + columns]


def simulate(folder: Path, split: str, count: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    number = 0 if split == "train" else 1
    started = time.time()
    for part in range(count // PART):
        path = folder / f"{split}-{part:03}.npz"
        if path.exists():
            continue
        rows, labels = [], []
        for index in range(part * PART, (part + 1) * PART):
            found = example(np.random.default_rng([seed, number, index]), split)
            rows.append(features(found.pictures))
            labels.append(found.label())
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, features=np.array(rows, np.float16), labels=np.array(labels))
        temporary.rename(path)
        print(f"{split}: {(part + 1) * PART} of {count}, {time.time() - started:.0f} s", flush=True)


def stored(folder: Path, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features and labels of all examples that were simulated so far."""
    parts = [np.load(path) for path in sorted(folder.glob(f"{split}-???.npz"))]
    if not parts:
        raise SystemExit(f"{folder} holds no examples of {split}: run simulate first.")
    features, labels = ([part[key] for part in parts] for key in ("features", "labels"))
    return np.concatenate(features), np.concatenate(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["simulate", "train", "measure"])
    parser.add_argument("folder", type=Path, help="Of the simulated examples.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=30000)
    parser.add_argument("--epochs", type=int, default=45)
    chosen = parser.parse_args()
    if chosen.command == "simulate":
        simulate(chosen.folder, "validation", 1500, chosen.seed)
        simulate(chosen.folder, "train", chosen.examples, chosen.seed)
    if chosen.command == "train":
        from acquisition_training import train

        examples, held = (stored(chosen.folder, split) for split in ("train", "validation"))
        train(examples, held, WEIGHTS, seed=chosen.seed, epochs=chosen.epochs)
    if chosen.command == "measure":
        from acquisition_tables import write_tables

        write_tables(PAGE, chosen.seed)


if __name__ == "__main__":
    main()
