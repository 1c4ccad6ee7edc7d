"""What DICOM headers say of the k-space that was measured (PS3.3, C.8.3.1 and C.8.13.5.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from cinesr.imaging.acquisition import MeasuredMatrix
from cinesr.imaging.dicom_files import BROKEN_FILE
from cinesr.imaging.dicom_frames import StoredFrame

LARGEST_MATRIX = 8192
RESAMPLED = {"MPR", "CSA MPR", "REFORMATTED", "RESAMPLED", "PROJECTION IMAGE", "MIP"}
"""Values of ImageType after which the picture's grid is no longer the scanner's."""
AXES = {"COL": 0, "COLUMN": 0, "ROW": 1}
"""InPlanePhaseEncodingDirection: "phase encoded in rows" runs along a row, over the columns."""


def measured_matrix(frames: Iterable[StoredFrame]) -> tuple[MeasuredMatrix | None, tuple[str, ...]]:
    """The matrix that the frames of one cine were measured on, and notes on what makes no sense.

    Args:
        frames: All that the cine holds.
    """
    found = Counter(_of_frame(frame) for frame in frames)
    matrices = [each for each in found if isinstance(each, MeasuredMatrix)]
    notes = tuple(f"{each} It was left aside." for each in found if isinstance(each, str))
    if len(matrices) > 1:
        words = ", ".join(f"{each.frequency} x {each.phase}" for each in matrices)
        return None, (*notes, f"The header names several acquisitions ({words}): none was taken.")
    return (matrices[0] if matrices else None), notes


def _of_frame(frame: StoredFrame) -> MeasuredMatrix | str | None:
    """What a frame says; words where that is nonsense; None where it says nothing."""
    if RESAMPLED & {str(each).upper() for each in _values(frame.file.header.get("ImageType"))}:
        return "The picture was cut from others, so that its header's matrix is not its own."
    geometry = frame.group("MRFOVGeometrySequence")
    places = [frame.file.header] if geometry is None else [geometry, frame.file.header]
    sizes = _enhanced_sizes(places) or _classic_sizes(frame.file.header)
    if sizes is None:
        return None
    frequency, phase, axis = sizes
    direction = _first(places, "InPlanePhaseEncodingDirection")
    axis = AXES.get(str(direction).strip().upper(), axis)
    if axis is None or not all(0 < size <= LARGEST_MATRIX for size in (frequency, phase)):
        given = frame.file.header.get("AcquisitionMatrix")
        words = f"{frequency} x {phase}" if given is None else str(given)
        return f"The header's acquisition matrix {words} makes no sense."
    return MeasuredMatrix(
        frequency,
        phase,
        axis,
        _share(places, "PercentSampling"),
        _share(places, "PercentPhaseFieldOfView"),
    )


def _enhanced_sizes(places: list[Dataset]) -> tuple[int, int, int | None] | None:
    frequency = _number(_first(places, "MRAcquisitionFrequencyEncodingSteps"))
    phase = _number(_first(places, "MRAcquisitionPhaseEncodingStepsInPlane"))
    return None if not frequency or not phase else (int(frequency), int(phase), None)


def _classic_sizes(header: Dataset) -> tuple[int, int, int | None] | None:
    """AcquisitionMatrix: frequency rows, frequency columns, phase rows, phase columns.

    Of each pair one is 0. Phase rows belong to the direction ROW, and frequency is then columns;
    United Imaging gives both as columns, whatever the direction.
    """
    numbers = [int(_number(each)) for each in _values(header.get("AcquisitionMatrix"))]
    if not any(numbers):
        return None  # Missing, or as a blank form.
    if len(numbers) != 4:
        return 0, 0, None
    is_rows = numbers[2] > 0
    if (numbers[0] > 0) == (numbers[1] > 0) or is_rows == (numbers[3] > 0):
        return 0, 0, None
    is_told = is_rows == (numbers[1] > 0)
    return max(numbers[:2]), max(numbers[2:]), int(is_rows) if is_told else None


def _values(given: object) -> list[object]:
    """The values of an element that may hold none, one, or several."""
    if given is None or given == "":
        return []
    return list(given) if isinstance(given, list | MultiValue) else [given]


def _first(places: list[Dataset], keyword: str) -> object:
    return next((place[keyword].value for place in places if keyword in place), None)


def _number(value: object) -> float:
    """0 for what is no finite number."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except BROKEN_FILE:
        return 0.0
    return number if np.isfinite(number) else 0.0


def _share(places: list[Dataset], keyword: str) -> float:
    """A percentage as a share; 1 where it is missing or makes no sense."""
    percent = _number(_first(places, keyword))
    return percent / 100.0 if 10.0 <= percent <= 100.0 else 1.0
