"""What is done with label maps, which a network would make grey values of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cinesr import __version__
from cinesr.errors import LabelMapError, ModelError
from cinesr.imaging.cine import Cine, Derivation, LazyFrames
from cinesr.imaging.label_maps import labels_of

LabelMaps = Literal["leave", "repeat", "network"]
"""Leave them aside, repeat their pixels, or take them for pictures."""

_MOST_NAMED = 10


def checked_choice(label_maps: LabelMaps) -> LabelMaps:
    """One of the choices.

    Raises:
        ModelError: It is none.
    """
    if label_maps not in get_args(LabelMaps):
        raise ModelError(
            f"label_maps is {label_maps!r}; expected one of {', '.join(get_args(LabelMaps))}."
        )
    return label_maps


def repeat_labels(
    cine: Cine, labels: tuple[float, ...], scale: int, *, how: LabelMaps
) -> tuple[Cine, tuple[int, int]]:
    """A label map with more pixels, so that no label arises that was not there.

    Args:
        cine: A label map.
        labels: Its values.
        scale: Pixels per pixel, per axis.
        how: What was asked for.

    Returns:
        The label map, and the time and slice of the frame with the most in it.

    Raises:
        LabelMapError: It was not asked for.
    """
    if how != "repeat":
        raise LabelMapError(
            f"{cine.name} looks like a label map (values {_listed(labels)}, in even areas); a "
            "network would make grey values of it that are no labels.",
            hint="If it is one, --label-maps repeat repeats its pixels; if it is a picture, "
            '--label-maps network takes it for one (label_maps="network" in Python).',
        )
    times, slices, rows, columns = cine.shape

    def read(time: int, slice_index: int) -> NDArray[Any]:
        return cine.frame(time, slice_index).repeat(scale, axis=0).repeat(scale, axis=1)

    frames = LazyFrames((times, slices, rows * scale, columns * scale), cine.dtype, read)
    words = f"labels repeated x{scale}"
    derivation = Derivation(words, f"cinesr {__version__}, {words}, by no network.")
    result = cine.with_frames(frames, cine.geometry.upscaled(scale), derivation)
    note = f"a label map (values {_listed(labels)}): its pixels were repeated, by no network"
    fullest = max(np.ndindex(times, slices), key=lambda at: int(np.count_nonzero(cine.frame(*at))))
    return replace(result, notes=(*cine.notes, note)), (fullest[0], fullest[1])


def without_label_maps(cines: list[Cine]) -> list[Cine]:
    """What lies beside label maps, with a note that names them.

    Args:
        cines: As opened. Where there is nothing but label maps, all of them come back: whoever
            upscales one tells of it.
    """
    labelled = [len(cines) > 1 and bool(labels_of(cine)) for cine in cines]
    if not any(labelled) or all(labelled):
        return cines
    names = [cine.name for cine, is_labelled in zip(cines, labelled, strict=True) if is_labelled]
    more = len(names) - _MOST_NAMED
    note = (
        f"{len(names)} label maps left aside: {', '.join(names[:_MOST_NAMED])}"
        f"{f' and {more} more' if more > 0 else ''}; --label-maps repeat enlarges them without a "
        "network, --label-maps network takes them for pictures"
    )
    return [
        replace(cine, notes=(*cine.notes, note))
        for cine, is_labelled in zip(cines, labelled, strict=True)
        if not is_labelled
    ]


def _listed(labels: tuple[float, ...]) -> str:
    first = ", ".join(f"{label:g}" for label in labels[:8])
    return f"{first} and {len(labels) - 8} more" if len(labels) > 8 else first
