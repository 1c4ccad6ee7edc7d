"""A new name for a file or folder, in one step, that never replaces what has that name already."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

_HERE = -100  # AT_FDCWD
_NO_REPLACE, _EXCHANGE = 1, 2
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def rename_new(source: Path, target: Path) -> None:
    """Gives a file or a folder another name; an empty folder of that name is replaced.

    Raises:
        FileExistsError: Something has that name, whenever it came.
        OSError: It cannot be done.
    """
    if target.is_dir() and not target.is_symlink():
        try:
            target.rmdir()
        except OSError as error:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
    if _renamed(source, target, _NO_REPLACE):
        return
    if source.is_dir():
        # On its own, a folder takes the place of an empty folder and of nothing else.
        try:
            source.rename(target)
        except NotADirectoryError as error:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links: the name is taken first, then the file put there.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        source.replace(target)
    else:
        source.unlink()


def exchanged(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False where the system or the file system cannot.

    Raises:
        OSError: It cannot be done for another reason.
    """
    return _renamed(one, other, _EXCHANGE)


def _renamed(source: Path, target: Path, flags: int) -> bool:
    call = _renameat2()
    if call is None:
        return False
    if call(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(target))


@lru_cache(maxsize=1)
def _renameat2() -> Any:
    """The system call of Linux as the C library offers it; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call
