"""Folders that one running program holds; what a killed one left of them can be told and removed.

A lock on a file within the folder says that its owner lives. The system lets go of it however the
program ends.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import fcntl

MARK = ".cinesr"
"""The file in such a folder that is locked; it says on which machine."""
FOREIGN_AFTER_S = 24 * 3600
"""Another machine's lock may not be seen across a network; what is so old is nobody's."""
_TRIES = 20


class HeldError(Exception):
    """Another running program holds the folder."""


@dataclass(frozen=True)
class Claim:
    """A folder that this program holds.

    Args:
        folder: Only its owner can read what is in there.
        descriptor: Of the locked file.
    """

    folder: Path
    descriptor: int

    def release(self) -> None:
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self.descriptor)


def claim(folder: Path) -> Claim:
    """Makes a folder and holds it; what a killed program left under its name goes.

    Raises:
        HeldError: A running program holds it.
        FileExistsError: It is there, and is not known to be a killed program's.
        OSError: It cannot be made.
    """
    for _ in range(_TRIES):
        try:
            folder.mkdir(mode=0o700)
            descriptor = os.open(folder / MARK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileNotFoundError:
            if not folder.parent.is_dir():
                raise
            continue  # Somebody tidied up between the two steps.
        except FileExistsError:
            if not sweep(folder, tell_held=True):
                raise
            continue
        held = Claim(folder, descriptor)
        if _locks(descriptor) is not False and _is_same(folder / MARK, descriptor):
            os.write(descriptor, platform.node().encode())
            return held
        os.close(descriptor)
    raise HeldError(folder)


def sweep(folder: Path, *, tell_held: bool = False) -> bool:
    """Removes a folder that was held by a program which is no more.

    It stays where it is another user's, holds no mark, or its owner may live.

    Args:
        folder: As `claim` makes it.
        tell_held: Raise where its owner lives.

    Returns:
        Whether it is gone.

    Raises:
        HeldError: Its owner lives, and that was asked.
    """
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user():
            return False
        descriptor = os.open(folder / MARK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        with suppress(OSError):
            folder.rmdir()  # Killed between making the folder and the mark.
        return not folder.exists()
    except OSError:
        return False
    try:
        is_free = _locks(descriptor)
        if is_free is False and tell_held:
            raise HeldError(folder)
        if not is_free or not _is_abandoned(folder, descriptor):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        os.close(descriptor)


def sweep_within(place: Path, pattern: str) -> None:
    """Sweeps every folder of a pattern of names in a folder, as far as that may be done."""
    with suppress(OSError):
        for folder in list(place.glob(pattern)):
            sweep(folder)


def _user() -> int:
    return os.geteuid() if sys.platform != "win32" else 0


def _locks(descriptor: int) -> bool | None:
    """Whether the lock is ours now; None where the file system knows no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False


def _is_abandoned(folder: Path, descriptor: int) -> bool:
    machine = os.pread(descriptor, 256, 0).decode(errors="replace")
    if machine in ("", platform.node()):
        return True
    newest = max(path.lstat().st_mtime for path in (folder, *folder.iterdir()))
    return time.time() - newest > FOREIGN_AFTER_S
