"""Archives of scans (zip, tar) and files packed by gzip, unpacked while the program runs."""

from __future__ import annotations

import errno
import gzip
import lzma
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from cinesr.errors import OutputError, UnreadableFileError
from cinesr.imaging.scratch import scratch_until_exit

ARCHIVE_SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar", ".dcm.gz", ".gz")
"""Endings that are cut off to name what comes of an archive."""

MOST_BYTES = 32 * 2**30
MOST_FILES = 200_000
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile),
    *(zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, IndexError),
)
"""What Python raises for an archive that is broken in one way or another."""
_NAMES = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL)
"""Members whose names cannot be, or not beside each other."""
SUSPICIOUS_BYTES = 2**30
SUSPICIOUS_RATIO = 100
"""A scan shrinks to a half or a tenth; what swells a hundredfold beyond a gigabyte is a trap."""

_BLOCK = 2**20


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip archive does."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def is_archive(path: Path) -> bool:
    """Whether the file is a zip, a tar, plain or packed by gzip, or a DICOM file packed by gzip."""
    return is_zip(path) or _is_tar(_beginning(path)) or is_packed_dicom(path)


def is_packed_dicom(path: Path) -> bool:
    """Whether the file is a DICOM file packed by gzip."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return is_gzip and _beginning(path)[128:132] == b"DICM"


def _beginning(path: Path) -> bytes:
    """The first bytes of a file, unpacked where gzip packed it."""
    with path.open("rb") as file:
        start = file.read(512)
        if start[:2] != b"\x1f\x8b":
            return start
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file) as packed:
                return packed.read(512)
        except _BROKEN:
            return b""


def _is_tar(beginning: bytes) -> bool:
    return beginning[257:262] == b"ustar"


def stem_of(name: str) -> str:
    """The name of an archive without the ending that says so."""
    suffix = next((each for each in ARCHIVE_SUFFIXES if name.lower().endswith(each)), "")
    return name[: len(name) - len(suffix)]


def unpacked(path: Path) -> Path:
    """Unpacks an archive into a temporary folder that goes when the program ends.

    Frames are read from it later, so it cannot go before. Members of one name are all kept, the
    later ones in folders of their own.

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
    kind = "zip" if is_zip(path) else "tar" if _is_tar(_beginning(path)) else "gzip"
    try:
        {"zip": _unpack_zip, "tar": _unpack_tar, "gzip": _unpack_gzip}[kind](path, folder)
    except _BROKEN as error:
        raise _not_whole(path, kind, error) from error
    except OSError as error:
        if error.errno is None or error.errno in _NAMES:
            raise _not_whole(path, kind, error) from error
        raise _no_room(path, error) from error


def _not_whole(path: Path, kind: str, error: Exception) -> UnreadableFileError:
    return UnreadableFileError(
        f"{path.name} is not a whole {kind} archive ({error}).",
        hint="Copy or export it again, or unpack it and name the folder.",
    )


def _no_room(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path.name} could not be unpacked into {tempfile.gettempdir()}: {error.strerror}.",
        hint="Make room there, or unpack it elsewhere and name the folder.",
    )


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        size = sum(member.file_size for member in members)
        packed = sum(member.compress_size for member in members)
        _refuse_trap(path, size, packed, len(members))
        for member in members:
            if member.flag_bits & 1:
                raise UnreadableFileError(
                    f"{path.name} is encrypted.", hint="Unpack it with its password first."
                )
            _refuse_to_lead_out(path, member.filename)
        _refuse_without_room(path, folder, size)
        for member in members:
            archive.extract(member, _room_for(folder, member.filename))


def _unpack_tar(path: Path, folder: Path) -> None:
    size, count, packed = 0, 0, path.stat().st_size
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            _refuse_to_lead_out(path, member.name)
            if not (member.isfile() or member.islnk() or member.issym()):
                continue
            count += 1
            _refuse_trap(path, size + member.size, packed, count)
            _refuse_without_room(path, folder, size + member.size, written=size)
            content = _content(archive, member)
            if content is not None:
                target = _room_for(folder, member.name) / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with content:
                    # A link has no size of its own, and is unpacked as what it leads to.
                    size = _poured(content, target, of=path, size=size, files=count)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """What a member holds, or that to which it is a link within the archive."""
    try:
        return archive.extractfile(member)
    except KeyError:
        return None


def _unpack_gzip(path: Path, folder: Path) -> None:
    name = path.name[:-3] if path.suffix.lower() == ".gz" else path.name
    with gzip.open(path) as packed:
        _poured(packed, folder / name, of=path, size=0, files=1)


def _poured(
    content: IO[bytes] | gzip.GzipFile, target: Path, *, of: Path, size: int, files: int
) -> int:
    """Writes content as it comes, which is refused once it is too much.

    Args:
        content: Of a member.
        target: Of the new file.
        of: The archive.
        size: Of what was unpacked before.
        files: How many there are with this one.

    Returns:
        The size of all that is unpacked by now.
    """
    packed = of.stat().st_size
    with target.open("wb") as file:
        while block := content.read(_BLOCK):
            size += len(block)
            _refuse_trap(of, size, packed, files)
            _refuse_without_room(of, target.parent, size, written=size - len(block))
            file.write(block)
    return size


def _room_for(folder: Path, name: str) -> Path:
    """Below which folder a member of this name goes, so that it takes the place of no other."""
    root, number = folder, 1
    while (root / name).exists() or any(
        parent.is_file() for parent in (root / name).parents if parent.is_relative_to(root)
    ):
        number += 1
        root = folder / f"same name {number}"
    return root


def _refuse_trap(path: Path, size: int, packed: int, files: int) -> None:
    swells = size > SUSPICIOUS_BYTES and size > SUSPICIOUS_RATIO * packed
    if size > MOST_BYTES or files > MOST_FILES or swells:
        raise UnreadableFileError(
            f"{path.name} would unpack to {files} files of {size / 2**30:.1f} GiB from "
            f"{packed / 2**20:.1f} MiB; no scan does.",
            hint="If you trust it, unpack it yourself and name the folder.",
        )


def _refuse_to_lead_out(path: Path, name: str) -> None:
    leads_out = ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute()
    if leads_out or PureWindowsPath(name).drive or ".." in PureWindowsPath(name).parts:
        raise UnreadableFileError(
            f"{path.name} holds {name!r}, which leads out of its own folder.",
            hint="Such an archive is not safe; ask for another.",
        )


def _refuse_without_room(path: Path, folder: Path, size: int, *, written: int = 0) -> None:
    if size - written > shutil.disk_usage(folder).free:
        raise OutputError(
            f"{path.name} needs {size / 2**30:.1f} GiB in {tempfile.gettempdir()}, where there is "
            "no room.",
            hint="Make room there, or unpack it elsewhere and name the folder.",
        )
