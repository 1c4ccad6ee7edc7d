"""What it costs to tell a network less than the truth, and what --denoise does: for docs/models.md.

    python telling_table.py --data ../../shared/data/scd --page ../docs/models.md \
        --pictures ../docs/images

On the validation people, at the random setting of each person (`cinesr benchmark`'s `random`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cinesr.degradation import Degradation, resize_bicubic
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import body_mask, psnr
from cinesr.experiment.benchmark.bench import (
    Bench,
    Image,
    drawn_recipe,
    measured_slices,
    people_of,
    scanner_truth,
    slices_of,
)
from cinesr.experiment.benchmark.native import native_slices
from cinesr.experiment.benchmark.tables import table
from cinesr.experiment.figures import draw_panels
from cinesr.experiment.pictures import mid_ventricular
from cinesr.experiment.scoring import heart_box
from cinesr.imaging.spectrum import acquisition_of_pictures
from cinesr.imaging.staging import staged
from cinesr.upscaling.catalogue import find_model
from cinesr.upscaling.engine import Engine
from cinesr.upscaling.telling import recipe_of

MODELS = ("fidelity-x2", "fidelity-x4")
MARKS = ("<!-- told -->", "<!-- /told -->")
DENOISE = (0.0, 0.5, 1.0)

Tell = Callable[[Degradation, Degradation], Degradation]
"""From how a person's slices were made, and how they seem to be, to what the network is told."""


def _keep(recipe: Degradation, by: float) -> Degradation:
    down, across = (float(np.clip(share + by, 0.5, 1.0)) for share in recipe.keep)
    return replace(recipe, keep=(down, across))


def _taper(recipe: Degradation, by: float) -> Degradation:
    name, _, width = recipe.window.partition(":")
    wider = (float(width) if name == "cosine" else 0.0) + by
    return replace(recipe, window=f"cosine:{min(wider, 1.0):.4f}" if wider > 0 else "none")


TOLD: dict[str, Tell] = {
    "nothing: all of k-space, no window, no noise": lambda true, _: Degradation(
        "scanner", true.scale
    ),
    "the truth": lambda true, _: true,
    "what is read from the person's slices": lambda _, read: read,
    "shares of k-space 0.1 too large": lambda true, _: _keep(true, 0.1),
    "shares of k-space 0.1 too small": lambda true, _: _keep(true, -0.1),
    "a taper 0.3 too wide": lambda true, _: _taper(true, 0.3),
    "a taper 0.3 too narrow": lambda true, _: _taper(true, -0.3),
    "twice the noise": lambda true, _: replace(true, noise=min(2 * true.noise, 1.0)),
    "no noise": lambda true, _: replace(true, noise=0.0),
    "the recipe `bicubic`": lambda true, _: Degradation("bicubic", true.scale, true.noise),
}
TOLD_NOISE: dict[str, Tell] = {
    f"`--denoise {share:g}`": lambda _, read, share=share: replace(read, noise=share * read.noise)  # type: ignore[misc]
    for share in DENOISE
}


def measure(bench: Bench, model: str, told: dict[str, Tell]) -> dict[str, list[float]]:
    """Gains over bicubic in PSNR, whole frame and body, and LPIPS: means over persons."""
    engine = Engine(find_model(model))
    scale = engine.model.scale
    found: dict[str, list[list[float]]] = {name: [] for name in told}
    for person in people_of(bench.data, bench.split):
        truths = [scanner_truth(each.pixels, scale) for each in slices_of(bench.data, person)]
        true = drawn_recipe(person, scale)
        lows = measured_slices(truths, true, person, scale, "random")
        seen = acquisition_of_pictures(lows)
        read = recipe_of(seen.acquisition, seen.method, scale=scale)
        pairs = list(zip(truths, lows, strict=True))[:: bench.every]
        for name, tell in told.items():
            upscale = engine.told(tell(true, read)).run
            found[name].append(np.mean([_gain(*pair, upscale) for pair in pairs], axis=0).tolist())
    return {name: np.mean(values, axis=0).tolist() for name, values in found.items()}


def _gain(truth: Image, low: Image, upscale: Callable[[Image], Image]) -> list[float]:
    image = np.clip(upscale(low), 0, 1)
    plain = np.clip(resize_bicubic(low, (truth.shape[0], truth.shape[1])), 0, 1)
    body = body_mask(truth, 1.0)

    def gain(mask: Image | None) -> float:
        scores = [psnr(truth, each, data_range=1.0, mask=mask) for each in (image, plain)]
        return scores[0] - scores[1]

    return [gain(None), gain(body), lpips(truth, image, data_range=1.0)]


def draw_denoised(bench: Bench, person: str, path: Path) -> None:
    """A native slice at the heart, bicubic and with each share of its noise told."""
    engine = Engine(find_model("fidelity-x2"))
    every, known, _ = native_slices(bench, person)
    image, pool = known[mid_ventricular([float(mask.sum()) for _, mask in known])]
    seen = acquisition_of_pictures(every)
    read = recipe_of(seen.acquisition, seen.method, scale=2)
    box = heart_box(pool)
    assert box is not None
    rows, columns = (slice(2 * part.start, 2 * part.stop) for part in box)
    panels = {"bicubic": resize_bicubic(image, (2 * image.shape[0], 2 * image.shape[1]))}
    for share in DENOISE:
        told = replace(read, noise=share * read.noise)
        panels[f"--denoise {share:g}"] = engine.told(told).run(image)
    low, high = (float(np.percentile(image[box], share)) for share in (0.5, 99.5))
    cut = {name: panel[rows, columns] for name, panel in panels.items()}
    draw_panels(path, cut, limits=(low, high))


def _rows(results: Sequence[dict[str, list[float]]], *, with_lpips: bool) -> list[list[str]]:
    rows = []
    for name in results[0]:
        cells = [name]
        for each in results:
            whole, body, distance = each[name]
            cells += [f"{whole:+.2f}", f"{body:+.2f}", *([f"{distance:.3f}"] * with_lpips)]
        rows.append(cells)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--person", default="SC-HF-I-11", help="Whose native slice is drawn.")
    chosen = parser.parse_args()
    bench = Bench(chosen.data, "validation", Path("unused"), every=chosen.every)
    told = [measure(bench, model, TOLD) for model in MODELS]
    noise = [measure(bench, model, TOLD_NOISE) for model in MODELS]
    draw_denoised(bench, chosen.person, chosen.pictures / "denoise.png")
    parts = ["whole frame (dB)", "body (dB)"]
    head = [f"`{model}` {part}" for model in MODELS for part in parts]
    long = [f"`{model}` {part}" for model in MODELS for part in (*parts, "LPIPS")]
    text = "\n\n".join(
        [
            MARKS[0],
            "Gain over bicubic interpolation, five validation people, each at a random setting:",
            table(["the network is told", *head], _rows(told, with_lpips=False)),
            "The same with a share of the noise that is read (`--denoise`):",
            table(["", *long], _rows(noise, with_lpips=True)),
            MARKS[1],
        ]
    )
    page = chosen.page.read_text(encoding="utf-8")
    before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
    with staged(chosen.page, overwrite=True) as part:
        part.write_text(before + text + after, encoding="utf-8")


if __name__ == "__main__":
    main()
