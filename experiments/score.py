"""Scores models on people they have not seen, under every degradation: the cross table.

    python experiments/score.py ../shared/data/scd -o docs/scores --page docs/models.md --stamp

Four parts, each beside bicubic interpolation:

slices    the 8-bit slices of the split's people, beside the best linear filter as well, which is
          fitted on the train split for each degradation. Data range: the slice's maximum.
dicom     every tenth 16-bit frame of those who have DICOM. Data range: the cine's maximum.
          `--every` takes fewer of both.
public    how public networks are measured: Pillow's bicubic on values / 255, every fifth slice of
          a person by name, results clipped to [0, 1], data range 1, means over slices.
constant  the largest deviation from a constant image, 8 to 65 pixels wide.

Slices of a person are averaged first; the intervals resample persons. For each model a JSON file
with everything is left in the output folder, and Markdown tables of all that lie there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from scipy.ndimage import gaussian_filter
from score_tables import PUBLIC_METHODS, around_tables, public_check, write_tables

from cinesr.degradation import BLUR_SIGMA, METHODS, Degradation, resize_bicubic
from cinesr.evaluation.confidence import bootstrap_interval
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import body_mask, checkerboard_index, psnr, ssim
from cinesr.experiment.baseline import LinearFilter, fit_linear_filter
from cinesr.experiment.scoring import Box, heart_box, own_checkerboard
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import open_cines, staged
from cinesr.upscaling.catalogue import SHIPPED_MODELS, Model, find_model, read_model
from cinesr.upscaling.engine import Engine
from cinesr.upscaling.preview import write_preview

Image = NDArray[np.float32]
Row = dict[str, Any]
Task = tuple[str, Path, str, tuple[Path, ...], int]
"""Part, data folder, person, files of the models, every how many frames."""

PARTS = ("slices", "dicom", "public", "constant")
BICUBIC, LINEAR = "bicubic", "linear"
DICOM_STEP = 10
PUBLIC_STEP = 5
CONSTANT_SIZES = range(8, 66)
CONSTANT_LEVELS = (0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="holds slices/, masks/, dicom/ and splits.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--models", nargs="*", help="names or files, none for bicubic; all shipped")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--people", type=int, help="only so many of the split")
    parser.add_argument("--every", type=int, default=1, help="score only every so many frames")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--page", type=Path, help="put the tables between this page's marks")
    parser.add_argument("--stamp", action="store_true", help="put the results into the models")
    parser.add_argument("--picture", type=Path, help="only draw this slice, as comparison.png")
    arguments = parser.parse_args()
    if arguments.page:
        around_tables(arguments.page)  # Told now, not after hours of scoring.
    models = chosen_models(arguments.models)
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.picture:
        draw(arguments.picture, arguments.output / "comparison.png", Engine(models[0]))
        return
    splits = json.loads((arguments.data / "splits.json").read_text(encoding="utf-8"))
    people = splits[arguments.split][: arguments.people]
    files = tuple(model.path for model in models)
    tasks: list[Task] = [
        (part, arguments.data, name, files, arguments.every)
        for part in arguments.parts
        for name in (people if part != "constant" else [""])
    ]
    rows = run_tasks(tasks, jobs=arguments.jobs)
    facts = {"split": arguments.split, "people": people}
    for name, scale in [(model.name, model.scale) for model in models] or [(BICUBIC, 4)]:
        results = {"model": name, "scale": scale, **facts, **summarise(rows, name, scale)}
        target = arguments.output / f"{name}.{arguments.split}.json"
        with staged(target, overwrite=True) as part:
            part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        if arguments.stamp:
            stamp([model.path for model in models if model.name == name], results)
    write_tables(arguments.output, arguments.split, page=arguments.page)
    if "public" in arguments.parts and people == splits["test"]:
        print(public_check(rows), file=sys.stderr)


def chosen_models(names: list[str] | None) -> list[Model]:
    """The named ones; every shipped one where none is named."""
    if names is None:
        return [read_model(path) for path in sorted(SHIPPED_MODELS.glob("*.onnx"))]
    return [find_model(name) for name in names]


def run_tasks(tasks: list[Task], *, jobs: int) -> list[Row]:
    """The rows of all tasks, a person at a time in each process."""
    # Several processes of several threads each would wait for each other.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    rows: list[Row] = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done, (task, found) in enumerate(zip(tasks, pool.map(score, tasks), strict=True), 1):
            print(f"{done} of {len(tasks)}: {task[0]} {task[2]}", file=sys.stderr)
            rows += found
    return rows


def score(task: Task) -> list[Row]:
    """What one part finds of one person."""
    part, data, person, files, every = task
    engines = [engine(path) for path in files]
    if part == "constant":
        return [{"part": part, "who": each.model.name, **constant(each)} for each in engines]
    if part == "public":
        found = public(data, person, engines)
    else:
        found = {"slices": slices, "dicom": dicom}[part](data, person, engines, every=every)
    return [{"part": part, "person": person, **row} for row in found]


@lru_cache
def engine(path: Path) -> Engine:
    return Engine(read_model(path), threads=1)


def slices(data: Path, person: str, engines: list[Engine], *, every: int) -> Iterator[Row]:
    """The 8-bit slices of a person."""
    for cine in list(open_cines(data / "slices" / person))[::every]:
        truth = IntensityRule.of(cine).apply(cine.frame(0, 0))
        heart = None
        if (mask := data / "masks" / person / cine.name).exists():
            heart = heart_box(open_cines(mask)[0].frame(0, 0))
        brightest = float(truth.max())
        yield from compare(truth, engines, data_range=brightest, heart=heart, learned=data)


@lru_cache
def linear_filter(data: Path, method: str, scale: int) -> LinearFilter:
    """The best linear filter for a degradation, from all slices of the train split."""
    recipe = Degradation(method, scale)
    people = json.loads((data / "splits.json").read_text(encoding="utf-8"))["train"]

    def pairs() -> Iterator[tuple[Image, Image]]:
        for cine in (cine for name in people for cine in open_cines(data / "slices" / name)):
            truth = IntensityRule.of(cine).apply(cine.frame(0, 0))
            rows, columns = recipe.cropped_shape(*truth.shape)
            yield recipe.apply(truth[:rows, :columns]), truth[:rows, :columns]

    return fit_linear_filter(pairs(), scale=scale)


def dicom(data: Path, person: str, engines: list[Engine], *, every: int) -> Iterator[Row]:
    """Every tenth 16-bit frame of a person, or fewer, if there are any."""
    folder = data / "dicom" / person
    for cine in open_cines(folder) if folder.is_dir() else []:
        rule = IntensityRule.of(cine)
        data_range = float(rule.apply(np.array(rule.maximum)))
        places = np.ndindex(*cine.shape[:2])
        for time, slice_index in list(places)[:: DICOM_STEP * every]:
            truth = rule.apply(cine.frame(time, slice_index))
            yield from compare(truth, engines, data_range=data_range, heart=None)


def compare(
    truth: Image,
    engines: list[Engine],
    *,
    data_range: float,
    heart: Box | None,
    learned: Path | None = None,
) -> Iterator[Row]:
    """The baselines and every model on a slice, under every degradation at the models' scales."""
    for scale in sorted({each.model.scale for each in engines} or {4}):
        fitting = [each for each in engines if each.model.scale == scale]
        for method in METHODS:
            recipe = Degradation(method, scale)
            rows, columns = recipe.cropped_shape(*truth.shape)
            whole = truth[:rows, :columns]
            low = recipe.apply(whole)
            results = {BICUBIC: resize_bicubic(low, (rows, columns))}
            if learned:
                results[LINEAR] = linear_filter(learned, method, scale).apply(low)
            results |= {each.model.name: each.run(low) for each in fitting}
            for who, image in results.items():
                found = measures(whole, image, data_range=data_range, heart=heart)
                yield {"scale": scale, "degradation": method, "who": who, **found}


