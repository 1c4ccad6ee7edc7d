"""How well acquisitions are read: the tables of docs/acquisition.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from acquisition_reader import DATA, Example, example, taper_width
from numpy.typing import NDArray

from cinesr.degradation import Degradation, random_scanner
from cinesr.experiment.benchmark.tables import put_tables, table
from cinesr.imaging.acquisition import Acquisition
from cinesr.imaging.acquisition_network import METHODS
from cinesr.imaging.files import load
from cinesr.imaging.spectral_features import intensity_range
from cinesr.imaging.spectrum import ReadAcquisition, acquisition_of_pictures, read_acquisition

DRAWS = 200
COUNTS = {"one slice": 1, "4 slices": 4, "all slices of a person": 0}
MEASURES = {"kept share": 3, "taper": 2, "noise": 4}
"""And the decimals with which each is told."""
TAPERS = {"none to 0.3": (0.0, 0.3), "0.3 to 0.7": (0.3, 0.7), "0.7 to 1": (0.7, 1.01)}
NATIVE = (*(f"scd/dicom/SC-HF-I-0{n}" for n in (1, 2, 4, 5, 6)), "pig/short-axis")

Draw = Callable[[np.random.Generator, int], Degradation]


def write_tables(page: Path, seed: int) -> None:
    """Measures, and writes between the page's marks.

    Args:
        page: docs/acquisition.md.
        seed: Of the draws.
    """
    plain, spoiled = {}, {}
    for scale in (2, 4):
        for name, slices in COUNTS.items():
            plain[name, scale] = _errors(seed, slices, scale, clean=True)
            spoiled[name, scale] = _errors(seed, slices, scale, clean=False)
    parts = [
        _error_table(plain),
        _taper_table(plain),
        "The same pictures with what else scanners and exports do (see above):",
        _error_table(spoiled),
        "Which recipe it was, by rows; what was read, by columns (4 slices, x2 and x4):",
        _method_table(seed),
        "Scans as the scanners gave them:",
        _native_table(),
    ]
    put_tables(page, "\n\n".join(parts))


def _plain(generator: np.random.Generator, scale: int) -> Degradation:
    return random_scanner(generator, scale=scale, varied=False)


def _errors(seed: int, slices: int, scale: int, *, clean: bool) -> NDArray[Any]:
    """(draws, 6): errors of keep (mean of both axes), taper, noise; then what was true."""
    rows = []
    for draw in range(DRAWS):
        generator = np.random.default_rng([seed, 2, draw])
        true = example(
            generator, "validation", slices=slices, scale=scale, recipe=_plain, clean=clean
        )
        rows.append(_compared(true, acquisition_of_pictures(true.pictures)))
    print(f"x{scale}, {slices or 'all'} slices, {'plain' if clean else 'spoiled'}", flush=True)
    return np.array(rows)


def _compared(true: Example, read: ReadAcquisition) -> list[float]:
    found, told = read.acquisition, true.recipe.acquisition
    keep = float(np.mean(np.abs(np.array(found.keep) - told.keep)))
    noise = told.noise / intensity_range(true.pictures)
    taper = taper_width(told)
    error = abs(taper_width(found) - taper), abs(found.noise - noise)
    return [keep, *error, float(told.keep[0]), taper, noise]


def _error_table(errors: dict[tuple[str, int], NDArray[Any]]) -> str:
    head = ["", *(f"{name}, x{scale}" for scale in (2, 4) for name in MEASURES)]
    rows = [
        [name, *(cell for scale in (2, 4) for cell in _cells(errors[name, scale]))]
        for name in COUNTS
    ]
    guesses = [cell for scale in (2, 4) for cell in _guesses(errors["one slice", scale])]
    return table(head, [*rows, ["*always the middle*", *guesses]])


def _guesses(rows: NDArray[Any]) -> list[str]:
    """What the errors were if the usual values were told each time."""
    true = rows[:, 3:]
    return _cells(np.abs(true - np.median(true, axis=0)))


def _cells(rows: NDArray[Any]) -> list[str]:
    means = rows.mean(axis=0)[: len(MEASURES)]
    return [f"{mean:.{digits}f}" for mean, digits in zip(means, MEASURES.values(), strict=True)]


def _taper_table(errors: dict[tuple[str, int], NDArray[Any]]) -> str:
    head = [f"taper {name}, x{scale}" for scale in (2, 4) for name in TAPERS]
    lines = []
    for name in COUNTS:
        cells = []
        for scale in (2, 4):
            rows = errors[name, scale]
            for low, high in TAPERS.values():
                chosen = (rows[:, 4] >= low) & (rows[:, 4] < high)
                cells.append(f"{rows[chosen, 0].mean():.3f}")
        lines.append([name, *cells])
    return table(["error of the kept share", *head], lines)


def _method_table(seed: int) -> str:
    lines = []
    for method in (*METHODS, "kspace"):
        read: Counter[str] = Counter()
        for draw in range(DRAWS // 2):
            generator = np.random.default_rng([seed, 3, draw])
            noise = generator.uniform(0, 0.025) if generator.random() < 0.5 else 0.0

            def recipe(
                generator: np.random.Generator, scale: int, name: str = method, noise: float = noise
            ) -> Degradation:
                if name == "hamming":
                    return replace(_plain(generator, scale), window=name)
                paper = Degradation(name, scale, noise)
                return _plain(generator, scale) if name == "scanner" else paper

            true = example(generator, "validation", slices=4, recipe=recipe, clean=True)
            found = acquisition_of_pictures(true.pictures)
            read["hamming" if found.acquisition.window == "hamming" else found.method] += 1
        lines.append([method, *(str(read[name]) for name in METHODS)])
    return table(["", *METHODS], lines)


def _native_table() -> str:
    head = ["", "header: frequency x phase", "kept, by the header", "by the pixels alone"]
    lines = []
    for name in NATIVE:
        cine = load(DATA / name)
        matrix = cine.measured
        if matrix is None:
            raise SystemExit(f"{name}: the header says nothing of its matrix")
        told = read_acquisition(cine)
        pixels = read_acquisition(replace(cine, measured=None))
        along = ("down the rows", "across the columns")[matrix.phase_axis]
        words = f"{matrix.frequency} x {matrix.phase}, phase {along}"
        how = f"{told.acquisition.window}, {100 * told.acquisition.noise:.1f} %"
        kept = [_kept(told.acquisition), _pixels(pixels)]
        lines.append([Path(name).name, words, *kept, how])
    return table([*head, "window and noise"], lines)


def _kept(acquisition: Acquisition) -> str:
    return " x ".join(f"{share:.2f}" for share in acquisition.keep)


def _pixels(found: ReadAcquisition) -> str:
    words = _kept(found.acquisition)
    return words if found.method == "scanner" else f"{words} (taken for `{found.method}`)"
