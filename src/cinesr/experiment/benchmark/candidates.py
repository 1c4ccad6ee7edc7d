"""What is compared: each candidate makes high resolution of one person's slices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from cinesr.degradation import Degradation, resize_bicubic
from cinesr.errors import UnfitImageError
from cinesr.experiment.baseline import LinearFilter, fit_linear_filter
from cinesr.experiment.benchmark.bench import (
    Bench,
    Image,
    measured_slices,
    people_of,
    scanner_truth,
    slices_of,
)
from cinesr.imaging.acquisition_network import reader_digest
from cinesr.imaging.spectrum import acquisition_of_pictures
from cinesr.upscaling.catalogue import SHIPPED_MODELS, Model, find_model, read_model
from cinesr.upscaling.engine import Engine
from cinesr.upscaling.telling import recipe_of

ESTIMATE, TRULY = "estimate", "@truly"
BICUBIC, LINEAR, NATIVE = "bicubic", "linear", "native"
BASELINES = (BICUBIC, LINEAR, NATIVE)
SCANNER_FILTER_EVERY = 4
"""Of the train slices; a filter of 82 coefficients a phase does not gain by the rest."""

Upscaling = Callable[[Image], Image]


@dataclass(frozen=True)
class Making:
    """How inputs were made of slices.

    Args:
        recipe: The degradation.
        shrink: What the slices were shrunk by before it.
    """

    recipe: Degradation
    shrink: float = 1.0


Prepare = Callable[[Sequence[Image], Making | None], Upscaling]
"""Gets all slices of one person that were acquired in one way, and gives what upscales each. How
they were made is for the linear filter, which is fitted to it; None for scans."""


@dataclass(frozen=True)
class Candidate:
    """Something that makes high resolution.

    Args:
        name: In tables and files.
        scale: What it upscales by.
        path: The model's file; None for what is no network.
        told: What a network that is told gets to know of the acquisition: "estimate", what can be
            read from the person's slices; or "truly", how they were made.
    """

    name: str
    scale: int
    path: Path | None = None
    told: str = ESTIMATE

    @property
    def key(self) -> str:
        """What decides its results, beside the data."""
        if self.path is None:
            return self.name
        told = f"{ESTIMATE} {reader_digest()}" if self.told == ESTIMATE else self.told
        return f"{_network_digest(self.path)} {told}"

    @property
    def is_network(self) -> bool:
        """Whether it is one of the models and no baseline."""
        return self.path is not None


@lru_cache(maxsize=32)
def _network_digest(path: Path) -> str:
    """Of the network alone, so that what is written into its card changes nothing."""
    digest = hashlib.sha256()
    for node in read_model(path).graph.get_ordered_ops():
        digest.update(f"{node.get_type_name()} {node.get_attributes()}".encode())
        if node.get_type_name() == "Constant":
            digest.update(np.ascontiguousarray(node.get_data()).tobytes())
    return digest.hexdigest()


def candidates_of(names: Sequence[str]) -> list[Candidate]:
    """The models that were named, or all shipped ones; `bicubic` names no model.

    Args:
        names: Of models or their files; NAME=FILE gives a file another name, and NAME@truly has
            the network told how its inputs were made.

    Raises:
        ModelError: There is no such model.
        UnfitImageError: Two of them have one name.
    """
    found = []
    for words in names:
        if words != BICUBIC:
            words, told, _ = words.partition(TRULY)
            name, _, file = words.rpartition("=")
            model = find_model(file)
            one = _candidate(model, f"{name or model.name}{told}")
            found.append(replace(one, told="truly" if told else ESTIMATE))
    if not names:
        found = [_candidate(read_model(path)) for path in sorted(SHIPPED_MODELS.glob("*.onnx"))]
    twice = {each.name for each in found if [other.name for other in found].count(each.name) > 1}
    if twice or any(each.name in BASELINES for each in found):
        raise UnfitImageError(
            f"More than one candidate is named {', '.join(sorted(twice)) or 'as a baseline is'}.",
            hint="Give one of them another name: 0.1.0=FILE.onnx.",
        )
    return found


def _candidate(model: Model, name: str | None = None) -> Candidate:
    return Candidate(name or model.name, model.scale, model.path)


def prepare_of(candidate: Candidate, bench: Bench) -> Prepare:
    """How a candidate gets ready for a person's slices.

    A network knows no recipe. What it is told of an acquisition is read from the slices, unless it
    is to be told the truth.
    """
    scale = candidate.scale
    if candidate.path is not None:
        engine = _engine(candidate.path)

        def told(lows: Sequence[Image], making: Making | None) -> Upscaling:
            if not engine.model.is_told:
                return engine.run
            if making is not None and candidate.told != ESTIMATE:
                return engine.told(making.recipe).run
            return engine.told(recipe_of(acquisition_of_pictures(lows), scale=scale)).run

        return told
    if candidate.name == BICUBIC:
        return lambda lows, making: (
            lambda low: resize_bicubic(low, (low.shape[0] * scale, low.shape[1] * scale))
        )

    def fitted(lows: Sequence[Image], making: Making | None) -> Upscaling:
        if making is None:
            raise ValueError("a linear filter is fitted to a recipe, and a scan has none")
        return linear_filter(bench.data, making).apply

    return fitted


@lru_cache(maxsize=8)
def _engine(path: Path) -> Engine:
    return Engine(read_model(path), threads=1)


@lru_cache(maxsize=32)
def linear_filter(data: Path, making: Making) -> LinearFilter:
    """The best linear filter for inputs made in one way, from slices of the train split."""
    recipe = making.recipe

    def pairs() -> Iterator[tuple[Image, Image]]:
        for person in people_of(data, "train"):
            found = slices_of(data, person)
            if recipe.method == "scanner":
                truths = [
                    scanner_truth(each.pixels, recipe.scale, making.shrink)
                    for each in found[::SCANNER_FILTER_EVERY]
                ]
                yield from zip(measured_slices(truths, recipe, person), truths, strict=True)
                continue
            for each in found:
                truth = each.on_network_scale()
                rows, columns = recipe.cropped_shape(*truth.shape)
                yield recipe.apply(truth[:rows, :columns]), truth[:rows, :columns]

    return fit_linear_filter(pairs(), scale=recipe.scale)
