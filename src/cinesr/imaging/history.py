"""How an image was made from another, as far as its file says so."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cinesr.imaging.cine import Cine

_LABEL = re.compile(
    r"super-resolved x(?P<up>\d+)|low resolution 1/(?P<down>\d+) \((?P<method>\w+)\)"
)


@dataclass(frozen=True)
class Step:
    """One thing that cinesr did to an image.

    Args:
        scale: Pixels per pixel, per axis.
        method: The degradation by which pixels were joined; empty where they were multiplied.
    """

    scale: int
    method: str = ""


def last_step(cine: Cine) -> Step | None:
    """What cinesr did to an image last; None for an original, and where nothing is known.

    Every result carries a label: in memory, in DICOM's ImageComments, NIfTI's descrip, PNG's
    Description and TIFF's ImageDescription. NPY has no place for one.

    Args:
        cine: As read, upscaled or degraded.
    """
    label = cine.derivation.label if cine.derivation else ""
    # What the file says of itself has its newest entry in front.
    found = _LABEL.search(f"{label}\n{getattr(cine.source, 'description', '')}")
    if found is None:
        return None
    return Step(int(found["up"] or found["down"]), found["method"] or "")
