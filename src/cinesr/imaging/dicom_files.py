"""DICOM files: what they are, and their headers up to where the pixels begin."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from cinesr.errors import MissingCodecError, UnfitImageError, UnreadableFileError
from cinesr.imaging.dicom_kinds import many_slices, no_picture, raw_data_type_of
from cinesr.imaging.dicom_values import decode

# What pydicom and its decoders raise on broken files: they promise no exception of their own.
BROKEN_FILE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
PIXEL_DATA_GROUP = 0x7FE0
EXPORT_AGAIN = "Export or copy the file again; it may have been cut off."


class NotAnImageError(UnreadableFileError):
    """A sound DICOM file that holds no image: a report, a presentation state, a directory."""


class OtherObjectError(UnfitImageError):
    """A sound DICOM file that holds an array, but no grey picture: labels, spectra, a mosaic."""


@dataclass(frozen=True, eq=False)
class StoredFile:
    """One DICOM file: its public header, and where its pixels lie.

    Args:
        path: Where the file is.
        header: All public elements of the data set before the pixels.
        syntax: Transfer syntax: how the pixels are encoded.
        pixel_offset: Byte at which the value of Pixel Data begins.
        pixel_options: What pydicom's decoders need to know of the Image Pixel module.
        raw_data_type: GE's private word for magnitude, phase, real or imaginary.
        notes: What of the header was passed over.
    """

    path: Path
    header: Dataset
    syntax: UID
    pixel_offset: int
    pixel_options: dict[str, Any]
    raw_data_type: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def high_bit(self) -> int:
        """Of the stored values within their allocated bits (PS3.5, 8.1.1)."""
        bits = int(self.header.BitsStored)
        high = self.header.get("HighBit")
        is_sound = high is not None and bits - 1 <= int(high) < int(self.header.BitsAllocated)
        return int(high) if is_sound else bits - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values, by BitsAllocated and PixelRepresentation."""
        size = int(self.header.BitsAllocated) // 8
        return np.dtype(f"{'i' if self.header.get('PixelRepresentation') else 'u'}{size}")

    @property
    def is_multi_frame(self) -> bool:
        """Whether the file is of a kind that can hold several frames."""
        return "NumberOfFrames" in self.header


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keeps pydicom's warnings about a scanner's invalid values off the user's screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content: a DICM prefix, or a data set that names its class."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
            if start[128:] == b"DICM":
                return True
            # Without the prefix a data set begins with group 0002 or 0008, in either byte order.
            if start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
                return False
            file.seek(0)
            with quiet_pydicom():
                found = dcmread(file, force=True, stop_before_pixels=True)
                return bool(UID(found.get("SOPClassUID", "")).is_valid)
    except BROKEN_FILE:
        return False


def read_header(path: Path, file: BinaryIO) -> StoredFile:
    """Reads the header of an image up to its pixels, and checks that they can be read.

    Args:
        path: Of the file, for messages.
        file: The open file, at its beginning.

    Raises:
        NotAnImageError: The file is DICOM, but a report, a directory or the like.
        UnreadableFileError: The file is cut off, or holds no pixel data.
        OtherObjectError: The file holds an array that is no grey picture.
        UnfitImageError: The file holds an image that is not grey.
        MissingCodecError: No decoder for its compression is installed.
    """
    header = dcmread(file, force=True, stop_before_pixels=True)
    raw_data_type = raw_data_type_of(header)
    notes = tuple(decode(header, BROKEN_FILE))
    if not header.get("SOPClassUID") and not header.file_meta.get("MediaStorageSOPClassUID"):
        raise UnreadableFileError(
            f"{path}: the DICOM header ends before it says what the file is.", hint=EXPORT_AGAIN
        )
    _require_image(path, header)
    syntax = _transfer_syntax(header)
    _require_decoder(path, syntax)
    options = as_pixel_options(header, pixel_keyword="PixelData", transfer_syntax_uid=syntax)
    stored = StoredFile(path, header, syntax, 0, options, raw_data_type, notes)
    _require_grey_integers(stored)
    if syntax == DeflatedExplicitVRLittleEndian:
        return stored
    length = _enter_pixel_data(file, stored)
    offset = file.tell()
    needed = stored.dtype.itemsize * header.Rows * header.Columns * header.SamplesPerPixel
    needed *= options["number_of_frames"]
    there = path.stat().st_size - offset
    if not syntax.is_encapsulated and min(there, length) < needed:
        raise UnreadableFileError(
            f"{path}: the pixel data is cut off: {min(there, length)} bytes of {needed}.",
            hint=EXPORT_AGAIN,
        )
    return replace(stored, pixel_offset=offset)


