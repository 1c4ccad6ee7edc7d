"""Whether a model's card covers an image: what it learned from, beside what is at hand.

A network predicts well what resembles its training. Elsewhere it still gives a picture, so that
somebody has to say it. Each warning is one sentence with what to do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cinesr.degradation import BLUR_SIGMA
from cinesr.imaging.cine import Cine, Derivation
from cinesr.imaging.history import Step, last_step
from cinesr.imaging.records import RECORD, companions
from cinesr.upscaling.catalogue import DEFAULT_MODELS, Model
from cinesr.upscaling.telling import Told

TOLERANCE = 0.1
"""Spacing is rounded in files, and people of one scan protocol differ by as much."""


def not_covered(model: Model, cine: Cine, told: Told | None = None) -> list[str]:
    """What of an image lies outside of what a model's card covers; empty where all is well.

    Args:
        model: Its card says spacing, degradations and scale; what it does not say warns of nothing.
        cine: The input.
        told: What the network was told of the acquisition, if it is told anything.
    """
    step = last_step(cine)
    methods = tuple((model.card.get("degradation") or {}).get("methods") or ())
    return [*_spacing(model, cine, told), *_history(model, methods, step), *_blur(methods, step)]


def _spacing(model: Model, cine: Cine, told: Told | None) -> list[str]:
    learned = (model.card.get("data") or {}).get("spacing_mm") or ()
    # Cards of earlier versions hold the spacing of the targets alone.
    meant = model.card.get("input_spacing_mm") or [end * model.scale for end in learned]
    if not meant or not cine.geometry.is_known:
        return []
    low, high = meant
    # Pixels that a scanner interpolated are finer than what they show: that is what counts.
    keep = told.recipe.keep if told is not None else (1.0, 1.0)
    column_mm, row_mm, _ = cine.geometry.spacing_mm
    sizes = row_mm / keep[0], column_mm / keep[1]
    here = _span(min(sizes), max(sizes))
    shown = here if told is None else f"{here} (shown as {_span(*sorted((row_mm, column_mm)))})"
    if min(sizes) < low * (1 - TOLERANCE):
        known, reached = (
            _span(*(end / model.scale for end in ends)) for ends in ((low, high), sorted(sizes))
        )
        return [
            f"{model.name} learned to go from {_span(low, high)} pixels to {known}; here "
            f"it goes from {shown} to {reached}, finer than anything it has seen, so take its "
            "detail for an extrapolation and trust none that the input does not show"
        ]
    if max(column_mm, row_mm) > high * (1 + TOLERANCE):
        return [
            f"{model.name} learned from {_span(low, high)} pixels, finer than the {shown} here: "
            "compare the result with bicubic interpolation before you use it"
        ]
    return []


def _span(low: float, high: float) -> str:
    return f"{low:.2g} mm" if high - low < 0.05 * high else f"{low:.2g}-{high:.2g} mm"


def _history(model: Model, methods: tuple[str, ...], step: Step | None) -> list[str]:
    if step is None:
        return []
    if not step.method:
        return [
            f"the input is itself a result of cinesr (super-resolved x{step.scale}), whose detail "
            "is predicted: upscale the original scan instead"
        ]
    found = []
    if step.scale != model.scale:
        found.append(
            f"the input was degraded to 1/{step.scale} and {model.name} goes up by {model.scale}: "
            f"choose a model of scale {step.scale} with --scale {step.scale}"
        )
    if methods and step.method not in methods:
        found.append(
            f"the input was degraded by {step.method}, and {model.name} learned only "
            f"{', '.join(methods)}: choose a model that learned {step.method}, as `cinesr models` "
            "lists them"
        )
    return found


def _blur(methods: tuple[str, ...], step: Step | None) -> list[str]:
    if methods != ("thesis",) or (step is not None and step.method == "thesis"):
        return []
    return [
        f"this model inverts a blur (sigma {BLUR_SIGMA:.1f} low-resolution pixels) that a real "
        f"scan has not; expect overshoot; use {' or '.join(DEFAULT_MODELS.values())} for scans"
    ]


def recorded_result(source: Path) -> Derivation | None:
    """How a result was made whose own file cannot say so, as NPY: from the record of its run.

    Args:
        source: A file, beside which `<stem>.run.json` may stand, or a folder, which may hold
            `run.json`.
    """
    record = source / RECORD if source.is_dir() else companions(source)[0]
    try:
        run: Any = json.loads(record.read_text(encoding="utf-8"))
        # A record of something else may stand here too: of the demo, of another file's result.
        is_of_source = Path(run["output"]).name == source.name
        derivation = Derivation(f"super-resolved x{run['scale']:d}", f"by {run['tool']}")
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return derivation if is_of_source else None
