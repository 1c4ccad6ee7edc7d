"""The frames that DICOM files hold: what sorts them is read once, their pixels on demand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from cinesr.errors import CinesrError, UnreadableFileError
from cinesr.imaging.dicom_files import (
    BROKEN_FILE,
    EXPORT_AGAIN,
    StoredFile,
    is_dicom,
    not_grey,
    quiet_pydicom,
    read_header,
)
from cinesr.imaging.dicom_kinds import kind_of
from cinesr.imaging.dicom_values import seconds_of, text_of
from cinesr.imaging.padding import Padding


@dataclass(frozen=True)
class Clocks:
    """What says when a frame was taken, beside its trigger time; NaN or empty where missing.

    Args:
        temporal: TemporalPositionIndex or TemporalPositionIdentifier.
        dimension: DimensionIndexValues.
        acquired: AcquisitionDateTime or AcquisitionTime, in seconds.
        number: InstanceNumber, and the place within a file of several frames or its concatenation.
        acquisition: AcquisitionNumber.
        content: ContentTime, in seconds.
    """

    temporal: float = math.nan
    dimension: tuple[int, ...] = ()
    acquired: float = math.nan
    number: tuple[float, ...] = (math.nan,)
    acquisition: float = math.nan
    content: float = math.nan


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """What sorting and writing need to know of one frame.

    Args:
        file: The file that holds it.
        index: Its place in that file.
        rows_columns: Its size in pixels.
        spacing_mm: PixelSpacing, (row, column); None where missing.
        orientation: (6,); ImageOrientationPatient; None where missing.
        position_mm: (3,); ImagePositionPatient; None where missing.
        slice_location_mm: SliceLocation, 0 where missing; stands in for a missing position.
        slice_step_mm: SpacingBetweenSlices or else SliceThickness or else 1.
        trigger_ms: Time after the R wave; NaN where missing.
        slope_intercept: Of the rescaling to output units.
        kind: What tells it apart from other pictures of its place, as `dicom_kinds.kind_of` says.
        echo_ms: Echo time; -1 where missing.
        clocks: What else says when it was taken, in its order of preference.
    """

    file: StoredFile
    index: int
    rows_columns: tuple[int, int]
    spacing_mm: tuple[float, float] | None
    orientation: NDArray[np.float64] | None
    position_mm: NDArray[np.float64] | None
    slice_location_mm: float
    slice_step_mm: float
    trigger_ms: float
    slope_intercept: tuple[float, float]
    kind: tuple[Any, ...]
    echo_ms: float
    clocks: Clocks

    def text(self, keyword: str) -> str:
        """An element of the file's header as text, empty where missing."""
        return text_of(self.file.header.get(keyword))

    def group(self, macro: str) -> Dataset | None:
        """The frame's functional group of that name; None where it has none."""
        for place in _functional_groups(self.file.header, self.index):
            items = place.get(macro)
            if items:
                return items[0] if isinstance(items[0], Dataset) else None
        return None


