"""What an evaluation gives: one row per frame, and the means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Fidelity:
    """Agreement over one region: PSNR in decibels, SSIM, NRMSE."""

    psnr: float
    ssim: float
    nrmse: float


@dataclass(frozen=True)
class Scores:
    """All measures of one frame, or their means; None where a measure could not be taken.

    Args:
        whole: Over every pixel.
        body: Over the pixels where the reference is above 5 % of the range.
        heart: Over the heart mask, where one was given.
        lpips: Perceptual distance of the whole frame.
        checkerboard: Of the whole frame, percent.
        shift_px: (row, column) displacement of the candidate, in reference pixels.
    """

    whole: Fidelity
    body: Fidelity | None
    heart: Fidelity | None
    lpips: float | None
    checkerboard: float | None
    shift_px: tuple[float, float] | None


@dataclass(frozen=True)
class FrameScores:
    """The measures of the frame at one phase and slice."""

    time: int
    slice_index: int
    scores: Scores


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Args:
        reference: Name of the reference.
        candidate: Name of the candidate.
        data_range: The reference's maximum, which PSNR, SSIM and LPIPS count as white.
        mean: Over the frames. Infinite values (PSNR of identical frames) are left out unless all
            are infinite.
        frames: One row per phase and slice, slices fastest.
        notes: What a reader of the numbers should know.
    """

    reference: str
    candidate: str
    data_range: float
    mean: Scores
    frames: tuple[FrameScores, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: the PSNR of identical frames becomes null.

        Such a null stands beside an SSIM of 1 and an NRMSE of 0; a measure that could not be taken
        is null too, and a note says why.
        """
        plain: dict[str, Any] = _without_infinity(asdict(self))
        return plain


def _without_infinity(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_infinity(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def mean_scores(rows: Sequence[Scores]) -> Scores:
    """Means over frames, each over those where the measure could be taken.

    Args:
        rows: At least one.
    """
    return Scores(
        whole=_mean_fidelity([row.whole for row in rows]),
        body=_mean_fidelity_of_some([row.body for row in rows]),
        heart=_mean_fidelity_of_some([row.heart for row in rows]),
        lpips=_mean_of_some([row.lpips for row in rows]),
        checkerboard=_mean_of_some([row.checkerboard for row in rows]),
        shift_px=_mean_shift([row.shift_px for row in rows]),
    )


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.inf


def _mean_of_some(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None


def _mean_fidelity(values: Sequence[Fidelity]) -> Fidelity:
    return Fidelity(
        psnr=_mean([value.psnr for value in values]),
        ssim=_mean([value.ssim for value in values]),
        nrmse=_mean([value.nrmse for value in values]),
    )


def _mean_fidelity_of_some(values: Sequence[Fidelity | None]) -> Fidelity | None:
    known = [value for value in values if value is not None]
    return _mean_fidelity(known) if known else None


def _mean_shift(values: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (_mean([v[0] for v in known]), _mean([v[1] for v in known])) if known else None
