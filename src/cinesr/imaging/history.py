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
    # Each record has its newest entry in front.
    found = _LABEL.search(f"{label}\n{_record(cine)}")
    if found is None:
        return None
    return Step(int(found["up"] or found["down"]), found["method"] or "")


def _record(cine: Cine) -> str:
    """What the file that a cine was read from says of itself."""
    from cinesr.imaging.dicom_frames import DicomSource
    from cinesr.imaging.nifti import NiftiSource
    from cinesr.imaging.raster import RasterSource

    source = cine.source
    if isinstance(source, DicomSource):
        return source.frames[0][0].text("ImageComments")
    if isinstance(source, NiftiSource):
        return bytes(source.header["descrip"]).decode("latin-1")
    return source.description if isinstance(source, RasterSource) else ""
