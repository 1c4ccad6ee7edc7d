"""From a folder of scans to crops: who is in which split, and which pixels at which step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.degradation import Degradation, add_rician_noise, resize_bicubic
from cinesr.errors import ConfigError, UnfitImageError, UnreadableFileError
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import open_cines, staged, suffix_of
from cinesr.learning.config import DataConfig, TrainingConfig

Image = NDArray[np.float32]

VALIDATION_SHARE = TEST_SHARE = 0.2
"""Of the people, where the configuration names no splits."""


@dataclass(frozen=True)
class Split:
    """Names of the people to learn from, to choose by, and to report on."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def digest(self) -> str:
        """sha256 over the sorted names: two runs with the same digest saw the same people."""
        plain = {key: sorted(names) for key, names in asdict(self).items()}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Writes the split as JSON, in the form that `data.splits` reads."""
        with staged(path, overwrite=True) as part:
            part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def find_people(folder: Path) -> dict[str, Path]:
    """The people in a folder: each of its files or folders is one.

    Raises:
        UnreadableFileError: There is no such folder, or it is empty.
        ConfigError: Two entries are of one name but for their formats.
    """
    if not folder.is_dir():
        raise UnreadableFileError(
            f"{folder}: is not a folder; data.folder expects one file or folder per person."
        )
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    people: dict[str, Path] = {}
    for path in entries:
        other = people.setdefault(_person(path), path)
        if other != path:
            raise ConfigError(
                f"{folder}: {other.name} and {path.name} are both of {_person(path)!r}; expected "
                "one file or folder per person.",
                hint="Put both into one folder of that name, or rename one.",
            )
    if not people:
        raise UnreadableFileError(f"{folder}: is empty; expected one file or folder per person.")
    return people


def _person(path: Path) -> str:
    # Only what names a format is cut off: people and DICOM files have dots in their names.
    suffix = suffix_of(path) or (".zip" if path.suffix.lower() == ".zip" else "")
    return path.name[: len(path.name) - len(suffix)] if path.is_file() else path.name


def read_split(config: DataConfig, people: dict[str, Path], *, seed: int) -> Split:
    """The split that the configuration names, or a random one.

    Args:
        config: Its `splits` file, where given, decides.
        people: As found in the data folder.
        seed: Of the random split.

    Raises:
        ConfigError: A person is in two splits or not in the folder, or a split is empty.
        UnreadableFileError: The splits file is not what was expected.
    """
    if not config.splits:
        return _random_split(sorted(people), seed, config.folder)
    path = Path(config.splits)
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        train, validation, test = (
            tuple(str(name) for name in lists.get(key, [])) for key in asdict(_EMPTY_SPLIT)
        )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UnreadableFileError(
            f"{path}: is not a splits file: {error}.",
            hint='Expected JSON: {"train": [names], "validation": [names], "test": [names]}.',
        ) from error
    names = [*train, *validation, *test]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: {', '.join(twice)} stands in more than one place.")
    missing = sorted({*train, *validation} - set(people))
    if missing:
        raise ConfigError(
            f"{path}: {len(missing)} people are not in {config.folder}: {', '.join(missing[:5])}."
        )
    if not train or not validation:
        raise ConfigError(f"{path}: expected people under both 'train' and 'validation'.")
    return Split(train, validation, test)


_EMPTY_SPLIT = Split((), (), ())


def _random_split(names: list[str], seed: int, folder: str) -> Split:
    if len(names) < 2:
        raise ConfigError(
            f"{folder}: holds {len(names)} person; expected at least 2, one to validate on. "
            "Each file or folder in it counts as one person."
        )
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    validation = max(1, round(VALIDATION_SHARE * len(names)))
    test = round(TEST_SHARE * len(names)) if len(names) > 2 else 0
    held = validation + test
    return Split(
        train=tuple(sorted(order[held:])),
        validation=tuple(sorted(order[:validation])),
        test=tuple(sorted(order[validation:held])),
    )


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Slices of some people on the network's intensity scale.

    Args:
        images: (row, column) each, float32, about [0, 1].
        people: Whose each slice is.
        spacing_mm: Smallest and largest in-plane spacing; None where files hold none.
    """

    images: tuple[Image, ...]
    people: tuple[str, ...]
    spacing_mm: tuple[float, float] | None

    def spread(self, number: int) -> list[Image]:
        """At most `number` slices, evenly spread over the set."""
        picks = np.linspace(0, len(self.images) - 1, min(number, len(self.images)))
        return [self.images[index] for index in np.unique(np.rint(picks).astype(int))]


def load_slices(
    people: dict[str, Path],
    names: tuple[str, ...],
    *,
    config: TrainingConfig,
    progress: Callable[[int, int], None] | None = None,
) -> SliceSet:
    """Reads every slice of some people, but for black ones. One intensity rule serves each cine.

    Args:
        people: Where each person's scans are.
        names: Whom to read.
        config: Says the spacing of files without one, the scale and the crop.
        progress: Called with people done and people in all.

    Raises:
        CinesrError: A file cannot be read, or its slices are smaller than a crop.
    """
    crop, scale = config.optimisation.crop, config.network.scale
    spacing = config.data.spacing_mm
    images: list[Image] = []
    owners: list[str] = []
    spacings: list[float] = []
    for done, name in enumerate(names, 1):
        cines = open_cines(people[name], spacing_mm=(spacing[0], spacing[1]) if spacing else None)
        for cine in cines:
            rows, columns = (size - size % scale for size in cine.shape[2:])
            if min(rows, columns) < crop:
                raise UnfitImageError(
                    f"{cine.name} ({people[name]}): slices are {cine.shape[2]} x {cine.shape[3]} "
                    f"pixels; expected at least optimisation.crop, {crop}."
                )
            rule = IntensityRule.of(cine)
            for _, _, frame in cine.iter_frames():
                image = rule.apply(frame[:rows, :columns])
                # Volumes are padded with slices that nothing can be learned from or scored on.
                if image.max() > 0:
                    images.append(image)
                    owners.append(name)
            if cine.geometry.is_known:
                spacings += cine.geometry.spacing_mm[:2]
        if progress:
            progress(done, len(names))
    ends = (min(spacings), max(spacings)) if spacings else None
    return SliceSet(tuple(images), tuple(owners), ends)


