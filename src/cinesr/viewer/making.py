"""New series from open ones: a model's result, and bicubic interpolation to hold beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cinesr import __version__
from cinesr.degradation import PAPER_METHODS, SCALES
from cinesr.imaging.cine import Cine, Derivation, Frame
from cinesr.imaging.files import suffix_of
from cinesr.upscaling.catalogue import Model
from cinesr.upscaling.checks import Check
from cinesr.upscaling.upscale import Upscaled, Upscaler
from cinesr.viewer.errors import RequestError
from cinesr.viewer.frames import Encoding, Part, Place
from cinesr.viewer.jobs import Job
from cinesr.viewer.levels import bicubic_interpolator
from cinesr.viewer.series import (
    Origin,
    Series,
    every_place,
    measure,
    sampled_places,
    shown_window,
)
from cinesr.viewer.spool import Spool
from cinesr.viewer.store import Store

BICUBIC_OVERSHOOT = 0.3
"""The weights of Keys's kernel sum to at most 1.25 in size along an axis: enlarging along two
exceeds an image's range by less than this share of it."""


def upscale_series(
    store: Store, parent: Series, model: Model, wishes: dict[str, Any], job: Job
) -> str:
    """Runs a model on all frames of a series and lists the result; gives its id.

    Args:
        store: In which to list it.
        parent: What to upscale.
        model: Which to use.
        wishes: Further arguments of `Upscaler`.
        job: That is told of the progress, and may end the work.

    Raises:
        CancelledError: By the job; nothing is left then.
        CinesrError: The series is no fit input, or the result failed its checks.
    """
    job.progress(0, parent.cine.shape[0] * parent.cine.shape[1])
    upscaler = Upscaler(model.path, **wishes)
    source = replace(parent.cine, frames=parent.spool.lazy_frames(before=job.go_on))
    found = upscaler(source, progress=job.progress)
    spool = Spool(store.folder, found.cine.shape, found.cine.dtype)
    try:
        for time, slice_index, frame in found.cine.iter_frames():
            spool.write(time, slice_index, frame)
        result = _result(parent, found, spool, upscaler)
        store.add(result)
    except BaseException:
        spool.discard()
        raise
    return result.id


def _result(parent: Series, found: Upscaled, spool: Spool, upscaler: Upscaler) -> Series:
    model = upscaler.model
    low, high = measured = measure(spool, every_place(found.cine))
    return Series(
        replace(
            found.cine, frames=spool.lazy_frames(), name=made_name(parent.cine.name, model.name)
        ),
        spool,
        Encoding.of(spool.dtype, low=low, high=high),
        shown_window(spool, sampled_places(found.cine)),
        measured,
        "result",
        Origin(
            parent.id,
            model.name,
            model.scale,
            closest_method(model, found.checks),
            _record(parent.cine, found, upscaler),
            found.checks,
        ),
    )


def closest_method(model: Model, checks: Sequence[Check]) -> str:
    """Which of the degradations that a model learned leads from its result back to the input best.

    Args:
        model: Its card names them; all count where it does not.
        checks: Of the result.
    """
    learned = (model.card.get("degradation") or {}).get("methods") or PAPER_METHODS
    (agreement,) = [check.values["psnr_db"] for check in checks if check.name == "consistency"]
    known = [method for method in PAPER_METHODS if method in learned] or PAPER_METHODS
    return max(known, key=lambda method: float(agreement[method]))


def _record(cine: Cine, found: Upscaled, upscaler: Upscaler) -> dict[str, Any]:
    """As `upscale_path` leaves it beside a result, without the places of files."""
    return {
        "tool": f"cinesr {__version__}",
        "use": "research only; detail is predicted",
        **upscaler.settings(),
        "frames": cine.shape[0] * cine.shape[1],
        "seconds": dict(upscaler.stopwatch.seconds),
        "series": [
            {
                "name": cine.name,
                "shape": list(cine.shape),
                "result_shape": list(found.cine.shape),
                "told": found.told.to_dict() if found.told else None,
                "checks": [check.to_dict() for check in found.checks],
                "notes": list(found.cine.notes),
            }
        ],
    }


def made_name(name: str, how: str) -> str:
    """The name of what was made from a file or series: `low.nii.gz` gives `low_HOW.nii.gz`."""
    end = len(name) - len(suffix_of(name))
    return f"{name[:end]}_{how}{name[end:]}"


def bicubic_series(store: Store, parent: Series, scale: int) -> Series:
    """Lists the bicubic enlargement of a series, each frame computed when it is asked for.

    Args:
        store: In which to list it; the one that is there already is given back.
        parent: An input.
        scale: 2 to 8.

    Raises:
        RequestError: A wrong scale, or the series is no input.
    """
    if scale not in SCALES:
        raise RequestError(
            f"A scale of {scale} was asked for; expected {SCALES[0]} to {SCALES[-1]}."
        )
    if parent.kind != "input":
        raise RequestError(f"{parent.cine.name} was made here; expected an input.")
    if earlier := store.made_from(parent, "bicubic", scale=scale):
        return earlier
    cine = parent.cine
    times, slices, rows, columns = cine.shape
    shape = (times, slices, rows * scale, columns * scale)

    interpolator = bicubic_interpolator((rows, columns), scale)

    def interpolate(place: Place, part: Part) -> Frame:
        low = cine.frame(*place)
        # A magnitude image has no negative values, though its storage may be signed.
        lowest = 0.0 if low.min() >= 0 else None
        high = interpolator(low, part)
        if part.level:  # Averages are no stored values, and lose nothing more than they have to.
            return high if lowest is None else np.maximum(high, lowest)
        return cine.to_stored(high, lowest=lowest)

    def compute(time: int, slice_index: int) -> Frame:
        return interpolate((time, slice_index), Part.whole(shape))

    spool = Spool(store.folder, shape, cine.dtype, compute)
    low, high = parent.value_range
    room = BICUBIC_OVERSHOOT * (high - low)
    derivation = Derivation(
        f"bicubic x{scale}", f"cinesr {__version__}, bicubic interpolation, scale {scale}."
    )
    enlarged = cine.with_frames(spool.lazy_frames(), cine.geometry.upscaled(scale), derivation)
    series = Series(
        replace(enlarged, name=made_name(cine.name, f"bicubic-x{scale}")),
        spool,
        Encoding.of(cine.dtype, low=low - room, high=high + room),
        parent.window,
        parent.value_range,
        "bicubic",
        Origin(parent.id, None, scale, "bicubic", {}),
        interpolate=interpolate,
    )
    store.add(series)
    return series
