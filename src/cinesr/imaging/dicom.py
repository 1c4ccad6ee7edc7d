"""DICOM: reads the frames of many files as cines, one for each stack of slices.

The attributes are those of DICOM PS3.3, C.7.6.2 (Image Plane), C.8.3 (MR) and C.8.13 (Enhanced MR).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError, UnreadableFileError
from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.dicom_files import NotAnImageError, is_dicom
from cinesr.imaging.dicom_frames import DicomSource, StoredFrame, read_frames, read_pixels
from cinesr.imaging.dicom_matrix import measured_matrix
from cinesr.imaging.dicom_sorting import Stack, geometry_of, sort_frames, times_ms_of
from cinesr.imaging.dicom_writer import write

__all__ = ["DicomSource", "describe", "is_dicom", "read", "write"]

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


def read(paths: Sequence[Path], *, spacing_mm: tuple[float, float] | None = None) -> list[Cine]:
    """Reads all cines that some DICOM files hold; pixels stay in the files until asked for.

    Frames are grouped by series, grid and plane. Planes go along the slice normal; the frames of a
    plane by trigger time, then temporal position, then instance number.

    Args:
        paths: The files of one input, in any order.
        spacing_mm: (row, column), as in PixelSpacing; used where the files hold none.

    Raises:
        UnreadableFileError: A file is not DICOM, broken, or without pixels, or none holds an image.
        MissingCodecError: No decoder for the compression is installed.
        UnfitImageError: Colour, mixed sizes in one series, or no PixelSpacing.
    """
    notes: list[str] = []
    frames = [_with_spacing(frame, spacing_mm) for frame in _unique_frames(paths, notes)]
    if not frames:
        where = f"{paths[0].parent}" if paths else "the input"
        raise UnreadableFileError(
            f"{where}: none of {len(paths)} files holds a DICOM image. {' '.join(notes)}".strip(),
            hint="Name a folder that holds the DICOM images of a scan.",
        )
    stacks = sort_frames(frames)
    names = _names(stacks, paths)
    return [_cine(stack, name, notes) for stack, name in zip(stacks, names, strict=True)]


def describe(cine: Cine) -> dict[str, str]:
    """What the headers say of the scanner and the series, without anything about the patient.

    Args:
        cine: A cine that was read from DICOM; any other gives an empty answer.
    """
    if not isinstance(cine.source, DicomSource):
        return {}
    first = cine.source.frames[0][0]
    labels = {
        "manufacturer": "Manufacturer",
        "scanner": "ManufacturerModelName",
        "field strength (T)": "MagneticFieldStrength",
        "series": "SeriesDescription",
        "series number": "SeriesNumber",
        "protocol": "ProtocolName",
    }
    found = {label: first.text(keyword) for label, keyword in labels.items()}
    found["transfer syntax"] = first.file.syntax.name
    return {label: value for label, value in found.items() if value}


def _unique_frames(paths: Sequence[Path], notes: list[str]) -> list[StoredFrame]:
    frames: list[StoredFrame] = []
    seen: set[tuple[Any, ...]] = set()
    skipped: dict[str, int] = defaultdict(int)
    for path in sorted(paths):
        if path.suffix.lower() not in DICOM_SUFFIXES and not is_dicom(path):
            skipped["not DICOM"] += 1
            continue
        try:
            found = read_frames(path)
        except NotAnImageError as error:
            skipped[error.message.removeprefix(f"{path}: ").rstrip(".")] += 1
            continue
        first = found[0]
        # Some tools give all files one SOPInstanceUID: only the same frame twice is a duplicate.
        identity = (
            first.text("SOPInstanceUID"),
            first.order,
            str(first.trigger_ms),
            None if first.position_mm is None else tuple(first.position_mm),
        )
        if identity[0] and identity in seen:
            skipped["the same SOP instance as another file"] += 1
            continue
        seen.add(identity)
        frames.extend(found)
    notes.extend(f"{count} files left out: {reason}." for reason, count in skipped.items())
    return frames


def _with_spacing(frame: StoredFrame, spacing_mm: tuple[float, float] | None) -> StoredFrame:
    if frame.spacing_mm is not None:
        return frame
    if spacing_mm is None:
        raise UnfitImageError(
            f"{frame.file.path}: the file holds no PixelSpacing; expected the size of a pixel.",
            hint="Name it in millimetres: --spacing ROW,COLUMN.",
        )
    return replace(frame, spacing_mm=spacing_mm)


def _names(stacks: list[Stack], paths: Sequence[Path]) -> list[str]:
    names: list[str] = []
    for stack in stacks:
        path = stack.first.file.path
        container = path.stem if len(paths) == 1 else path.parent.name
        parts = [stack.first.text("SeriesDescription") or container]
        if parts[0] != container or len(stacks) > 1:
            parts.append(stack.first.text("SeriesNumber"))
        name = re.sub(r"[^\w .+-]", "_", " ".join(part for part in parts if part)) or "cine"
        earlier = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({earlier + 1})" if earlier else name)
    return names


def _cine(stack: Stack, name: str, notes: list[str]) -> Cine:
    by_phase = tuple(zip(*stack.planes, strict=True))
    every = [frame for plane in stack.planes for frame in plane]
    is_rescaled = len({frame.slope_intercept for frame in every}) > 1
    bits = max(int(frame.file.header.BitsStored) for frame in every)
    source = DicomSource(by_phase, bits, is_rescaled)
    ends = np.asarray(source.stored_range, dtype=np.float64)
    if is_rescaled:
        scaled = np.array(
            [ends * frame.slope_intercept[0] + frame.slope_intercept[1] for frame in every]
        )
        ends = np.array([scaled.min(), scaled.max()])

    def frame_at(time: int, slice_index: int) -> NDArray[Any]:
        frame = by_phase[time][slice_index]
        stored = read_pixels(frame)
        if not is_rescaled:
            return stored
        slope, intercept = frame.slope_intercept
        return np.asarray(stored * slope + intercept, dtype=np.float32)

    matrix, matrix_notes = measured_matrix(every)
    shape = (len(by_phase), len(stack.planes), *stack.first.rows_columns)
    return Cine(
        frames=LazyFrames(shape, np.float32 if is_rescaled else source.dtype, frame_at),
        geometry=geometry_of(stack),
        times_ms=times_ms_of(stack),
        source=source,
        name=name,
        value_range=(float(ends[0]), float(ends[1])),
        notes=(*notes, *stack.notes, *matrix_notes),
        measured=matrix,
    )
