"""Writes a derived cine as DICOM: new pixels and a new grid under the header of the source.

What changes and what stays follows DICOM PS3.3, C.7.6.1.1.2 (ImageType) and C.7.6.1.1.3
(derivation); the codes are those of PS3.16, CID 7202 and 7203, and annex D.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from cinesr import __version__
from cinesr.errors import OutputError
from cinesr.imaging.cine import Cine, Derivation
from cinesr.imaging.dicom_files import PIXEL_DATA_GROUP, StoredFile, quiet_pydicom
from cinesr.imaging.dicom_frames import DicomSource, StoredFrame
from cinesr.imaging.dicom_values import joined_text

NOTICE = "research use only"
_UNWRITABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(NotImplementedError, RecursionError, struct.error),
)
"""What pydicom raises for values that are none of their kind."""
LONGEST_SERIES_DESCRIPTION = 64
LONGEST_DERIVATION_DESCRIPTION = 1024
LARGEST_INTEGER = 2**31 - 1

# Groups that describe the old pixels: curves, overlays, the offsets of compressed frames, and
# signatures over them; and single elements: the icon, ultrasound regions, spacings at the detector.
STALE_GROUPS = (*range(0x5000, 0x5020), *range(0x6000, 0x6020), PIXEL_DATA_GROUP, 0x4FFE, 0xFFFA)
STALE_ELEMENTS = (
    "IconImageSequence",
    "SequenceOfUltrasoundRegions",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "PlanarConfiguration",
    "ConcatenationUID",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
    "SOPInstanceUIDOfConcatenationSource",
)
Place = tuple[int, int, StoredFrame]


@dataclass(frozen=True, eq=False)
class _Output:
    """One file to write: its number, and the (time, slice, frame) of its source that go in."""

    number: int
    source: StoredFile
    places: list[Place]


def write(cine: Cine, folder: Path) -> list[Path]:
    """Writes a cine as a new DICOM series, frame by frame as they come.

    Args:
        cine: Read from DICOM, then derived: other pixels on another grid of the same slices.
        folder: An empty folder.

    Returns:
        The files written, slice by slice and phase by phase.

    Raises:
        OutputError: The cine was not read from DICOM, or a file cannot be written.
    """
    source = _require_source(cine)
    outputs = _outputs(source)
    series_uids = {_series_uid(output.source): str(generate_uid()) for output in outputs}
    of_file = {id(output.source): output for output in outputs}
    paths = {output.number: folder / f"IM_{output.number:04d}.dcm" for output in outputs}
    with ExitStack() as open_files, quiet_pydicom():
        spools: dict[int, _Spool] = {}
        for time, slice_index, frame in cine.iter_frames():
            place = source.frames[time][slice_index]
            output = of_file[id(place.file)]
            pixels = _to_stored(frame, place, source)
            if not place.file.is_multi_frame:
                with _naming_faults(cine):
                    header = _derived_header(cine, output, series_uids)
                    _describe_image(header, cine, output.places[0])
                    _write_file(header, pixels.tobytes(), _range_of(pixels), paths[output.number])
                continue
            if output.number not in spools:
                spools[output.number] = _Spool(open_files, paths[output.number], output)
            spools[output.number].add(time, slice_index, pixels)
        for output in outputs:
            if output.number in spools:
                spool = spools[output.number]
                with _naming_faults(cine):
                    header = _derived_header(cine, output, series_uids)
                    _describe_frames(header, cine, output)
                    spool.file.seek(0)
                    _write_file(header, spool.file, spool.value_range, paths[output.number])
    for spool in spools.values():
        spool.path.unlink()
    return list(paths.values())


def _require_source(cine: Cine) -> DicomSource:
    source = cine.source
    if not isinstance(source, DicomSource):
        raise OutputError(
            f"{cine.name}: DICOM can only be written from an image that was read from DICOM, "
            "whose headers name the patient, the study and the scanner.",
            hint="Choose another format, for example an output that ends in .nii.gz.",
        )
    if (len(source.frames), len(source.frames[0])) != cine.shape[:2]:
        raise OutputError(
            f"{cine.name}: {cine.shape[0]} phases of {cine.shape[1]} slices, but the DICOM headers "
            f"are those of {len(source.frames)} phases of {len(source.frames[0])} slices.",
            hint="Keep the phases and slices as they were read, or write .nii.gz.",
        )
    return source


def _series_uid(file: StoredFile) -> str:
    return str(file.header.get("SeriesInstanceUID", ""))


def _outputs(source: DicomSource) -> list[_Output]:
    """One output for each source file, slice by slice and phase by phase."""
    places: dict[int, list[Place]] = {}
    for slice_index in range(len(source.frames[0])):
        for time, row in enumerate(source.frames):
            frame = row[slice_index]
            places.setdefault(id(frame.file), []).append((time, slice_index, frame))
    return [
        _Output(number, group[0][2].file, sorted(group, key=lambda place: place[2].index))
        for number, group in enumerate(places.values(), start=1)
    ]


class _Spool:
    """Collects the frames of a multi-frame file on disk: they come in another order."""

    def __init__(self, open_files: ExitStack, path: Path, output: _Output) -> None:
        self.path = path.with_suffix(".pixels")
        with _writing(self.path):
            self.file: BinaryIO = open_files.enter_context(self.path.open("w+b"))
        self.value_range = (LARGEST_INTEGER, -LARGEST_INTEGER)
        self._order = {place[:2]: at for at, place in enumerate(output.places)}

    def add(self, time: int, slice_index: int, pixels: NDArray[Any]) -> None:
        low, high = _range_of(pixels)
        self.value_range = min(low, self.value_range[0]), max(high, self.value_range[1])
        with _writing(self.path):
            self.file.seek(self._order[time, slice_index] * pixels.nbytes)
            self.file.write(pixels.tobytes())
            self.file.flush()


def _to_stored(
    frame: NDArray[Any], place: StoredFrame, source: DicomSource
) -> NDArray[np.integer[Any]]:
    values = frame
    if source.is_rescaled:
        slope, intercept = place.slope_intercept
        values = (np.asarray(frame, dtype=np.float64) - intercept) / slope
        if source.padding:
            values[frame == source.rescaled_padding] = source.padding.low
    if values.dtype.kind == "f":
        values = np.rint(values)
    little_endian = source.dtype.newbyteorder("<")
    return np.ascontiguousarray(np.clip(values, *source.stored_range), dtype=little_endian)


def _range_of(pixels: NDArray[Any]) -> tuple[int, int]:
    return int(pixels.min()), int(pixels.max())


def _derived_header(cine: Cine, output: _Output, series_uids: dict[str, str]) -> Dataset:
    """The source's header with all that a derived image has of its own, but for its place."""
    header = copy.deepcopy(output.source.header)
    _drop_stale(header)
    label = f"{_plain(_derivation(cine).label)} - {NOTICE}"[:LONGEST_SERIES_DESCRIPTION]
    room = LONGEST_SERIES_DESCRIPTION - len(label) - 1
    described = header.get("SeriesDescription") or ""
    header.SeriesDescription = joined_text("", described, f" {label}", longest=max(room, 0)).strip()
    comments = header.get("ImageComments")
    header.ImageComments = joined_text(f"{label}; before: ", comments, "") if comments else label
    number = _series_number(header) * 100 + 1
    header.SeriesNumber = number if number <= LARGEST_INTEGER else number % 10**9
    header.InstanceNumber = output.number
    header.SeriesInstanceUID = series_uids[_series_uid(output.source)]
    header.SOPInstanceUID = generate_uid()
    now = datetime.now()
    header.InstanceCreationDate = now.strftime("%Y%m%d")
    header.InstanceCreationTime = now.strftime("%H%M%S")
    header.ImageType = _derived_type(header)
    _append(header, "ContributingEquipmentSequence", _equipment())
    header.Rows, header.Columns = cine.shape[2:]
    header.SamplesPerPixel = 1
    if header.PhotometricInterpretation != "MONOCHROME1":
        header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored = cine.source.bits_stored
    header.HighBit = cine.source.bits_stored - 1
    return header