def _require_image(path: Path, header: Dataset) -> None:
    kind = UID(header.get("SOPClassUID") or header.file_meta.MediaStorageSOPClassUID)
    header.SOPClassUID = kind
    if kind.name == kind and "SeriesInstanceUID" not in header:
        raise UnreadableFileError(
            f"{path}: the file is cut off or broken: its header is not that of an image.",
            hint=EXPORT_AGAIN,
        )
    is_image = "Image Storage" in kind.name or "Rows" in header
    if kind == MediaStorageDirectoryStorage or not is_image:
        raise NotAnImageError(
            f"{path}: {kind.name} holds no image.", hint="Name the DICOM images themselves."
        )
    if reason := no_picture(header):
        raise OtherObjectError(
            f"{path}: {reason}; expected shades of grey.", hint="Name the MR images themselves."
        )
    if reason := many_slices(header):
        raise OtherObjectError(
            f"{path}: {reason}, many slices in one picture; expected one slice each.",
            hint="Unpack it first, for example with dcm2niix, and name the NIfTI file.",
        )
    expected = ("SOPClassUID", "Rows", "Columns", "BitsAllocated", "BitsStored")
    missing = [keyword for keyword in expected if not header.get(keyword)]
    if missing:
        raise UnreadableFileError(
            f"{path}: the file is cut off or broken: it has no {', '.join(missing)} and so no "
            "pixel data.",
            hint=EXPORT_AGAIN,
        )
    if "SamplesPerPixel" not in header:
        header.SamplesPerPixel = 1
    if "PixelRepresentation" not in header:
        header.PixelRepresentation = 0
    if "PhotometricInterpretation" not in header:
        header.PhotometricInterpretation = "MONOCHROME2"


def _transfer_syntax(header: Dataset) -> UID:
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax:
        return UID(syntax)
    is_implicit, is_little = header.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _require_decoder(path: Path, syntax: UID) -> None:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnreadableFileError(
            f"{path}: the transfer syntax {syntax.name} cannot be read.",
            hint="Convert the files to Explicit VR Little Endian, for example with gdcmconv --raw.",
        ) from error
    if not decoder.is_available:
        raise MissingCodecError(
            f"{path}: the pixels are compressed ({syntax.name}) and no decoder is installed.",
            hint='Install the decoders: pip install "cinesr[codecs]"',
        )


def _require_grey_integers(stored: StoredFile) -> None:
    header, path = stored.header, stored.path
    if header.BitsAllocated not in (8, 16) or not 1 <= header.BitsStored <= header.BitsAllocated:
        raise UnfitImageError(
            f"{path}: {header.BitsStored} of {header.BitsAllocated} bits per pixel; expected "
            "whole numbers of 8 or 16 bits.",
            hint="Convert the image to 16 bits first.",
        )
    colours = header.PhotometricInterpretation
    if header.SamplesPerPixel not in (1, 3) or colours == "PALETTE COLOR":
        raise not_grey(path, f"{header.SamplesPerPixel} samples per pixel, {colours}")


def not_grey(path: Path, what: str) -> UnfitImageError:
    """The error for an image in colour."""
    return UnfitImageError(
        f"{path}: a colour image ({what}); expected shades of grey.",
        hint="Leave colour images out: screenshots, maps and flow overlays.",
    )


def _enter_pixel_data(file: BinaryIO, stored: StoredFile) -> int:
    """Moves on from the tag of Pixel Data to its value, and gives the length that it claims."""
    endian = "<" if stored.syntax.is_little_endian else ">"
    start = file.read(8 if stored.syntax.is_implicit_VR else 12)
    tag = struct.unpack(f"{endian}HH", start[:4]) if len(start) >= 8 else None
    if tag != (PIXEL_DATA_GROUP, 0x0010):
        raise UnreadableFileError(
            f"{stored.path}: the file holds no pixel data after its header.", hint=EXPORT_AGAIN
        )
    if not stored.syntax.is_implicit_VR:
        stored.pixel_options["pixel_vr"] = start[4:6].decode("ascii", "replace")
    return int(struct.unpack(f"{endian}L", start[-4:])[0])
