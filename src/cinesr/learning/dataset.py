"""From folders of scans to slices: who is in which split, and what there is of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.degradation import Degradation, random_scanner, resize_bicubic
from cinesr.errors import (
    ConfigError,
    LabelMapError,
    OutputError,
    UnfitImageError,
    UnreadableFileError,
)
from cinesr.imaging.archive import stem_of
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import may_be_scan, open_cines, staged, suffix_of
from cinesr.imaging.label_maps import labels_of
from cinesr.imaging.padding import filled
from cinesr.imaging.records import PREVIEW, RECORD, companions, read_record
from cinesr.learning.config import DataConfig, TrainingConfig

Image = NDArray[np.float32]

VALIDATION_SEED = 5
_TRIES, _PAUSE_S = 20, 0.1

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
        """Writes the split as JSON, in the form that `data.splits` reads.

        What says the same already stays: runs that are started side by side share one.

        Raises:
            OutputError: It cannot be written.
        """
        for tries in reversed(range(_TRIES)):
            if self._stands_in(path):
                return
            try:
                with staged(path, overwrite=True) as part:
                    part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            except OutputError:
                if not tries:
                    raise
                sleep(_PAUSE_S)  # Another run may be writing it.

    def _stands_in(self, path: Path) -> bool:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return Split(*(tuple(found[key]) for key in asdict(self))) == self
        except (OSError, ValueError, TypeError, KeyError):
            return False


People = dict[str, tuple[Path, ...]]
"""Where the scans of each person are."""


def find_people(*folders: Path) -> People:
    """The people in some folders: each file or folder in one of them is a person.

    Args:
        folders: What is of the same name in several of them is of the same person.

    Raises:
        UnreadableFileError: There is no such folder, or it is empty.
        ConfigError: Two entries are of one name but for their formats.
    """
    found: People = {}
    for folder in folders:
        for name, path in _people_in(folder).items():
            found[name] = (*found.get(name, ()), path)
    return found


def _people_in(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UnreadableFileError(
            f"{folder}: is not a folder; data.folder expects one file or folder per person."
        )
    entries = sorted(path for path in folder.iterdir() if _is_of_a_person(path))
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
        names = sorted(path.name for path in folder.iterdir())
        what = f"holds no scan, only {', '.join(names[:5])}" if names else "is empty"
        raise UnreadableFileError(f"{folder}: {what}; expected one file or folder per person.")
    return people


def _is_of_a_person(path: Path) -> bool:
    """Whether an entry may hold a scan: not sidecars, tables, READMEs, nor what cinesr left."""
    if path.name.startswith(".") or _was_left_by_cinesr(path):
        return False
    if path.is_dir() or suffix_of(path) or stem_of(path.name) != path.name:
        return True
    # A scan without a suffix, as DICOM files often are; one of no bytes is told of when it is read.
    return path.is_file() and (path.stat().st_size == 0 or may_be_scan(path))


def _was_left_by_cinesr(path: Path) -> bool:
    """Whether it is a result, or the preview of one, by the record of the run."""
    if path.is_dir():
        record = path / RECORD
    elif path.name == PREVIEW:
        record = path.with_name(RECORD)
    else:
        record, _ = companions(path.with_name(path.name.removesuffix(f".{PREVIEW}")))
    return read_record(record) is not None


def _person(path: Path) -> str:
    # Only what names a format is cut off: people and DICOM files have dots in their names.
    if not path.is_file():
        return path.name
    suffix = suffix_of(path)
    return path.name[: len(path.name) - len(suffix)] if suffix else stem_of(path.name)


def read_split(config: DataConfig, people: People, *, seed: int) -> Split:
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
        left_aside: Names of label maps that lie beside the scans.
    """

    images: tuple[Image, ...]
    people: tuple[str, ...]
    spacing_mm: tuple[float, float] | None
    left_aside: tuple[str, ...] = ()

    def spread(self, number: int) -> list[Image]:
        """At most `number` slices, evenly spread over the set."""
        return [self.images[index] for index in _spread(len(self.images), number)]


