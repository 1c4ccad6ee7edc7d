"""The values of DICOM elements: what a reader may trust, and text that must not change."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, PersonName

NUMBERS = {
    "AcquisitionNumber": 1,
    "ConcatenationFrameOffsetNumber": 1,
    "EchoTime": 1,
    "EffectiveEchoTime": 1,
    "FrameTime": 1,
    "HighBit": 1,
    "ImageOrientationPatient": 6,
    "ImagePositionPatient": 3,
    "InstanceNumber": 1,
    "NominalCardiacTriggerDelayTime": 1,
    "ActualCardiacTriggerDelayTime": 1,
    "PixelPaddingRangeLimit": 1,
    "PixelPaddingValue": 1,
    "PixelSpacing": 2,
    "RescaleIntercept": 1,
    "RescaleSlope": 1,
    "SeriesNumber": 1,
    "SliceLocation": 1,
    "SliceThickness": 1,
    "SpacingBetweenSlices": 1,
    "TemporalPositionIdentifier": 1,
    "TemporalPositionIndex": 1,
    "TriggerTime": 1,
}
"""Optional elements that sorting and writing look at, and how many numbers each has to hold."""

_ESCAPE = 0x1B
_LONGEST_NAMED = 40


def decode(
    dataset: Dataset, broken: tuple[type[Exception], ...], *, charset: Any = None
) -> list[str]:
    """Decodes all elements at every depth, and drops those that cannot be kept in a new file.

    These are the retired group lengths; values that break their own encoding or are not the numbers
    that they should be; and private elements: nothing tells which of them describe the pixel grid,
    and some vendors keep hundreds of kilobytes of them in each file. Text that does not come back
    in its declared character set stays as the bytes that it was.

    Args:
        dataset: Of a file; changed.
        broken: What pydicom raises on broken values.
        charset: SpecificCharacterSet of the data set around it.

    Returns:
        What was passed over, in words.
    """
    charset = dataset.get("SpecificCharacterSet", charset)
    dropped: list[str] = []
    for tag in list(dataset.keys()):
        if tag.is_private or tag.element == 0:
            del dataset[tag]
            continue
        raw = dataset.get_item(tag)
        stored = getattr(raw, "value", None) if getattr(raw, "is_raw", False) else None
        try:
            element = dataset[tag]
        except broken:
            dropped.append(_passed_over(tag, stored))
            del dataset[tag]
            continue
        if element.VR == "SQ":
            for item in element.value:
                dropped += decode(item, broken, charset=charset)
        elif not _is_sound(element):
            dropped.append(_passed_over(tag, stored))
            del dataset[tag]
        elif isinstance(stored, bytes) and not _is_plain(stored):
            _keep_bytes(dataset, element, stored, charset)
    return list(dict.fromkeys(dropped))


def _is_sound(element: DataElement) -> bool:
    """Whether an element that should hold numbers holds them; an empty one says nothing wrong."""
    count = NUMBERS.get(element.keyword)
    if count is None or element.is_empty:
        return True
    try:
        numbers = np.atleast_1d(np.asarray(element.value, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        return False
    return numbers.shape == (count,) and bool(np.isfinite(numbers).all())


def _passed_over(tag: Any, stored: bytes | None) -> str:
    element = DataElement(tag, "UN", b"")
    name = element.keyword or str(tag)
    text = (stored or b"").decode("latin-1").strip(" \0")[:_LONGEST_NAMED]
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f'{name} "{shown}" is no value of its kind and was passed over'


def _is_plain(stored: bytes) -> bool:
    return stored.isascii() and _ESCAPE not in stored


def _keep_bytes(dataset: Dataset, element: DataElement, stored: bytes, charset: Any) -> None:
    """Leaves text as its bytes, where decoding and encoding it again would change them."""
    if element.VR not in CUSTOMIZABLE_CHARSET_VR:
        return
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    try:
        write_data_element(buffer, element, charset or "")
        written = buffer.getvalue()[8:]
    except (LookupError, UnicodeError, ValueError):
        written = b""
    text = stored.rstrip(b" \0")
    if written.rstrip(b" \0") == text:
        return
    kept = DataElement(element.tag, element.VR, "" if element.VR == "PN" else text)
    if element.VR == "PN":
        # The setter would make a name of it that encodes itself anew.
        kept._value = _KeptName(text)
    dataset[element.tag] = kept


class _KeptName(PersonName):
    """A person's name that is written as the bytes that it came in."""

    def encode(self, encodings: Any = None) -> bytes:
        """The bytes, whatever the character set."""
        return bytes(self.original_string)


def text_of(value: Any) -> str:
    """An element's value as text to be read, not to be written back; empty where missing."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return str(value).strip()


def joined_text(before: str, value: Any, after: str, *, longest: int | None = None) -> str | bytes:
    """A text with ASCII words around it; in bytes, where the text itself is kept in bytes.

    Args:
        before: In front of it.
        value: As the element holds it, or None.
        after: Behind it.
        longest: How much of the text itself may stay.
    """
    if isinstance(value, bytes):
        return before.encode() + value[:longest].strip() + after.encode()
    return f"{before}{text_of(value)[:longest].strip()}{after}"


def seconds_of(value: Any) -> float:
    """A DICOM time (TM) or date with time (DT) in seconds, of the day or of the calendar.

    Args:
        value: HHMMSS.FFFFFF or YYYYMMDDHHMMSS.FFFFFF, with fewer digits at the end or the colons of
            old files; NaN where it is neither.
    """
    text = text_of(value).split("+")[0].split("-")[0].replace(":", "").strip()
    whole, _, fraction = text.partition(".")
    if not whole.isdecimal() or not (fraction.isdecimal() or not fraction):
        return float("nan")
    days = 0
    if len(whole) >= 8:
        try:
            days = int(np.datetime64(f"{whole[:4]}-{whole[4:6]}-{whole[6:8]}", "D").astype(int))
        except ValueError:
            return float("nan")
        whole = whole[8:]
    whole = whole.ljust(6, "0")[:6]
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:6])
    if hours > 23 or minutes > 59 or seconds > 60:
        return float("nan")
    return days * 86400.0 + hours * 3600 + minutes * 60 + seconds + float(f"0.{fraction or 0}")
