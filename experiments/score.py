"""Scores a shipped model on the test people of the Sunnybrook data, and draws the README's picture.

    python experiments/score.py ../shared/data/scd -o docs

Every slice of every test person is degraded by each recipe and brought back by bicubic
interpolation and by the model. Slices of a person are averaged first; the intervals resample
persons. The data range is the reference slice's maximum.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.degradation import METHODS, Degradation, resize_bicubic
from cinesr.evaluation.confidence import bootstrap_interval
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import body_mask, psnr, ssim
from cinesr.imaging.cine import IntensityRule
from cinesr.imaging.files import open_cines
from cinesr.upscaling.catalogue import find_model
from cinesr.upscaling.engine import Engine
from cinesr.upscaling.preview import write_preview

Image = NDArray[np.float32]
MEASURES = ("psnr", "psnr_body", "psnr_heart", "ssim", "lpips")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="holds slices/, masks/ and splits.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--model", help="a name or file; the default model if not given")
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("--picture", type=Path, help="only draw this slice, as comparison.png")
    arguments = parser.parse_args()
    model = find_model(arguments.model)
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.picture:
        draw(arguments.picture, arguments.output / "comparison.png", Engine(model))
        return
    people = json.loads((arguments.data / "splits.json").read_text())[arguments.split]
    start = time.perf_counter()
    engine = Engine(model)
    rows = [row for name in people for row in score_person(arguments.data, name, engine)]
    results = summarise(rows, model.name, list(people))
    results["seconds"] = time.perf_counter() - start
    target = arguments.output / f"{model.name}.{arguments.split}.json"
    target.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


def score_person(data: Path, name: str, engine: Engine) -> list[dict[str, Any]]:
    """The measures of each slice, degradation and method of one person."""
    rows = []
    for cine in open_cines(data / "slices" / name):
        reference = IntensityRule.of(cine).apply(cine.frame(0, 0))
        heart = None
        if (mask_file := data / "masks" / name / cine.name).exists():
            heart = heart_region(open_cines(mask_file)[0].frame(0, 0) > 0)
        for method in METHODS:
            low = Degradation(method, engine.model.scale).apply(reference)
            results = {
                "bicubic": resize_bicubic(low, (reference.shape[0], reference.shape[1])),
                engine.model.name: engine.run(low),
            }
            for who, image in results.items():
                found = measures(reference, image, heart)
                rows.append({"person": name, "degradation": method, "method": who, **found})
    return rows


def heart_region(blood_pool: NDArray[np.bool_], margin: int = 24) -> NDArray[np.bool_] | None:
    """The box around the left ventricle's blood pool, with the muscle and the right ventricle."""
    places = np.argwhere(blood_pool)
    if not len(places):
        return None
    region = np.zeros(blood_pool.shape, bool)
    (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
    region[
        max(top - margin, 0) : bottom + margin + 1, max(left - margin, 0) : right + margin + 1
    ] = 1
    return region


def measures(
    reference: Image, image: Image, heart: NDArray[np.bool_] | None
) -> dict[str, float | None]:
    """What is reported of one slice."""
    data_range = float(reference.max())
    body = body_mask(reference, data_range)
    return {
        "psnr": psnr(reference, image, data_range=data_range),
        "psnr_body": psnr(reference, image, data_range=data_range, mask=body),
        "psnr_heart": None
        if heart is None
        else psnr(reference, image, data_range=data_range, mask=heart),
        "ssim": ssim(reference, image, data_range=data_range),
        "lpips": lpips(reference, image, data_range=data_range),
    }


def summarise(rows: list[dict[str, Any]], model: str, people: list[str]) -> dict[str, Any]:
    """Means over persons with their intervals, for each method and for the model's margin."""

    def by_person(method: str, who: str, measure: str) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for row in rows:
            if (row["degradation"], row["method"]) == (method, who) and row[measure] is not None:
                found.setdefault(row["person"], []).append(row[measure])
        return found

    results: dict[str, Any] = {}
    for method in METHODS:
        results[method] = {}
        for measure in MEASURES:
            bicubic, ours = (by_person(method, who, measure) for who in ("bicubic", model))
            margin = [np.mean(ours[name]) - np.mean(bicubic[name]) for name in ours]
            results[method][measure] = {
                "bicubic": vars(bootstrap_interval(bicubic)),
                model: vars(bootstrap_interval(ours)),
                "margin": vars(bootstrap_interval([float(value) for value in margin])),
            }
    slices = len(rows) // (2 * len(METHODS))
    return {"model": model, "people": people, "slices": slices, "results": results}


def table(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    model = results["model"]
    lines = [
        "| degradation | PSNR bicubic | PSNR model | margin, dB (95 %) | body margin, dB (95 %) "
        "| heart margin, dB (95 %) | SSIM bicubic / model | LPIPS bicubic / model |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method, found in results["results"].items():
        margins = [
            "{mean:+.2f} ({low:.2f} to {high:.2f})".format(**found[measure]["margin"])
            for measure in ("psnr", "psnr_body", "psnr_heart")
        ]
        pairs = [
            f"{found[measure]['bicubic']['mean']:.3f} / {found[measure][model]['mean']:.3f}"
            for measure in ("ssim", "lpips")
        ]
        levels = [f"{found['psnr'][who]['mean']:.2f}" for who in ("bicubic", model)]
        lines.append("| " + " | ".join([method, *levels, *margins, *pairs]) + " |")
    return "\n".join(lines)


def draw(slice_file: Path, path: Path, engine: Engine, *, method: str = "kspace") -> None:
    """Draws one slice: low resolution, bicubic, the model, the truth."""
    (cine,) = open_cines(slice_file)
    truth = IntensityRule.of(cine).apply(cine.frame(0, 0))
    low = Degradation(method, engine.model.scale).apply(truth)
    bicubic = resize_bicubic(low, (truth.shape[0], truth.shape[1]))
    write_preview(
        path,
        [
            ("low resolution", low),
            ("bicubic", bicubic),
            (engine.model.name, engine.run(low)),
            ("truth", truth),
        ],
    )


if __name__ == "__main__":
    main()
