"""What the page sends: bounded in size and number, and removed when it is no longer used."""

from __future__ import annotations

import errno
import secrets
import shutil
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from anyio import to_thread

from cinesr.imaging.archive import is_zip, unpacked
from cinesr.viewer.errors import RequestError, no_room, not_there

LONGEST_NAME = 240
DEEPEST_FOLDER = 24
FORGOTTEN_AFTER_S = 15 * 60
"""A page that was closed while it sent something never opens it."""
WRITE_BYTES = 2**20


@dataclass(frozen=True)
class Limits:
    """What may be held at a time, over all uploads but for `file_bytes`."""

    file_bytes: int = 8 * 2**30
    total_bytes: int = 16 * 2**30
    files: int = 20_000
    uploads: int = 64

    def to_dict(self) -> dict[str, int]:
        """For the page."""
        return asdict(self)


@dataclass(eq=False)
class Upload:
    """Files that belong together.

    Args:
        name: As the page calls it.
        folder: Its own; the files lie in there under the names that they came with.
        bytes: How much it holds or is about to.
        files: How many.
        receiving: How many files are coming in right now.
        is_sealed: Whether it was opened, so that nothing may be added.
        last_used: On the monotonic clock, in seconds.
    """

    name: str
    folder: Path
    bytes: int = 0
    files: int = 0
    receiving: int = 0
    is_sealed: bool = False
    last_used: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        """Random."""
        return self.folder.name