def load_slices(
    people: People,
    names: tuple[str, ...],
    *,
    config: TrainingConfig,
    progress: Callable[[int, int], None] | None = None,
) -> SliceSet:
    """Reads every slice of some people, but for black ones and label maps.

    One intensity rule serves each cine.

    Args:
        people: Where each person's scans are.
        names: Whom to read.
        config: Says the spacing of files without one, the scale and the crop.
        progress: Called with people done and people in all.

    Raises:
        CinesrError: A file cannot be read, or its slices are smaller than a crop.
    """
    images: list[Image] = []
    owners: list[str] = []
    spacings: list[float] = []
    left_aside: list[str] = []
    for done, name in enumerate(names, 1):
        for path in people[name]:
            for image, spacing in _read_slices(path, config, left_aside):
                # Volumes are padded with slices that nothing can be learned from or scored on.
                if image.max() > 0:
                    images.append(image)
                    owners.append(name)
                spacings += spacing
        if progress:
            progress(done, len(names))
    if left_aside and not images:
        raise LabelMapError(
            f"{', '.join(left_aside[:5])}: label maps, and nothing else to learn from or check on; "
            "expected scans.",
            hint="Name a folder of scans in data.folder.",
        )
    ends = (min(spacings), max(spacings)) if spacings else None
    return SliceSet(tuple(images), tuple(owners), ends, tuple(left_aside))


def _read_slices(
    path: Path, config: TrainingConfig, left_aside: list[str]
) -> Iterator[tuple[Image, list[float]]]:
    """The slices of one person in one folder, with their in-plane spacing where it is known.

    Names of label maps are added to `left_aside`.
    """
    crop, scale = config.optimisation.crop, config.network.scale
    spacing = config.data.spacing_mm
    cines = open_cines(path, spacing_mm=(spacing[0], spacing[1]) if spacing else None)
    labelled = [cine.name for cine in cines if labels_of(cine)]
    left_aside += [f"{path.name}: {name}" for name in labelled]
    cines = [cine for cine in cines if cine.name not in labelled]
    frames = sum(cine.shape[0] * cine.shape[1] for cine in cines)
    wanted = set(_spread(frames, config.data.most_slices or frames))
    seen = 0
    for cine in cines:
        rows, columns = (size - size % scale for size in cine.shape[2:])
        if min(rows, columns) < crop:
            raise UnfitImageError(
                f"{cine.name} ({path}): slices are {cine.shape[2]} x {cine.shape[3]} "
                f"pixels; expected at least optimisation.crop, {crop}."
            )
        rule = IntensityRule.of(cine)
        known = list(cine.geometry.spacing_mm[:2]) if cine.geometry.is_known else []
        for time, place in np.ndindex(cine.shape[0], cine.shape[1]):
            if seen in wanted:
                frame = filled(cine.frame(time, place), cine.padding, empty=rule.low)
                yield rule.apply(frame[:rows, :columns]), known
            seen += 1


def _spread(total: int, number: int) -> list[int]:
    """At most `number` of `total` places, evenly spread."""
    picks = np.linspace(0, total - 1, min(number, total))
    return [int(pick) for pick in np.unique(np.rint(picks))]


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


VALIDATION_SHRINK = 1.25
"""By which a slice is made smaller before `scanner` in validation: sharp at its own pixel size."""


def validation_pairs(
    slices: SliceSet, config: TrainingConfig
) -> Iterator[tuple[Degradation, Image, Image]]:
    """Whole validation slices under every degradation: (recipe, low, high), (row, column) each.

    Under `scanner` each slice has settings and noise of its own, the same in every epoch.
    """
    scale = config.network.scale
    for method in config.degradation.methods:
        for index, image in enumerate(slices.spread(config.optimisation.validation_slices)):
            generator = np.random.default_rng([VALIDATION_SEED, index])
            recipe, high = Degradation(method, scale), image
            if method == "scanner":
                recipe = random_scanner(generator, scale=scale, varied=False)
                rows, columns = (
                    round(length / VALIDATION_SHRINK) // scale * scale for length in image.shape
                )
                high = np.maximum(resize_bicubic(image, (rows, columns)), 0)
            yield recipe, recipe.measure(high, generator=generator), high


def count_summary(slices: SliceSet) -> dict[str, Any]:
    """How much data there is, for the model's card."""
    found = {"people": len(set(slices.people)), "slices": len(slices.images)}
    left = len(slices.left_aside)
    return {**found, "label_maps_left_aside": left} if left else found
