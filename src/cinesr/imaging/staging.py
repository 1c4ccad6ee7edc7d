"""Outputs that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cinesr.errors import OutputError


@contextmanager
def staged(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A place to write a file or a folder, which takes its name only when all went well.

    Gives a path beside the target that does not exist yet, with the same suffix: write a file
    there or make a folder. Whatever ends the block early, Ctrl-C included, leaves nothing behind,
    and what stood at the target stays.

    Args:
        path: The file or folder to make; folders above it are made as well.
        overwrite: Whether to replace what exists. An empty folder may always be replaced.

    Raises:
        OutputError: The target exists, or cannot be written: no room, no permission.
    """
    target = Path(path).resolve()
    _refuse_existing(target, overwrite=overwrite)
    temporary = target.with_name(f".{secrets.token_hex(4)}.partial.{target.name}")
    missing = [folder for folder in target.parents if not folder.exists()]
    done = False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A folder that may not be written to is told now, not after an hour of work.
        temporary.touch()
        temporary.unlink()
        yield temporary
        _take_place(temporary, target)
        done = True
    except OSError as error:
        raise _as_output_error(error, target) from error
    except OutputError as error:
        # Of a file staged within this one: told by the name that the reader knows.
        if isinstance(error.__cause__, OSError):
            raise _as_output_error(error.__cause__, target) from error.__cause__
        raise
    finally:
        if not done:
            with suppress(OSError):
                _remove(temporary)
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    try:
        is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    except OSError as error:
        raise _as_output_error(error, target) from error
    if Path.cwd().is_relative_to(target):
        raise OutputError(
            f"{target} is the folder you are in; expected a name within it.",
            hint="Name a new folder or file for the output.",
        )
    if not is_free and not overwrite:
        raise OutputError(
            f"{target} exists already.",
            hint="Name another output, or allow it with --overwrite (overwrite=True in Python).",
        )


def _take_place(temporary: Path, target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if not target.is_dir() and not (target.exists() and temporary.is_dir()):
        temporary.replace(target)
        return
    if not temporary.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder, the result a file", str(target))
    aside = target.with_name(f".{secrets.token_hex(4)}.old.{target.name}")
    target.rename(aside)
    try:
        temporary.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _as_output_error(error: OSError, target: Path) -> OutputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            f"{target} could not be written: no room on the disk ({os.strerror(error.errno)}).",
            hint="Make room, or name an output on another disk; nothing was left behind.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            f"{target} could not be written: no permission ({os.strerror(error.errno)}).",
            hint="Name an output in a folder that you may write to.",
        )
    return OutputError(
        f"{target} could not be written: {error.strerror or error}.",
        hint="Name another output.",
    )
