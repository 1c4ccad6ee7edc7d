"""What a benchmark runs on: people's slices with masks, and the inputs that are made of them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from cinesr.degradation import Degradation, random_scanner
from cinesr.errors import UnreadableFileError
from cinesr.experiment.scoring import Box, heart_box
from cinesr.imaging.cine import Cine, IntensityRule
from cinesr.imaging.files import open_cines

Image = NDArray[np.float32]

PAPER_METHODS = ("thesis", "johnson", "bicubic", "kspace")
"""The recipes by which papers make low resolution."""
SHRINK = 1.25
"""What truths are shrunk by before a scanner's recipe, so that slices which a scanner interpolated
become sharp at the size of their pixels."""
RANDOM = "random"
SCANNER_SETTINGS = {
    "sharp": {"keep": (1.0, 0.9), "window": "none", "noise": 0.002},
    "GE-like": {"keep": (0.88, 0.7), "window": "cosine:0.15", "noise": 0.008},
    "strongly filtered": {"keep": (0.8, 0.75), "window": "hamming", "noise": 0.01},
    "noisy real-time": {"keep": (0.7, 0.6), "window": "cosine:0.3", "noise": 0.025},
}
FINER = "finer"
"""Stands for a person where the cine with finer pixels is scored."""


@dataclass(frozen=True)
class Bench:
    """What all parts of a benchmark share.

    Args:
        data: Holds slices/, masks/, dicom/ and splits.json.
        split: Whose people are scored.
        cache: Folder for what is not computed twice.
        every: Score only every so many frames; all of a person's tell how they were acquired.
        spacing_mm: Of slices whose person has no DICOM.
        finer: A cine with finer pixels than the slices, for the parts `sizes` and `native`.
        segmenter_steps: Of the network that finds the blood pool.
    """

    data: Path
    split: str
    cache: Path
    every: int = 1
    spacing_mm: float = 1.37
    finer: Path | None = None
    segmenter_steps: int = 1500


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice as it is stored, with its left ventricle where that is known.

    Args:
        name: Of its file.
        cine: The file.
        pixels: (row, column), as a share of the largest value that can be stored.
        pool: (row, column), the blood pool; None where it is not known.
    """

    name: str
    cine: Cine
    pixels: Image
    pool: NDArray[np.bool_] | None

    def on_network_scale(self) -> Image:
        """The slice as networks see the file by itself."""
        return IntensityRule.of(self.cine).apply(self.cine.frame(0, 0))

    def heart(self, shape: tuple[int, int] | None = None) -> Box | None:
        """The box around the heart, on the grid of the slice or of another size.

        Args:
            shape: (rows, columns) of a picture with the same outer edges.
        """
        box = None if self.pool is None else heart_box(self.pool)
        if box is None or shape is None:
            return box
        ratios = (new / old for new, old in zip(shape, self.pixels.shape, strict=True))
        rows, columns = (
            slice(int(part.start * ratio), -int(-part.stop * ratio // 1))
            for part, ratio in zip(box, ratios, strict=True)
        )
        return rows, columns


def people_of(data: Path, split: str) -> list[str]:
    """The people of a split.

    Raises:
        UnreadableFileError: There is no such list.
    """
    path = data / "splits.json"
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))[split])
    except (OSError, ValueError, KeyError) as error:
        raise UnreadableFileError(
            f"{path}: expected a JSON object that names the people of train, validation and test.",
            hint="Name the folder that holds it with --data.",
        ) from error


@lru_cache(maxsize=2)
def slices_of(data: Path, person: str) -> tuple[Slice, ...]:
    """A person's slices, by name."""
    found = []
    for cine in sorted(open_cines(data / "slices" / person), key=lambda cine: cine.name):
        stored = cine.frame(0, 0)
        whole = np.iinfo(stored.dtype).max if np.issubdtype(stored.dtype, np.integer) else 1
        mask = data / "masks" / person / cine.name
        pool = open_cines(mask)[0].frame(0, 0) > 0 if mask.exists() else None
        found.append(Slice(cine.name, cine, (stored / whole).astype(np.float32), pool))
    return tuple(found)


def spacing_of(bench: Bench, person: str) -> float:
    """The width of a person's pixels in mm: from the DICOM, or what was said of all."""
    folder = bench.data / "dicom" / person
    if folder.is_dir():
        return float(open_cines(folder)[0].geometry.spacing_mm[0])
    return bench.spacing_mm


def shrunk(image: Image, by: float, *, scale: int) -> Image:
    """A truth of fewer pixels, so that it is sharp at the size of its pixels (Lanczos).

    Args:
        image: (row, column).
        by: How many of its pixels make one, 1 or more.
        scale: Rows and columns become multiples of twice the scale, stretched a little for it.
    """
    step = 2 * scale
    rows, columns = (round(size / by) // step * step for size in image.shape)
    if by == 1.0:
        return image[: image.shape[0] // step * step, : image.shape[1] // step * step]
    picture = Pictures.fromarray(image).resize((columns, rows), Pictures.Resampling.LANCZOS)
    return np.asarray(picture, np.float32)


def scanner_truth(image: Image, scale: int, by: float = SHRINK) -> Image:
    """The truth for a scanner's recipe, of a size that the scale divides.

    The field of view is the same at every scale, but for what the scale cuts off.

    Args:
        image: (row, column).
        scale: Of the recipe.
        by: How much it is shrunk.
    """
    truth = shrunk(image, by, scale=2)
    rows, columns = (size - size % scale for size in truth.shape)
    return truth[:rows, :columns]


def seed_of(*parts: object) -> int:
    """A seed that depends on nothing but these words and numbers."""
    return zlib.crc32(" ".join(map(str, parts)).encode())


def scanner_recipes(person: str, scale: int) -> Iterator[tuple[str, Degradation]]:
    """The fixed settings of a scanner, and one that is drawn for this person and scale."""
    for name, setting in SCANNER_SETTINGS.items():
        yield name, Degradation("scanner", scale, **setting)  # type: ignore[arg-type]
    yield RANDOM, drawn_recipe(person, scale)


def drawn_recipe(person: str, scale: int) -> Degradation:
    """The random setting of a person: all slices of a series are acquired in one way."""
    generator = np.random.default_rng(seed_of(person, scale))
    return random_scanner(generator, scale=scale, varied=False)


def measured_slices(truths: list[Image], recipe: Degradation, *words: object) -> list[Image]:
    """Low resolution of a person's slices, each with its own noise.

    Args:
        truths: The slices.
        recipe: How low resolution is made.
        words: What the noise depends on, beside the slice's number.
    """
    return [
        np.asarray(
            recipe.measure(truth, generator=np.random.default_rng([seed_of(*words), number])),
            np.float32,
        )
        for number, truth in enumerate(truths)
    ]