@dataclass(frozen=True, eq=False)
class Material:
    """What a run learns from and is checked on.

    Args:
        split: Who is in which part.
        learn: Slices of the training people.
        check: Slices of the validation people.
    """

    split: Split
    learn: SliceSet
    check: SliceSet


class CropStream:
    """Pairs of low- and high-resolution crops; the step number alone decides which.

    Whole slices are degraded, so that crops know nothing of borders which the scan has not.

    Args:
        slices: To draw from.
        config: Says crop, batch, degradations and seed.
    """

    MINIMUM_BODY = 0.5
    """A crop counts as background where fewer of its pixels are brighter than `AIR`."""
    AIR = 0.05
    TRIES = 10
    ZOOMED_SHARE = 0.5
    ZOOMED_MARGIN = 12
    """Low-resolution pixels that are kept from the border of a magnified part: `kspace` takes the
    image for periodic, and a part of a slice is not."""

    def __init__(self, slices: SliceSet, config: TrainingConfig) -> None:
        self._images = slices.images
        self._config = config
        self._recipes = [
            Degradation(method, config.network.scale) for method in config.degradation.methods
        ]

    def batch(self, step: int) -> tuple[Image, Image]:
        """The batch of a step: low (batch, row, column, 1) and high resolution, float32."""
        generator = np.random.default_rng([self._config.seed, step])
        pairs = [self._pair(generator) for _ in range(self._config.optimisation.batch_size)]
        low, high = (np.stack(side)[..., None] for side in zip(*pairs, strict=True))
        return low, high

    def _pair(self, generator: np.random.Generator) -> tuple[Image, Image]:
        scale, size = self._config.network.scale, self._config.optimisation.crop
        image = self._images[generator.integers(len(self._images))]
        recipe = self._recipes[generator.integers(len(self._recipes))]
        margin = 0
        zoom = self._config.optimisation.zoom
        if zoom > 1.0 and generator.random() < self.ZOOMED_SHARE:
            image = self._magnified(image, zoom ** generator.random(), generator)
            margin = min(self.ZOOMED_MARGIN, (min(image.shape) - size) // scale // 2)
        for _ in range(self.TRIES):
            row, column = (
                int(generator.integers(margin, (length - size) // scale - margin + 1))
                for length in image.shape
            )
            high = image[row * scale : row * scale + size, column * scale : column * scale + size]
            if self._shows_body(high):
                break
        low_size = size // scale
        low = recipe.apply(image)[row : row + low_size, column : column + low_size]
        dimmest, brightest = self._config.optimisation.intensity
        gain = generator.uniform(dimmest, brightest)
        low, high = low * np.float32(gain), high * np.float32(gain)
        if self._config.degradation.noise:
            sigma = generator.uniform(0.0, self._config.degradation.noise) * gain
            low = add_rician_noise(low, sigma=sigma, generator=generator)
        turns, flip = int(generator.integers(4)), bool(generator.integers(2))
        low, high = (np.rot90(side, turns) for side in (low, high))
        return (low[:, ::-1], high[:, ::-1]) if flip else (low, high)

    def _shows_body(self, image: Image) -> bool:
        return bool(np.mean(image > self.AIR) >= self.MINIMUM_BODY)

    def _magnified(self, image: Image, zoom: float, generator: np.random.Generator) -> Image:
        """A random part of a slice, magnified to the size of the slice."""
        rows, columns = (max(2, round(length / zoom)) for length in image.shape)
        for _ in range(self.TRIES):
            row = int(generator.integers(image.shape[0] - rows + 1))
            column = int(generator.integers(image.shape[1] - columns + 1))
            part = image[row : row + rows, column : column + columns]
            if self._shows_body(part):
                break
        return resize_bicubic(part, (image.shape[0], image.shape[1]))

    def batches(self, first_step: int) -> Generator[tuple[Image, Image], None, None]:
        """Batches from a step on, without end, prepared ahead beside the training."""
        ahead = 8
        with ThreadPoolExecutor(1, thread_name_prefix="crops") as pool:
            steps = count(first_step)
            waiting = [pool.submit(self.batch, step) for step in islice(steps, ahead)]
            while True:
                waiting.append(pool.submit(self.batch, next(steps)))
                yield waiting.pop(0).result()


def validation_pairs(
    slices: SliceSet, config: TrainingConfig
) -> Iterator[tuple[str, Image, Image]]:
    """Whole validation slices under every degradation: (method, low, high), (row, column) each."""
    for method in config.degradation.methods:
        recipe = Degradation(method, config.network.scale)
        for image in slices.spread(config.optimisation.validation_slices):
            yield method, recipe.apply(image), image


def count_summary(slices: SliceSet) -> dict[str, Any]:
    """How much data there is, for the model's card."""
    return {"people": len(set(slices.people)), "slices": len(slices.images)}
