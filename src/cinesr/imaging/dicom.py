"""DICOM: reads the frames of many files as cines, one for each stack of slices.

The attributes are those of DICOM PS3.3, C.7.6.2 (Image Plane), C.8.3 (MR) and C.8.13 (Enhanced MR).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinesr.errors import UnfitImageError, UnreadableFileError
from cinesr.imaging.cine import Cine, LazyFrames
from cinesr.imaging.dicom_aside import Aside, spaced, without_other_kinds
from cinesr.imaging.dicom_files import NotAnImageError, is_dicom
from cinesr.imaging.dicom_frames import (
    DicomSource,
    StoredFrame,
    padding_of,
    read_frames,
    read_pixels,
)
from cinesr.imaging.dicom_matrix import measured_matrix
from cinesr.imaging.dicom_sorting import sort_frames
from cinesr.imaging.dicom_stacks import Stack, geometry_of, holes_in, times_ms_of
from cinesr.imaging.dicom_writer import write
from cinesr.imaging.padding import Padding

__all__ = ["DicomSource", "describe", "is_dicom", "read", "write"]

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
MOST_NOTES = 10


def read(paths: Sequence[Path], *, spacing_mm: tuple[float, float] | None = None) -> list[Cine]:
    """Reads all cines that some DICOM files hold; pixels stay in the files until asked for.

    Frames are grouped by series, kind, grid, plane and acquisition. Planes go along the slice
    normal; the frames of a plane by trigger time, or by what else says when they were taken. What
    is no grey MR picture is left aside where others are, and named in the notes of every cine.

    Args:
        paths: The files of one input, in any order.
        spacing_mm: (row, column), as in PixelSpacing; used where the files hold none.

    Raises:
        UnreadableFileError: A file is not DICOM, broken, or without pixels, or none holds an image.
        MissingCodecError: No decoder for the compression is installed.
        UnfitImageError: Nothing but colour, labels or the like, or no PixelSpacing.
    """
    aside = Aside()
    frames = spaced(_unique_frames(paths, aside), aside, spacing_mm)
    if not frames:
        if aside.first_error:
            raise aside.first_error
        where = f"{paths[0].parent}" if paths else "the input"
        said = " ".join(aside.notes())
        raise UnreadableFileError(
            f"{where}: none of {len(paths)} files holds a DICOM image. {said}".strip(),
            hint="Name a folder that holds the DICOM images of a scan.",
        )
    stacks = sort_frames(frames)
    names = _names(stacks, paths)
    notes = aside.notes()
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


def _unique_frames(paths: Sequence[Path], aside: Aside) -> list[StoredFrame]:
    frames: list[StoredFrame] = []
    seen: dict[tuple[Any, ...], list[StoredFrame]] = defaultdict(list)
    for path in sorted(paths):
        if path.suffix.lower() not in DICOM_SUFFIXES and not is_dicom(path):
            aside.add(path, "not DICOM")
            continue
        try:
            found = read_frames(path)
        except NotAnImageError as error:
            aside.add(path, error.message)
            continue
        except UnfitImageError as error:
            aside.add(path, error.message, error)
            continue
        # Some tools give all files one SOPInstanceUID: only the same picture twice is a copy.
        identity = (found[0].text("SOPInstanceUID"), found[0].text("InstanceNumber"), len(found))
        if identity[0] and any(_are_copies(found[0], other) for other in seen[identity]):
            aside.add(path, "the same SOP instance as another file")
            continue
        seen[identity].append(found[0])
        frames.extend(found)
    return without_other_kinds(frames, aside)


def _are_copies(one: StoredFrame, other: StoredFrame) -> bool:
    places = [
        None if each.position_mm is None else tuple(each.position_mm) for each in (one, other)
    ]
    return (
        places[0] == places[1]
        and str(one.trigger_ms) == str(other.trigger_ms)
        and one.rows_columns == other.rows_columns
        and np.array_equal(read_pixels(one), read_pixels(other))
    )


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


def _cine(stack: Stack, name: str, notes: Sequence[str]) -> Cine:
    by_phase = tuple(zip(*stack.planes, strict=True))
    every = [frame for plane in stack.planes for frame in plane]
    is_rescaled = len({frame.slope_intercept for frame in every}) > 1
    bits = max(int(frame.file.header.BitsStored) for frame in every)
    paddings = {padding_of(frame.file) for frame in every}
    padding = paddings.pop() if len(paddings) == 1 else None
    source = DicomSource(by_phase, bits, is_rescaled, padding)
    ends = np.asarray(source.stored_range, dtype=np.float64)
    if is_rescaled:
        scaled = np.array(
            [ends * frame.slope_intercept[0] + frame.slope_intercept[1] for frame in every]
        )
        ends = np.array([scaled.min(), scaled.max()])
        if padding:
            # One value below all others, as the padding of each frame has another real value.
            source = replace(source, rescaled_padding=float(np.float32(np.floor(ends[0]) - 1)))

    def frame_at(time: int, slice_index: int) -> NDArray[Any]:
        frame = by_phase[time][slice_index]
        stored = read_pixels(frame)
        if not is_rescaled:
            return stored
        slope, intercept = frame.slope_intercept
        rescaled = np.asarray(stored * slope + intercept, dtype=np.float32)
        if padding:
            rescaled[padding.mask(stored)] = source.rescaled_padding
        return rescaled

    matrix, matrix_notes = measured_matrix(every)
    shape = (len(by_phase), len(stack.planes), *stack.first.rows_columns)
    geometry = geometry_of(stack)
    return Cine(
        frames=LazyFrames(shape, np.float32 if is_rescaled else source.dtype, frame_at),
        geometry=geometry,
        times_ms=times_ms_of(stack),
        source=source,
        name=name,
        value_range=(float(ends[0]), float(ends[1])),
        notes=(*notes, *stack.notes, *matrix_notes, *holes_in(geometry), *_passed_over(every)),
        padding=Padding(source.rescaled_padding, source.rescaled_padding)
        if padding and is_rescaled
        else padding,
        measured=matrix,
    )


def _passed_over(frames: Sequence[StoredFrame]) -> list[str]:
    """What of the headers was passed over, and in how many files."""
    files = {id(frame.file): frame.file for frame in frames}.values()
    counts = Counter(note for file in files for note in file.notes)
    listed = [
        f"{note}{f' ({count} files)' if count > 1 else ''}." for note, count in counts.items()
    ]
    more = len(listed) - MOST_NOTES
    return [*listed[:MOST_NOTES], *([f"So were {more} other values."] if more > 0 else [])]
