"""A series as a file of the kind that came in."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from cinesr.imaging.dicom_frames import DicomSource
from cinesr.imaging.files import save
from cinesr.imaging.records import RECORD, files_within
from cinesr.upscaling.upscale import write_record
from cinesr.viewer.series import Series


def packed(series: Series, folder: Path) -> Path:
    """Writes a series into a new folder of its own, which whoever sends the file removes.

    DICOM becomes a zip: of the files as they came in for an input, or else of the derived series
    with the record of the run.

    Args:
        series: Whose frames are written exactly as they are stored.
        folder: In which to make the new one.

    Returns:
        The file, under the name that a reader should see.

    Raises:
        CinesrError: There is no room, or the format cannot hold the series.
    """
    place = Path(tempfile.mkdtemp(prefix="download-", dir=folder))
    try:
        name = (
            re.sub(r"[^\w.+ -]", "_", series.cine.name.rpartition("/")[2]).strip(". ") or "series"
        )
        if suffix := series.suffix:
            stem = name.removesuffix(suffix)
            return save(series.cine, place / f"{stem}{suffix}")
        return _zipped(series, place, name)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _zipped(series: Series, place: Path, name: str) -> Path:
    source = series.cine.source
    if series.kind == "input" and isinstance(source, DicomSource):
        files = sorted({frame.file.path for phase in source.frames for frame in phase})
        top = Path(os.path.commonpath([file.parent for file in files]))
    else:
        top = save(series.cine, place / "series")
        if series.origin and series.origin.record:
            write_record(top / RECORD, {**series.origin.record, "files": files_within(top)})
        files = sorted(top.iterdir())
    target = place / f"{name}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in files:
            archive.write(file, Path(name) / file.relative_to(top))
    return target