def _series_number(header: Dataset) -> int:
    number = str(header.get("SeriesNumber") or "")
    return int(number) if number.isdecimal() else 0


def _derivation(cine: Cine) -> Derivation:
    return cine.derivation or Derivation("derived", f"cinesr {__version__}")


def _drop_stale(header: Dataset) -> None:
    for tag in [tag for tag in header.keys() if tag.group in STALE_GROUPS]:  # noqa: SIM118
        del header[tag]
    for keyword in STALE_ELEMENTS:
        if keyword in header:
            del header[keyword]


def _plain(text: str) -> str:
    """Text that any character set holds, without the backslash that parts values."""
    return text.encode("ascii", "replace").decode("ascii").replace("\\", "/")


def _derived_type(header: Dataset) -> list[str]:
    values = list(header.get("ImageType") or ("", "", "OTHER"))
    if "SharedFunctionalGroupsSequence" in header:
        return _derived_frame_type(values)
    return ["DERIVED", "SECONDARY", *values[2:]]


def _derived_frame_type(values: list[str]) -> list[str]:
    # Enhanced images know PRIMARY alone as value 2, and name the derivation in value 4 (PS3.3,
    # C.8.16.1).
    return ["DERIVED", "PRIMARY", *values[2:3], "RESAMPLED"]