@dataclass(frozen=True, eq=False)
class DicomSource:
    """What writes a cine that was read from DICOM back to DICOM.

    Args:
        frames: [time][slice]; where each frame of the cine came from.
        bits_stored: Of every frame that is written.
        is_rescaled: Whether the cine holds rescaled values, because the slope or intercept differs
            between its frames, rather than the stored ones.
        padding: Of the stored values; None where the files name none.
        rescaled_padding: What stands for it in a cine of rescaled values.
    """

    frames: tuple[tuple[StoredFrame, ...], ...]
    bits_stored: int
    is_rescaled: bool
    padding: Padding | None = None
    rescaled_padding: float = math.nan

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values in the files."""
        return self.frames[0][0].file.dtype

    @property
    def description(self) -> str:
        """ImageComments of the first frame."""
        return self.frames[0][0].text("ImageComments")

    @property
    def rescaling(self) -> tuple[float, float]:
        """Slope and intercept from the cine's values to real ones."""
        return (1.0, 0.0) if self.is_rescaled else self.frames[0][0].slope_intercept

    @property
    def stored_range(self) -> tuple[int, int]:
        """Lowest and highest value that BitsStored and PixelRepresentation allow."""
        if self.dtype.kind == "u":
            return 0, 2**self.bits_stored - 1
        return -(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1


def read_frames(path: Path) -> list[StoredFrame]:
    """Reads the header of one file, without its pixels.

    Args:
        path: A file that may be DICOM.

    Raises:
        NotAnImageError: The file is DICOM, but a report, a directory or the like.
        UnreadableFileError: The file is not DICOM, or cut off, or holds no pixel data.
        UnfitImageError: The file holds an image that is not grey.
        MissingCodecError: No decoder for its compression is installed.
    """
    if not is_dicom(path):
        raise UnreadableFileError(
            f"{path}: this is not a DICOM file; expected a DICM prefix or a DICOM data set.",
            hint="Remove the file from the folder, or name another input.",
        )
    try:
        with quiet_pydicom(), path.open("rb") as file:
            stored = read_header(path, file)
            frames = int(stored.header.get("NumberOfFrames") or 1)
            groups = stored.header.get("PerFrameFunctionalGroupsSequence") or ()
            if len(groups) not in (0, frames):
                raise UnreadableFileError(
                    f"{path}: {len(groups)} functional groups for {frames} frames.",
                    hint=EXPORT_AGAIN,
                )
            result = [_read_frame(stored, index) for index in range(frames)]
    except CinesrError:
        raise
    except BROKEN_FILE as error:
        raise UnreadableFileError(
            f"{path}: the DICOM header cannot be read ({error}).", hint=EXPORT_AGAIN
        ) from error
    if stored.header.SamplesPerPixel != 1:
        read_pixels(result[0])
    return result


def _read_frame(stored: StoredFile, index: int) -> StoredFrame:
    places = _functional_groups(stored.header, index)
    header = stored.header
    spacing = _numbers(places, "PixelMeasuresSequence", "PixelSpacing", count=2)
    orientation = _numbers(places, "PlaneOrientationSequence", "ImageOrientationPatient", count=6)
    position = _numbers(places, "PlanePositionSequence", "ImagePositionPatient", count=3)
    location = _numbers(places, "", "SliceLocation")
    step = 1.0
    for keyword in ("SliceThickness", "SpacingBetweenSlices"):
        found = _numbers(places, "PixelMeasuresSequence", keyword)
        step = abs(float(found[0])) if found is not None and found[0] else step
    rescale = "PixelValueTransformationSequence"
    slope = _numbers(places, rescale, "RescaleSlope")
    intercept = _numbers(places, rescale, "RescaleIntercept")
    echo = _first(
        places, ("MREchoSequence", "EffectiveEchoTime"), ("", "EffectiveEchoTime"), ("", "EchoTime")
    )
    has_axes = orientation is not None and _are_axes(orientation) and position is not None
    return StoredFrame(
        file=stored,
        index=index,
        rows_columns=(int(header.Rows), int(header.Columns)),
        spacing_mm=None if spacing is None or spacing.min() <= 0 else (spacing[0], spacing[1]),
        orientation=orientation if has_axes else None,
        position_mm=position if has_axes else None,
        slice_location_mm=0.0 if location is None else float(location[0]),
        slice_step_mm=step,
        trigger_ms=_trigger_ms(places, index),
        slope_intercept=(
            float(slope[0]) if slope is not None and slope[0] else 1.0,
            float(intercept[0]) if intercept is not None else 0.0,
        ),
        kind=kind_of(header, places[:-1], stored.raw_data_type),
        echo_ms=-1.0 if math.isnan(echo) else echo,
        clocks=_clocks(stored, places, index),
    )


def _clocks(stored: StoredFile, places: list[Dataset], index: int) -> Clocks:
    header = stored.header
    content: Dataset = next(
        (place.FrameContentSequence[0] for place in places if place.get("FrameContentSequence")),
        Dataset(),
    )
    acquired = seconds_of(
        content.get("FrameAcquisitionDateTime")
        or content.get("FrameReferenceDateTime")
        or header.get("AcquisitionDateTime")
        or f"{text_of(header.get('AcquisitionDate'))}{text_of(header.get('AcquisitionTime'))}"
    )
    number = _first(places, ("", "InstanceNumber"))
    within: tuple[float, ...] = ()
    if stored.is_multi_frame:
        part = _first(places, ("", "InConcatenationNumber"))
        offset = _first(places, ("", "ConcatenationFrameOffsetNumber"))
        # The parts of a concatenation share an instance number (PS3.3, C.7.6.16.2.2.4).
        start = (0.0, offset) if offset == offset else (0.0 if math.isnan(part) else part, 0.0)
        within = (start[0], start[1] + index)
        number = 0.0 if math.isnan(number) else number
    return Clocks(
        temporal=_first(
            places,
            ("FrameContentSequence", "TemporalPositionIndex"),
            ("", "TemporalPositionIdentifier"),
        ),
        dimension=tuple(
            int(each) for each in np.atleast_1d(content.get("DimensionIndexValues") or [])
        ),
        acquired=acquired,
        number=(number, *within),
        acquisition=_first(
            places, ("FrameContentSequence", "FrameAcquisitionNumber"), ("", "AcquisitionNumber")
        ),
        content=seconds_of(
            f"{text_of(header.get('ContentDate'))}{text_of(header.get('ContentTime'))}"
        ),
    )


def _functional_groups(header: Dataset, index: int) -> list[Dataset]:
    """Where an attribute of a frame may stand: in its own groups, the shared ones, the header."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    return [*own[index : index + 1], *shared[:1], header]


def _numbers(
    places: list[Dataset], macro: str, keyword: str, *, count: int = 1
) -> NDArray[np.float64] | None:
    for place in places:
        inner = place.get(macro) if macro else None
        for dataset in (*(inner[:1] if inner else ()), place):
            value = dataset.get(keyword)
            if value is not None and value != "":
                numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
                if numbers.shape == (count,) and np.isfinite(numbers).all():
                    return numbers
    return None


def _first(places: list[Dataset], *names: tuple[str, str]) -> float:
    """The first number that is there, of (macro, keyword); NaN where none is."""
    for macro, keyword in names:
        found = _numbers(places, macro, keyword)
        if found is not None:
            return float(found[0])
    return math.nan


def _trigger_ms(places: list[Dataset], index: int) -> float:
    found = _first(
        places,
        ("", "TriggerTime"),
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
        ("CardiacSynchronizationSequence", "ActualCardiacTriggerDelayTime"),
    )
    return _first(places, ("", "FrameTime")) * index if math.isnan(found) else found


def _are_axes(orientation: NDArray[np.float64]) -> bool:
    row, column = orientation[:3], orientation[3:]
    products = np.array([row @ row, column @ column, row @ column])
    return bool(np.allclose(products, [1.0, 1.0, 0.0], rtol=0, atol=0.01))


def read_pixels(frame: StoredFrame) -> NDArray[Any]:
    """The stored values of one frame, (row, column), before any rescaling.

    Raises:
        UnreadableFileError: The pixel data is broken.
        UnfitImageError: The colours of a pixel differ, so that it is not grey.
    """
    stored = frame.file
    decoder = get_decoder(stored.syntax)
    # Of pixels that carry their bits as they are, only the stored ones count (PS3.5, 8.1.1).
    is_plain = not stored.syntax.is_encapsulated or stored.syntax == RLELossless
    as_stored: dict[str, Any] = {"correct_unused_bits": False} if is_plain else {}
    try:
        with quiet_pydicom(), stored.path.open("rb") as file:
            if stored.syntax == DeflatedExplicitVRLittleEndian:
                values = decoder.as_array(dcmread(file), index=frame.index, **as_stored)[0]
            else:
                file.seek(stored.pixel_offset)
                options = {**stored.pixel_options, **as_stored}
                values = decoder.as_array(file, index=frame.index, **options)[0]
    except BROKEN_FILE as error:
        raise UnreadableFileError(
            f"{stored.path}: the pixels of frame {frame.index + 1} cannot be decoded ({error}).",
            hint=EXPORT_AGAIN,
        ) from error
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise not_grey(stored.path, "the channels of an RGB image differ")
        values = values[..., 0]
    values = np.ascontiguousarray(values, dtype=stored.dtype)
    return _stored_bits(values, stored) if is_plain else values


def padding_of(stored: StoredFile) -> Padding | None:
    """PixelPaddingValue, up to PixelPaddingRangeLimit, as the pixels hold it."""
    value, limit = (stored.header.get(f"PixelPadding{end}") for end in ("Value", "RangeLimit"))
    if value is None or value == "":
        return None
    bits = int(stored.header.BitsStored)
    ends = []
    for end in (value, value if limit is None or limit == "" else limit):
        # Some scanners write the two's complement of a signed value as an unsigned one.
        within = int(end) % 2**bits
        is_negative = stored.dtype.kind == "i" and within >= 2 ** (bits - 1)
        ends.append(within - 2**bits * is_negative)
    return Padding(min(ends), max(ends))


def _stored_bits(values: NDArray[Any], stored: StoredFile) -> NDArray[Any]:
    """The bits from HighBit down, BitsStored of them, with their sign; others may be overlays."""
    bits, allocated = int(stored.header.BitsStored), 8 * values.dtype.itemsize
    if bits == allocated:
        return values
    shifted: NDArray[Any] = np.left_shift(values, allocated - 1 - stored.high_bit)
    shifted >>= allocated - bits
    return shifted
