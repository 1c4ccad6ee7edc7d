"""What is looked at before a result counts as done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.degradation import PAPER_METHODS, Degradation
from cinesr.errors import CheckFailedError, UnfitImageError
from cinesr.imaging.registration import subpixel_shift

LARGEST_SHIFT_PX = 0.05
LARGEST_OVERSHOOT = 0.5
"""A sharper picture may exceed the range of its input, but not by half of it."""
LARGEST_SHARE_OUTSIDE = 0.01
"""So few pixels may exceed it all the same: at the hard edge of a scanner's mask a network may
overshoot by more, at a pixel or two."""
LOW_CONSISTENCY_DB = 25.0

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: What was looked at.
        passed: False refuses the result.
        warning: Whether it is worth a second look, though it passed.
        finding: In words, with the figures.
        values: The figures.
    """

    name: str
    passed: bool
    finding: str
    values: dict[str, Any] = field(default_factory=dict)
    warning: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def check_frame(output: Image, *, highest: float, name: str, place: tuple[int, int]) -> None:
    """Refuses a frame with values that no image has.

    Args:
        output: (row, column) on the network's scale.
        highest: The cine's largest value on that scale, 1 or more; the smallest is 0.
        name: Of the cine, for the message.
        place: (phase, slice).

    Raises:
        CheckFailedError: A value is not finite, or too many lie far outside the input's range.
    """
    low, high = float(output.min()) / highest, float(output.max()) / highest
    outside = _share_outside(output, 0.0, highest)
    if not np.isfinite(output).all() or outside > LARGEST_SHARE_OUTSIDE:
        raise CheckFailedError(
            f"{name}: the result at phase {place[0]}, slice {place[1]} spans {low:g} to {high:g} "
            f"of the input's range, {100 * outside:.0f} % of it far outside; expected finite "
            "values near 0 to 1. Nothing was written.",
            hint="The model does not fit this image: choose another with --model.",
        )


def _share_outside(image: Image, low: float, high: float) -> float:
    """How many of the pixels exceed a range by more than a sharper picture may."""
    room = LARGEST_OVERSHOOT * (high - low)
    return float(np.mean((image < low - room) | (image > high + room)))


def check_samples(
    inputs: Sequence[Image],
    outputs: Sequence[Image],
    *,
    scale: int,
    recipe: Degradation | None = None,
) -> list[Check]:
    """Compares results with their inputs.

    Args:
        inputs: Low-resolution frames, (row, column) each, on the network's scale.
        outputs: What the network made of each.
        scale: Between the two.
        recipe: How the network was told that the inputs were acquired.
    """
    return [
        _finite(outputs),
        _not_constant(outputs),
        _range(inputs, outputs),
        _shift(inputs, outputs, scale),
        _consistency(inputs, outputs, scale, recipe),
    ]


def _finite(outputs: Sequence[Image]) -> Check:
    good = all(np.isfinite(output).all() for output in outputs)
    return Check("finite", good, "every value is finite" if good else "some values are not finite")


def _not_constant(outputs: Sequence[Image]) -> Check:
    spread = max(float(np.ptp(output)) for output in outputs)
    good = bool(spread > 1e-3)
    words = f"the result spans {100 * spread:.0f} % of the input's range"
    return Check("not constant", good, words, {"spread": spread})


def _range(inputs: Sequence[Image], outputs: Sequence[Image]) -> Check:
    low, high = _span(inputs)
    # A bright spike reaches far beyond 1, and so may the edge that a network draws around it.
    scale = max(high - low, 1.0)
    lowest, highest = _span(outputs)
    below, above = (low - lowest) / scale, (highest - high) / scale
    outside = max(_share_outside(output, low, low + scale) for output in outputs)
    return Check(
        "range",
        outside <= LARGEST_SHARE_OUTSIDE,
        f"reaches {100 * max(below, 0.0):.1f} % below and {100 * max(above, 0.0):.1f} % above the "
        "input's range, before clipping",
        {"below": below, "above": above, "share_outside": outside},
        warning=max(below, above) > LARGEST_OVERSHOOT,
    )


def _span(images: Sequence[Image]) -> tuple[float, float]:
    return min(float(image.min()) for image in images), max(float(image.max()) for image in images)


def _shift(inputs: Sequence[Image], outputs: Sequence[Image], scale: int) -> Check:
    bicubic = Degradation("bicubic", scale)
    shifts = []
    for low, high in zip(inputs, outputs, strict=True):
        try:
            shifts.append(subpixel_shift(low, bicubic.apply(high)))
        except UnfitImageError:
            continue  # Too small or too flat to be registered.
    if not shifts:
        return Check("shift", True, "could not be measured: too little to see in the image")
    row, column = np.median(shifts, axis=0)
    good = bool(max(abs(row), abs(column)) < LARGEST_SHIFT_PX)
    return Check(
        "shift",
        good,
        f"{row:+.3f} rows, {column:+.3f} columns against the input, in input pixels; expected "
        f"less than {LARGEST_SHIFT_PX}",
        {"row": float(row), "column": float(column)},
    )


def _consistency(
    inputs: Sequence[Image], outputs: Sequence[Image], scale: int, told: Degradation | None
) -> Check:
    found = {}
    recipes = {method: Degradation(method, scale) for method in PAPER_METHODS}
    if told is not None and told.method == "scanner":
        recipes["scanner"] = told
    for method, recipe in recipes.items():
        errors = [
            np.mean(np.square(recipe.apply(high) - low))
            for low, high in zip(inputs, outputs, strict=True)
        ]
        found[method] = float(-10.0 * np.log10(max(float(np.mean(errors)), 1e-12)))
    best = max(found, key=lambda method: found[method])
    return Check(
        "consistency",
        True,
        f"degraded again, it is {found[best]:.1f} dB from the input (by {best}, the closest)",
        {"psnr_db": found},
        warning=found[best] < LOW_CONSISTENCY_DB,
    )


def refuse_failed(checks: Sequence[Check], *, name: str) -> None:
    """Raises if a check failed.

    Raises:
        CheckFailedError: Says which, with the figures.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        found = "; ".join(f"{check.name}: {check.finding}" for check in failed)
        raise CheckFailedError(
            f"{name}: the result failed its checks ({found}). Nothing was written.",
            hint="The model does not fit this image: choose another with --model.",
        )