class Uploads:
    """All uploads of this run of the server.

    Args:
        folder: In which each gets a folder of its own.
        limits: What may be held.
    """

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._folder = folder / "uploads"
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def begin(self, name: str) -> Upload:
        """Makes room for files that belong together.

        Raises:
            RequestError: There are too many uploads.
        """
        self._forget_abandoned()
        with self._lock:
            if len(self._uploads) >= self.limits.uploads:
                raise _too_much(f"{self.limits.uploads} uploads are open already")
            upload = Upload(name[:LONGEST_NAME] or "upload", self._folder / secrets.token_hex(8))
            upload.folder.mkdir(parents=True)
            self._uploads[upload.id] = upload
        return upload

    async def receive(
        self, upload_id: str, path: str, chunks: AsyncIterator[bytes], announced: int = 0
    ) -> None:
        """Writes one file to the disk as it comes in; a broken transfer leaves nothing.

        Args:
            upload_id: Of the upload.
            path: The file's name in it, with folders parted by "/".
            chunks: Its content.
            announced: How many bytes it is said to have, so that too many are refused at once.

        Raises:
            RequestError: A path that leads elsewhere, too much, or no such upload.
        """
        upload = self._taken(upload_id, to_seal=False)
        received, pending = 0, bytearray()
        try:
            limit = self.limits.file_bytes
            if announced > limit:
                raise _too_much(f"{path} has {_size(announced)}; a file may have {_size(limit)}")
            with _created(upload.folder.joinpath(*clean_parts(path)), path) as file:
                async for chunk in chunks:
                    self._reserve(upload, bytes_=len(chunk))
                    received += len(chunk)
                    if received > limit:
                        raise _too_much(f"{path} has more than {_size(limit)}")
                    pending += chunk
                    if len(pending) >= WRITE_BYTES:
                        await to_thread.run_sync(file.write, bytes(pending))
                        pending.clear()
                await to_thread.run_sync(file.write, pending)
        except BaseException:
            self._reserve(upload, bytes_=-received, files=-1)
            raise
        finally:
            with self._lock:
                upload.receiving -= 1

    def seal(self, upload_id: str) -> Upload:
        """Ends an upload: nothing can be added any more.

        Raises:
            RequestError: There is none of this id, it was sealed before, or is still coming in.
        """
        return self._taken(upload_id, to_seal=True)

    def unpack(self, upload: Upload) -> Path:
        """Unpacks the zips in a sealed upload; gives what is to be opened.

        Raises:
            RequestError: Unpacked it is too much.
            CinesrError: A broken or malicious archive.
        """
        for path in list(upload.folder.iterdir()):
            if path.is_file() and path.stat().st_size and is_zip(path):
                self._reserve_unpacked(upload, path)
                folder = unpacked(path)
                path.unlink()
                shutil.move(folder, path.parent / f"{path.stem}-{secrets.token_hex(2)}")
        inside = list(upload.folder.iterdir())
        return inside[0] if len(inside) == 1 else upload.folder

    def delete(self, upload_id: str, *, only_unsealed: bool = False) -> None:
        """Removes an upload with all its files.

        Args:
            upload_id: Of the upload.
            only_unsealed: Refuse one whose series may be open.

        Raises:
            RequestError: There is none of this id, or it is in use.
        """
        with self._lock:
            if upload_id not in self._uploads:
                raise not_there("upload", upload_id)
            if only_unsealed and self._uploads[upload_id].is_sealed:
                raise RequestError("The upload is in use; close its series instead.", status=409)
            upload = self._uploads.pop(upload_id)
        shutil.rmtree(upload.folder, ignore_errors=True)

    def _taken(self, upload_id: str, *, to_seal: bool) -> Upload:
        """An upload for one more file, counted already, or to be sealed."""
        with self._lock:
            if upload_id not in self._uploads:
                raise not_there("upload", upload_id)
            upload = self._uploads[upload_id]
            if upload.is_sealed:
                raise RequestError("The upload is complete; begin another.", status=409)
            if to_seal and upload.receiving:
                raise RequestError("A file of the upload is still coming in.", status=409)
            if not to_seal and self._files() >= self.limits.files:
                raise _too_much(f"all uploads together may have {self.limits.files} files")
            upload.last_used = time.monotonic()
            upload.is_sealed = to_seal
            upload.receiving += not to_seal
            upload.files += not to_seal
        return upload

    def _files(self) -> int:
        return sum(upload.files for upload in self._uploads.values())

    def _reserve(self, upload: Upload, *, bytes_: int, files: int = 0) -> None:
        with self._lock:
            total = sum(each.bytes for each in self._uploads.values()) + bytes_
            if bytes_ > 0 and total > self.limits.total_bytes:
                limit = _size(self.limits.total_bytes)
                raise _too_much(f"all uploads together may have {limit}")
            if files > 0 and self._files() + files > self.limits.files:
                raise _too_much(f"all uploads together may have {self.limits.files} files")
            upload.bytes += bytes_
            upload.files += files
            upload.last_used = time.monotonic()

    def _reserve_unpacked(self, upload: Upload, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                sizes = [member.file_size for member in archive.infolist()]
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            return  # Told in words when it is unpacked.
        self._reserve(upload, bytes_=sum(sizes) - path.stat().st_size, files=len(sizes) - 1)

    def _forget_abandoned(self) -> None:
        oldest = time.monotonic() - FORGOTTEN_AFTER_S
        with self._lock:
            abandoned = [
                upload.id
                for upload in self._uploads.values()
                if not upload.is_sealed and upload.last_used < oldest
            ]
        for upload_id in abandoned:
            with suppress(RequestError):
                self.delete(upload_id)


def clean_parts(path: str) -> list[str]:
    """The parts of a file's path within its upload.

    Raises:
        RequestError: It could lead elsewhere, or is longer than systems hold.
    """
    parts = path.replace("\\", "/").split("/")
    if len(parts) > DEEPEST_FOLDER or not all(_is_plain(part) for part in parts):
        raise RequestError(
            f"{path!r} was sent as the name of a file; expected a relative path without '..' or "
            f"empty parts, of at most {DEEPEST_FOLDER} parts of {LONGEST_NAME} bytes."
        )
    return parts


def _is_plain(part: str) -> bool:
    has_controls = any(ord(letter) < 32 or ord(letter) == 127 for letter in part)
    leads_elsewhere = part in ("", ".", "..") or bool(PureWindowsPath(part).drive)
    return not has_controls and not leads_elsewhere and len(part.encode()) <= LONGEST_NAME


@contextmanager
def _created(target: Path, name: str) -> Iterator[BinaryIO]:
    """A new file, which goes again if its writing fails."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            try:
                yield file
            except BaseException:
                target.unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise RequestError(f"{name} was sent twice.", status=409) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_room() from error
        raise RequestError(f"{name} could not be kept: {error.strerror}.") from error


def _size(bytes_: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if bytes_ >= size:
            return f"{bytes_ / size:.1f} {unit}"
    return f"{bytes_} bytes"


def _too_much(what: str) -> RequestError:
    return RequestError(
        f"Too much at a time: {what}.",
        hint="Close some series, or name the scan on the command line: cinesr view SCAN.",
        status=413,
    )
