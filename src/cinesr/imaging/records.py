"""What earlier runs left, by the records that they wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cinesr.errors import CinesrError, OutputError

RECORD = "run.json"
"""What the workflow writes into its output folder; beside a single file, `<stem>.run.json`."""
PREVIEW = "preview.png"
SUFFIXES = (".nii.gz", ".nii", ".png", ".tif", ".tiff", ".npy", ".dcm")
"""Names of output files; an output of any other name is a folder of DICOM files."""

_MOST_NAMED = 10
_LARGEST_RECORD = 2**26


def suffix_of(path: str | Path) -> str:
    """The part of a name that says the format, as in `SUFFIXES`; empty for a DICOM folder."""
    name = Path(path).name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def companions(path: Path) -> tuple[Path, Path]:
    """Where the record and the preview of a single file stand."""
    stem = path.name[: len(path.name) - len(suffix_of(path))]
    return path.with_name(f"{stem}.{RECORD}"), path.with_name(f"{stem}.{PREVIEW}")


def files_within(folder: Path) -> list[str]:
    """What a record of a folder says that the run left there, the record itself included."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return sorted({*found, RECORD})


def read_record(path: Path) -> dict[str, Any] | None:
    """What a record of ours says; None where there is none, or it is somebody else's."""
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_RECORD:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not str(found.get("tool", "")).startswith("cinesr "):
        return None
    return found


def named_in(path: Path) -> frozenset[str]:
    """The files that a record names, relative to its own folder; none where it is not ours."""
    files = (read_record(path) or {}).get("files")
    if not isinstance(files, list):
        return frozenset()
    return frozenset(name for name in files if isinstance(name, str))


def left_by_runs(files: Iterable[Path]) -> tuple[set[Path], set[Path]]:
    """What earlier runs left among some files, by the records among them.

    Returns:
        Images, and what is none: records and previews.
    """
    images: set[Path] = set()
    others: set[Path] = set()
    for record in files:
        if record.name == RECORD or record.name.endswith(f".{RECORD}"):
            named = {record.parent / name for name in named_in(record)}
            found = read_record(record) or {}
            pictures = {record.parent / str(name) for name in found.get("pictures") or ()}
            others |= ({record} | pictures) & named
            images |= named - others
    return images, others


def refuse_strangers(folder: Path) -> None:
    """A mistyped output must not empty a folder of someone's other things.

    Raises:
        OutputError: The folder holds anything but the files that the record of an earlier run
            names; or, where there is no record, but DICOM files that say themselves that they are
            a result.
    """
    named = named_in(folder / RECORD)
    strangers = list(_strangers(folder, named))
    if strangers:
        more = len(strangers) - _MOST_NAMED
        listed = ", ".join(strangers[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        raise OutputError(
            f"{folder} holds files that are no earlier result: {listed}; overwriting would "
            "delete them.",
            hint="Name another output folder, or empty this one yourself.",
        )


def _strangers(folder: Path, named: frozenset[str]) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield name
        elif path.is_dir():
            if not any(path.iterdir()):
                yield f"{name}/"
        elif name not in named and (named or not _is_result(path, folder)):
            yield name


def _is_result(file: Path, folder: Path) -> bool:
    """Whether a file is as `save` writes a folder of DICOM, and says so."""
    from cinesr.imaging.dicom import is_dicom
    from cinesr.imaging.dicom_frames import read_frames
    from cinesr.imaging.dicom_writer import NOTICE

    if file.parent != folder or not file.name.startswith("IM_") or not is_dicom(file):
        return False
    try:
        return NOTICE in read_frames(file)[0].text("ImageComments")
    except CinesrError:
        return False