def measures(
    truth: Image, image: Image, *, data_range: float, heart: Box | None
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


def public(data: Path, person: str, engines: list[Engine]) -> Iterator[Row]:
    """Every fifth slice of a person, as public networks are measured."""
    for path in sorted((data / "slices" / person).glob("*.png"))[::PUBLIC_STEP]:
        with Pictures.open(path) as picture:
            truth = np.asarray(picture, dtype=np.float32) / 255
        body = body_mask(truth, 1.0)
        for scale in sorted({each.model.scale for each in engines} or {4}):
            for method in PUBLIC_METHODS:
                low = pillow_degraded(truth, method, scale)
                results = {BICUBIC: pillow_resized(low, (truth.shape[0], truth.shape[1]))}
                results |= {
                    each.model.name: each.run(low) for each in engines if each.model.scale == scale
                }
                for who, image in results.items():
                    shown = np.clip(image, 0, 1)
                    yield {
                        "scale": scale,
                        "degradation": method,
                        "who": who,
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


def constant(network: Engine) -> dict[str, Any]:
    """The largest deviation from a constant image, as a share of its value, and at which size."""
    found = [
        (
            float(np.abs(network.run(np.full((size, size), level, np.float32)) / level - 1).max()),
            size,
        )
        for size in CONSTANT_SIZES
        for level in CONSTANT_LEVELS
    ]
    largest, size = max(found)
    return {"largest_deviation": largest, "at_size": size}


def summarise(rows: list[Row], who: str, scale: int) -> dict[str, Any]:
    """One model's results: part, degradation, measure, and there baselines, the model, margins."""
    results: dict[str, Any] = {}
    for part in PARTS:
        mine = [row for row in rows if row["part"] == part and row["who"] == who]
        if part == "constant":
            for row in mine:
                results[part] = {key: row[key] for key in ("largest_deviation", "at_size")}
            continue
        here = [row for row in rows if (row["part"], row.get("scale")) == (part, scale)]
        for method in dict.fromkeys(row["degradation"] for row in mine if row["scale"] == scale):
            found = {
                column: [row for row in here if (row["degradation"], row["who"]) == (method, name)]
                for column, name in ((BICUBIC, BICUBIC), (LINEAR, LINEAR), ("model", who))
            }
            sides = {column: side for column, side in found.items() if side}
            names = dict.fromkeys(
                key for row in sides["model"] for key in row if key not in _LABELS
            )
            gather = over_slices if part == "public" else over_people
            results.setdefault(part, {})[method] = {
                measure: gather(sides, measure) for measure in names
            } | {
                "slices": len(sides["model"]),
                "people": len({row["person"] for row in sides["model"]}),
            }
    return results


_LABELS = ("part", "person", "scale", "degradation", "who")


def over_people(sides: dict[str, list[Row]], measure: str) -> dict[str, Any]:
    """Means over persons with their 95 % intervals, where there are two persons or more."""
    columns = {}
    for column, side in sides.items():
        by_person: dict[str, list[float]] = {}
        for row in side:
            if measure in row:
                by_person.setdefault(row["person"], []).append(row[measure])
        columns[column] = np.array([np.mean(values) for values in by_person.values()])
    return {key: interval(values) for key, values in with_margins(columns).items()}


def with_margins(columns: dict[str, Any]) -> dict[str, Any]:
    """The columns, and what the model has over each baseline."""
    names = {BICUBIC: "margin", LINEAR: "margin_over_linear"}
    margins = {
        name: columns["model"] - columns[base] for base, name in names.items() if base in columns
    }
    return columns | margins


def interval(values: NDArray[np.float64]) -> dict[str, float | None]:
    if len(values) < 2:
        return {"mean": float(values.mean()), "low": None, "high": None}
    return vars(bootstrap_interval(values.tolist()))


def over_slices(sides: dict[str, list[Row]], measure: str) -> dict[str, Any]:
    """Means over slices, which is how public networks are reported."""
    columns = {
        column: float(np.mean([row[measure] for row in side])) for column, side in sides.items()
    }
    return {key: {"mean": value} for key, value in with_margins(columns).items()}


def stamp(files: list[Path], results: dict[str, Any]) -> None:
    """Puts the results into the cards of models."""
    from cinesr.learning import require_training_packages

    require_training_packages()
    from cinesr.learning.stamp import stamp_results

    for path in files:
        stamp_results(path, results)


def draw(slice_file: Path, path: Path, network: Engine, *, method: str = "kspace") -> None:
    """Draws one slice: low resolution, bicubic, the model, the truth."""
    (cine,) = open_cines(slice_file)
    truth = IntensityRule.of(cine).apply(cine.frame(0, 0))
    low = Degradation(method, network.model.scale).apply(truth)
    bicubic = resize_bicubic(low, (truth.shape[0], truth.shape[1]))
    write_preview(
        path,
        [
            ("low resolution", low),
            ("bicubic", bicubic),
            (network.model.name, network.run(low)),
            ("truth", truth),
        ],
    )


if __name__ == "__main__":
    main()
