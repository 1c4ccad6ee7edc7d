"""What it costs to tell a network less than the truth, and what --denoise does: for docs/models.md.

    cd experiments
    python telling_table.py --data ../../shared/data/scd --page ../docs/models.md \
        --pictures ../docs/images

On the validation people, at the random setting of each person (`cinesr benchmark`'s `random`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
from cinesr.experiment.benchmark.native import draw_at_heart, native_slices
from cinesr.experiment.benchmark.tables import around_tables, put_tables, table
from cinesr.experiment.pictures import mid_ventricular
from cinesr.imaging.spectrum import acquisition_of_pictures
from cinesr.upscaling.catalogue import find_model
from cinesr.upscaling.engine import Engine
from cinesr.upscaling.telling import recipe_of

MODELS = ("fidelity-x2", "fidelity-x4")
MARKS = ("<!-- told -->", "<!-- /told -->")
DENOISE = (0.0, 0.5, 1.0)
BICUBIC = "bicubic interpolation"

Tell = Callable[[Degradation, Degradation], Degradation]
"""From how a person's slices were made, and how they seem to be, to what the network is told."""


def _keep(recipe: Degradation, by: float) -> Degradation:
    down, across = (float(np.clip(share + by, 0.5, 1.0)) for share in recipe.keep)
    return replace(recipe, keep=(down, across))


def _taper(recipe: Degradation, by: float) -> Degradation:
    name, _, width = recipe.window.partition(":")
    wider = (float(width) if name == "cosine" else 0.0) + by
    return replace(recipe, window=f"cosine:{min(wider, 1.0):.4f}" if wider > 0 else "none")


def _denoised(read: Degradation, share: float) -> Degradation:
    return replace(read, noise=share * read.noise)


TOLD: dict[str, Tell] = {
    "nothing: all of k-space, no window, no noise": lambda true, _: Degradation(
        "scanner", true.scale
    ),
    "the truth": lambda true, _: true,
    "what is read from the person's slices": lambda _, read: read,
    "the same, `--denoise 0.5`": lambda _, read: _denoised(read, 0.5),
    "the same, `--denoise 0`": lambda _, read: _denoised(read, 0.0),
    "shares of k-space 0.1 too large": lambda true, _: _keep(true, 0.1),
    "shares of k-space 0.1 too small": lambda true, _: _keep(true, -0.1),
    "a taper 0.3 too wide": lambda true, _: _taper(true, 0.3),
    "a taper 0.3 too narrow": lambda true, _: _taper(true, -0.3),
    "twice the noise": lambda true, _: replace(true, noise=min(2 * true.noise, 1.0)),
    "no noise": lambda true, _: replace(true, noise=0.0),
    "the recipe `bicubic`": lambda true, _: Degradation("bicubic", true.scale, true.noise),
}


def measure(bench: Bench, model: str) -> dict[str, NDArray[np.float64]]:
    """PSNR of the whole frame and of the body, and LPIPS, for bicubic and each way to tell.

    Means over persons.
    """
    engine = Engine(find_model(model))
    scale = engine.model.scale
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (BICUBIC, *TOLD)}
    for person in people_of(bench.data, bench.split):
        truths = [scanner_truth(each.pixels, scale) for each in slices_of(bench.data, person)]
        true = drawn_recipe(person, scale)
        lows = measured_slices(truths, true, person, scale, "random")
        read = recipe_of(acquisition_of_pictures(lows), scale=scale)
        truths, lows = truths[:: bench.every], lows[:: bench.every]
        plain = [
            resize_bicubic(low, (truth.shape[0], truth.shape[1]))
            for low, truth in zip(lows, truths, strict=True)
        ]
        found[BICUBIC].append(_scores(truths, plain))
        for name, tell in TOLD.items():
            upscale = engine.told(tell(true, read)).run
            found[name].append(_scores(truths, map(upscale, lows)))
    return {name: np.mean(scores, axis=0) for name, scores in found.items()}


def _scores(truths: Iterable[Image], images: Iterable[Image]) -> NDArray[np.float64]:
    rows = []
    for truth, image in zip(truths, images, strict=True):
        shown = np.clip(image, 0, 1)
        whole, body = (
            psnr(truth, shown, data_range=1.0, mask=mask) for mask in (None, body_mask(truth, 1.0))
        )
        rows.append((whole, body, lpips(truth, shown, data_range=1.0)))
    return np.mean(rows, axis=0)


def draw_denoised(bench: Bench, person: str, path: Path) -> None:
    """A native slice at the heart, bicubic and with each share of its noise told."""
    engine = Engine(find_model("fidelity-x2"))
    every, known, _ = native_slices(bench, person)
    image, pool = known[mid_ventricular([float(mask.sum()) for _, mask in known])]
    read = recipe_of(acquisition_of_pictures(every), scale=2)
    panels = {"bicubic": resize_bicubic(image, (2 * image.shape[0], 2 * image.shape[1]))}
    for share in DENOISE:
        panels[f"--denoise {share:g}"] = engine.told(_denoised(read, share)).run(image)
    draw_at_heart(path, panels, pool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--person", default="SC-HF-I-11", help="Whose native slice is drawn.")
    chosen = parser.parse_args()
    around_tables(chosen.page, MARKS)  # Told now, not after all the scoring.
    bench = Bench(chosen.data, "validation", Path("unused"), every=chosen.every)
    draw_denoised(bench, chosen.person, chosen.pictures / "denoise.png")
    results = [measure(bench, model) for model in MODELS]
    rows = []
    for name in (BICUBIC, *TOLD):
        cells = [name]
        for found in results:
            whole, body, _ = found[name] - found[BICUBIC]
            cells += [f"{whole:+.2f}", f"{body:+.2f}", f"{found[name][2]:.3f}"]
        rows.append(cells)
    parts = ("whole frame (dB)", "body (dB)", "LPIPS")
    head = ["the network is told", *(f"`{model}` {part}" for model in MODELS for part in parts)]
    caption = (
        "Gain in PSNR over bicubic interpolation, and LPIPS; five validation people, each at a "
        "random setting:"
    )
    put_tables(chosen.page, f"{caption}\n\n{table(head, rows)}", MARKS)


if __name__ == "__main__":
    main()
