"""Series held against one another: a result against its input, and against a ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cinesr.degradation import Degradation
from cinesr.errors import UnfitImageError
from cinesr.evaluation.lpips import lpips
from cinesr.evaluation.metrics import evaluate, psnr, ssim
from cinesr.evaluation.pairing import crop_to_candidate
from cinesr.viewer.errors import RequestError
from cinesr.viewer.frames import Encoding, Place
from cinesr.viewer.jobs import Job
from cinesr.viewer.series import Series
from cinesr.viewer.store import Store

MOST_FRAMES = 32
"""Of a consistency that is asked for at once: its figure goes ahead of the frames."""
ZERO_LEVEL = 2**15
REACH = 4.0
"""A difference of so many times the input's range still travels unclipped."""


@dataclass(frozen=True)
class Consistency:
    """How a result, degraded again, differs from its input.

    Args:
        raw: Differences, (frame, row, column) on the input's grid, as they travel.
        encoding: Back to stored values; no difference is exactly `ZERO_LEVEL`.
        rms_percent: Over these frames, in percent of the input's range.
    """

    raw: bytes
    shape: tuple[int, int]
    encoding: Encoding
    rms_percent: float


def consistency(store: Store, series: Series, places: Sequence[Place]) -> Consistency:
    """Degrades frames of a result by the method that its model learned, and takes away the input.

    Args:
        store: Holds the input.
        series: A result, or a bicubic enlargement.
        places: Which frames.

    Raises:
        RequestError: The series was not made from another, or too many frames.
        UnfitImageError: The input holds NaN or Inf.
    """
    if series.origin is None:
        raise RequestError(f"{series.cine.name} was not made from another series.", status=404)
    if len(places) > MOST_FRAMES:
        raise RequestError(f"{len(places)} frames at once; expected at most {MOST_FRAMES}.")
    parent = store.get(series.origin.parent)
    recipe = Degradation(series.origin.method, series.origin.scale)
    rule = parent.rule
    slope = REACH * (rule.maximum - rule.minimum) / ZERO_LEVEL
    encoding = Encoding(slope, -ZERO_LEVEL * slope)
    parts, squares = [], []
    for place in places:
        again = recipe.apply(series.cine.frame(*place).astype(np.float64))
        difference = again - parent.cine.frame(*place)
        squares.append(float(np.mean(np.square(difference))))
        parts.append(encoding.encode(difference))
    rms = math.sqrt(sum(squares) / len(squares))
    return Consistency(
        b"".join(parts),
        parent.cine.shape[2:],
        encoding,
        100.0 * rms / (rule.high - rule.low),
    )


def compare_frame(reference: Series, candidate: Series, place: Place) -> dict[str, float | None]:
    """PSNR, SSIM and LPIPS of one frame, as `cinesr.evaluate` takes them.

    Args:
        reference: What the candidate should look like; its largest value counts as white.
        candidate: On the same grid.
        place: Which frame.

    Raises:
        UnfitImageError: The two do not fit, or a frame holds NaN or Inf.
    """
    cropped, _ = crop_to_candidate(reference.cine, candidate.cine)
    slope, intercept = reference.cine.rescaling
    data_range = intercept + max(slope * reference.rule.maximum, slope * reference.rule.minimum)
    if data_range <= 0:
        raise UnfitImageError(
            f"{reference.cine.name}: no pixel is above 0; expected a picture as the reference."
        )
    ours, theirs = (cine.real_frame(*place) for cine in (cropped, candidate.cine))
    agreement = psnr(ours, theirs, data_range=data_range)
    try:
        distance = lpips(ours, theirs, data_range=data_range)
    except UnfitImageError:
        distance = None
    return {
        # JSON has no infinity: identical frames have an SSIM of 1 beside no PSNR.
        "psnr": agreement if math.isfinite(agreement) else None,
        "ssim": ssim(ours, theirs, data_range=data_range),
        "lpips": distance,
    }


def compare_series(reference: Series, candidate: Series, job: Job) -> dict[str, Any]:
    """The means of all measures over all frames, as `cinesr.evaluate` takes them.

    Args:
        reference: What the candidate should look like.
        candidate: On the same grid.
        job: That is told of the progress, and may end the work.

    Raises:
        CancelledError: By the job.
        UnfitImageError: The two do not fit, or a frame holds NaN or Inf.
    """
    found = evaluate(reference.cine, candidate.cine, progress=job.progress).to_dict()
    mean = found["mean"]
    return {
        "reference": reference.id,
        "candidate": candidate.id,
        **{key: mean["whole"][key] for key in ("psnr", "ssim", "nrmse")},
        "lpips": mean["lpips"],
        "body": mean["body"],
        "notes": found["notes"],
    }