def _append(dataset: Dataset, keyword: str, item: Dataset) -> None:
    setattr(dataset, keyword, Sequence([*(dataset.get(keyword) or ()), item]))


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = "DCM"
    code.CodeMeaning = meaning
    return code


def _equipment() -> Dataset:
    item = Dataset()
    item.Manufacturer = "cinesr"
    item.ManufacturerModelName = "cinesr"
    item.SoftwareVersions = __version__
    item.ContributionDescription = f"Image processing, {NOTICE}"
    item.PurposeOfReferenceCodeSequence = Sequence([_code("109102", "Processing Equipment")])
    return item


def _source_image(frame: StoredFrame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = frame.file.header.SOPClassUID
    item.ReferencedSOPInstanceUID = frame.file.header.SOPInstanceUID
    if frame.file.is_multi_frame:
        item.ReferencedFrameNumber = frame.index + 1
    purpose = _code("121322", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = Sequence([purpose])
    return item


def _set_spacing(target: Dataset, cine: Cine) -> None:
    column_mm, row_mm, _ = cine.geometry.spacing_mm
    target.PixelSpacing = [DSfloat(each, auto_format=True) for each in (row_mm, column_mm)]


def _set_position(target: Dataset, cine: Cine, slice_index: int) -> None:
    position = cine.geometry.positions_mm[slice_index]
    target.ImagePositionPatient = [DSfloat(float(each), auto_format=True) for each in position]


def _describe_image(header: Dataset, cine: Cine, place: Place) -> None:
    """Says in the header itself where the image lies and what it came from."""
    _, slice_index, frame = place
    _set_spacing(header, cine)
    if frame.position_mm is not None:
        _set_position(header, cine, slice_index)
    _describe_derivation(header, cine, frame)


def _describe_derivation(target: Dataset, cine: Cine, frame: StoredFrame) -> None:
    earlier = target.get("DerivationDescription")
    words = _plain(_derivation(cine).description)
    description = joined_text(f"{words}; before: ", earlier, "") if earlier else words
    target.DerivationDescription = description[:LONGEST_DERIVATION_DESCRIPTION]
    code = _code("113085", "Spatial resampling")
    _append(target, "DerivationCodeSequence", code)
    if frame.text("SOPInstanceUID"):
        target.SourceImageSequence = Sequence([_source_image(frame)])


def _describe_frames(header: Dataset, cine: Cine, output: _Output) -> None:
    """Says for each frame of a multi-frame image where it lies and what it came from."""
    header.NumberOfFrames = len(output.places)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        _describe_image(header, cine, output.places[0])
        return
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    _set_frame_type(shared)
    kept = [copy.deepcopy(groups[frame.index]) for _, _, frame in output.places]
    for own, (_, slice_index, frame) in zip(kept, output.places, strict=True):
        _set_spacing(_macro_item(own, shared, "PixelMeasuresSequence"), cine)
        if frame.position_mm is not None:
            _set_position(_macro_item(own, shared, "PlanePositionSequence"), cine, slice_index)
        _set_frame_type(own)
        derivation = Dataset()
        _describe_derivation(derivation, cine, frame)
        _append(own, "DerivationImageSequence", derivation)
    header.PerFrameFunctionalGroupsSequence = Sequence(kept)
    header.SourceImageEvidenceSequence = Sequence([_evidence(output.source.header)])


def _evidence(source: Dataset) -> Dataset:
    """Where the source images are to be found: required of derived enhanced images."""
    instance = Dataset()
    instance.ReferencedSOPClassUID = source.SOPClassUID
    instance.ReferencedSOPInstanceUID = source.get("SOPInstanceUID", "")
    series = Dataset()
    series.ReferencedSOPSequence = Sequence([instance])
    series.SeriesInstanceUID = source.get("SeriesInstanceUID", "")
    study = Dataset()
    study.ReferencedSeriesSequence = Sequence([series])
    study.StudyInstanceUID = source.get("StudyInstanceUID", "")
    return study


def _macro_item(own: Dataset, shared: Dataset, macro: str) -> Dataset:
    for groups in (own, shared):
        if groups.get(macro):
            item: Dataset = groups[macro][0]
            return item
    item = Dataset()
    setattr(own, macro, Sequence([item]))
    return item


def _set_frame_type(groups: Dataset) -> None:
    for element in groups:
        if element.VR == "SQ" and element.value and "FrameType" in element.value[0]:
            item = element.value[0]
            item.FrameType = _derived_frame_type(list(item.FrameType))


def _write_file(
    header: Dataset, pixels: bytes | BinaryIO, value_range: tuple[int, int], path: Path
) -> None:
    kind = "SS" if header.PixelRepresentation else "US"
    for keyword, value in zip(
        ("SmallestImagePixelValue", "LargestImagePixelValue"), value_range, strict=True
    ):
        header[keyword] = DataElement(keyword, kind, value)
    header["PixelData"] = DataElement(
        "PixelData", "OB" if header.BitsAllocated == 8 else "OW", pixels
    )
    # Broken files hold elements that belong before a data set, not into it (PS3.10, 7.1; PS3.7).
    for tag in [tag for tag in header.keys() if tag.group in (0, 2)]:  # noqa: SIM118
        del header[tag]
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with _writing(path):
        dcmwrite(path, header, implicit_vr=False, little_endian=True, enforce_file_format=True)


@contextmanager
def _naming_faults(cine: Cine) -> Iterator[None]:
    """What a header holds that is no DICOM shows only when it is changed and written again."""
    try:
        yield
    except _UNWRITABLE as error:
        raise _unwritable(cine, error) from error


def _unwritable(cine: Cine, error: Exception) -> OutputError:
    return OutputError(
        f"{cine.name}: its headers cannot be written as DICOM ({error}).",
        hint="Export the scan again, or choose another format, such as an output that ends in "
        ".nii.gz.",
    )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause: OSError = error
        # pydicom raises the error anew without the number that tells what it was.
        while isinstance(cause.__cause__, OSError):
            cause = cause.__cause__
        raise OutputError(
            f"{path}: the file cannot be written ({cause.strerror}).",
            hint="Check that there is room on the disk.",
        ) from cause
