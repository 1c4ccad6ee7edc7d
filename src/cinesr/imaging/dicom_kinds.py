"""What a DICOM object is: a grey MR picture, another object, or many slices in one picture."""

from __future__ import annotations

from typing import Any

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from cinesr.imaging.dicom_values import text_of

MR_CLASSES = frozenset(
    {MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage}
)
_NO_PICTURE = ("Segmentation", "Parametric Map", "Spectroscopy", "Raw Data", "Mapping", "RT Dose")
"""Words in the names of classes that hold arrays, but none that is looked at as a picture."""

_MANY_SLICES = {"MOSAIC": "a Siemens mosaic", "VFRAME": "a UIH VFRAME"}


def class_of(header: Dataset) -> UID:
    """SOPClassUID of a header."""
    return UID(text_of(header.get("SOPClassUID")), validation_mode=IGNORE)


def is_mr(header: Dataset) -> bool:
    """Whether an object is an MR image, or of a private class that may be one."""
    kind = class_of(header)
    return kind in MR_CLASSES or kind.name == kind


def no_picture(header: Dataset) -> str | None:
    """Why an object that holds an array is no grey picture; None where it may be one."""
    name = class_of(header).name
    if any(words in name for words in _NO_PICTURE):
        return f"{name} is no grey picture"
    return None


def many_slices(header: Dataset) -> str | None:
    """Which vendor's way of putting many slices into one picture it is; None where it is not.

    Siemens puts the slices of a volume side by side (MOSAIC) and so does UIH (VFRAME); how many,
    and where they lie, stands in private elements only.
    """
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    types = [header.get("ImageType"), *(_frame_type(groups) for groups in shared)]
    for values in types:
        for value in values or ():
            if str(value).strip().upper() in _MANY_SLICES:
                return _MANY_SLICES[str(value).strip().upper()]
    return None


def _frame_types(groups: Dataset) -> list[Dataset]:
    return [
        element.value[0]
        for element in groups
        if element.VR == "SQ" and element.value and "FrameType" in element.value[0]
    ]


def _frame_type(groups: Dataset) -> Any:
    items = _frame_types(groups)
    return items[0].get("FrameType") if items else None


def kind_of(header: Dataset, groups: list[Dataset], raw_data_type: int | None) -> tuple[Any, ...]:
    """What tells apart pictures of one place: magnitude and phase, echo, direction of flow.

    Args:
        header: Of the file.
        groups: The functional groups of the frame, its own and the shared ones.
        raw_data_type: GE's private word for magnitude, phase, real or imaginary.
    """
    found: list[Any] = [
        class_of(header),
        _values(header.get("ImageType")),
        text_of(header.get("ComplexImageComponent")),
        text_of(header.get("EchoNumbers")),
        text_of(header.get("SequenceName")),
        raw_data_type,
    ]
    for group in groups:
        for item in _frame_types(group):
            found.append(_values(item.get("FrameType")))
            found.append(text_of(item.get("ComplexImageComponent")))
        flows = group.get("MRVelocityEncodingSequence") or ()
        found += [_values(flow.get("VelocityEncodingDirection")) for flow in flows]
    return tuple(found)


def words_of(part: Any) -> list[str]:
    """What a part of a kind says in words, for notes."""
    words = part if isinstance(part, tuple) else (part,)
    return [str(word) for word in words if word not in (None, "")]


def _values(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value))


def raw_data_type_of(header: Dataset) -> int | None:
    """Whether GE's classic MR holds magnitude (0), phase, real or imaginary parts.

    ImageType does not say it. To be asked before private elements are dropped.
    """
    try:
        value = header.private_block(0x0043, "GEMS_PARM_01")[0x2F].value
        if isinstance(value, bytes):
            value = int.from_bytes(value[:2], "little", signed=True)
        return int(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
