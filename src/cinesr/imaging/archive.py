"""Zip archives of scans, unpacked for as long as the program runs."""

from __future__ import annotations

import errno
import lzma
import shutil
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from cinesr.errors import OutputError, UnreadableFileError
from cinesr.imaging.scratch import scratch_until_exit

MOST_BYTES = 32 * 2**30
MOST_FILES = 200_000
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, IndexError),
)
"""What Python raises for an archive that is broken in one way or another."""
_NAMES = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL)
"""Members whose names cannot be, or not beside each other."""
SUSPICIOUS_BYTES = 2**30
SUSPICIOUS_RATIO = 100
"""A scan shrinks to a half or a tenth; what swells a hundredfold beyond a gigabyte is a trap."""


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip archive does."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpacked(path: Path) -> Path:
    """Unpacks an archive into a temporary folder that goes when the program ends.

    Frames are read from it later, so it cannot go before.

    Raises:
        UnreadableFileError: A broken, encrypted or malicious archive.
        OutputError: No room for its content.
    """
    try:
        folder = scratch_until_exit("unpacked")
    except OSError as error:
        raise _no_room(path, error) from error
    try:
        _unpack(path, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _refuse_traps(path, members)
            _refuse_without_room(path, folder, members)
            for member in members:
                archive.extract(member, folder)
    except _BROKEN as error:
        raise _not_whole(path, error) from error
    except OSError as error:
        if error.errno is None or error.errno in _NAMES:
            raise _not_whole(path, error) from error
        raise _no_room(path, error) from error


def _not_whole(path: Path, error: Exception) -> UnreadableFileError:
    return UnreadableFileError(
        f"{path.name} is not a whole zip archive ({error}).",
        hint="Copy or export it again, or unpack it and name the folder.",
    )


def _no_room(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path.name} could not be unpacked into {tempfile.gettempdir()}: {error.strerror}.",
        hint="Make room there, or unpack it elsewhere and name the folder.",
    )


def _refuse_traps(path: Path, members: list[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    swells = size > SUSPICIOUS_BYTES and size > SUSPICIOUS_RATIO * packed
    if size > MOST_BYTES or len(members) > MOST_FILES or swells:
        raise UnreadableFileError(
            f"{path.name} would unpack to {len(members)} files of {size / 2**30:.1f} GiB from "
            f"{packed / 2**20:.1f} MiB; no scan does.",
            hint="If you trust it, unpack it yourself and name the folder.",
        )
    for member in members:
        name = member.filename
        if member.flag_bits & 1:
            raise UnreadableFileError(
                f"{path.name} is encrypted.", hint="Unpack it with its password first."
            )
        leads_out = ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute()
        if leads_out or PureWindowsPath(name).drive or ".." in PureWindowsPath(name).parts:
            raise UnreadableFileError(
                f"{path.name} holds {name!r}, which leads out of its own folder.",
                hint="Such an archive is not safe; ask for another.",
            )


def _refuse_without_room(path: Path, folder: Path, members: list[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    if size > shutil.disk_usage(folder).free:
        raise OutputError(
            f"{path.name} needs {size / 2**30:.1f} GiB in {tempfile.gettempdir()}, where there is "
            "no room.",
            hint="Make room there, or unpack it elsewhere and name the folder.",
        )
