"""Outputs that appear whole or not at all, and take the place of nothing that is not theirs."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cinesr.errors import OutputError
from cinesr.imaging.claims import Claim, HeldError, claim, sweep_within
from cinesr.imaging.renaming import exchanged, rename_new

_LONGEST_NAME = 255
PARTIAL = ".cinesr-partial"
"""How folders end in which outputs lie before they are whole."""

Approval = Callable[[Path], None]
"""Refuses, with an `OutputError`, what must not be replaced."""

State = tuple[tuple[str, int, int, int, int], ...]


@contextmanager
def staged(
    path: str | Path, *, overwrite: bool = False, approve: Approval | None = None
) -> Iterator[Path]:
    """A place to write a file or a folder, which takes its name only when all went well.

    Gives a path, in a folder beside the target, that does not exist yet, with the name of the
    target: write a file there or make a folder. Whatever ends the block early, Ctrl-C included,
    leaves nothing behind, and what stood at the target stays. What a killed program left beside
    the target goes.

    Args:
        path: The file or folder to make; folders above it are made as well.
        overwrite: Whether to replace what exists now; what appears meanwhile or is changed is
            kept. An empty folder may always be replaced.
        approve: Called with what exists before it is replaced.

    Raises:
        OutputError: The target exists, appeared meanwhile, is being made by another run, or
            cannot be written: no room, no permission.
    """
    with staged_together(path, overwrite=overwrite, approve=approve) as (part,):
        yield part


@contextmanager
def staged_together(
    *paths: str | Path, overwrite: bool = False, approve: Approval | None = None
) -> Iterator[tuple[Path, ...]]:
    """As `staged`, for files that belong together: all take their names, or none does."""
    with ExitStack() as opened:
        stages = [
            opened.enter_context(_Stage(path, overwrite=overwrite, approve=approve))
            for path in paths
        ]
        yield tuple(stage.part for stage in stages)
        published: list[_Stage] = []
        try:
            for stage in stages:
                stage.publish()
                published.append(stage)
        except BaseException:
            for stage in reversed(published):
                stage.withdraw()
            raise


class _Stage:
    """One target: the folder in which it is made, and the step in which it takes its name."""

    def __init__(self, path: str | Path, *, overwrite: bool, approve: Approval | None) -> None:
        try:
            self.target = Path(path).resolve()
        except OSError as error:
            raise _as_output_error(error, Path(path)) from error
        self._overwrite, self._approve = overwrite, approve
        self._before: State | None = None
        self._claim: Claim | None = None
        self._missing: list[Path] = []
        self._is_replaced = False

    def __enter__(self) -> _Stage:
        try:
            self._refuse_existing()
            parent = self.target.parent
            self._missing = [folder for folder in self.target.parents if not folder.exists()]
            parent.mkdir(parents=True, exist_ok=True)
            sweep_within(parent, f".*{PARTIAL}")
            # A folder that may not be written to is told now, not after an hour of work.
            self._claim = self._claimed()
        except OSError as error:
            self._tidy(done=False)
            raise _as_output_error(error, self.target) from error
        except BaseException:
            self._tidy(done=False)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._tidy(done=error is None)
        if isinstance(error, OSError):
            raise _as_output_error(error, self.target) from error
        # Of a file staged within this one: told by the name that the reader knows.
        if isinstance(error, OutputError) and isinstance(error.__cause__, OSError):
            raise _as_output_error(error.__cause__, self.target) from error.__cause__

    @property
    def part(self) -> Path:
        """Where to write."""
        if self._claim is None:
            raise RuntimeError("The stage is not open.")
        return self._claim.folder / self.target.name

    def publish(self) -> None:
        """Takes the name.

        Raises:
            OutputError: Something appeared there or was changed meanwhile; it is kept.
        """
        try:
            if self._before is None:
                self._take_free_name()
            else:
                self._take_name_of_old()
        except FileExistsError:
            raise OutputError(
                f"{self.target} appeared while it was being made; it is kept, and nothing else "
                "was written.",
                hint="Name another output, or run again with --overwrite if it may be replaced.",
            ) from None
        except OSError as error:
            raise _as_output_error(error, self.target) from error

    def withdraw(self) -> None:
        """Undoes `publish`."""
        with suppress(OSError):
            if self._is_replaced:
                exchanged(self.part, self.target)
            else:
                rename_new(self.target, self.part)

    def _refuse_existing(self) -> None:
        target = self.target
        self._before = _state(target)
        if (here := _here()) and here.is_relative_to(target):
            raise OutputError(
                f"{target} is the folder you are in; expected a name within it.",
                hint="Name a new folder or file for the output.",
            )
        if self._before is None:
            return
        if not self._overwrite:
            raise OutputError(
                f"{target} exists already.",
                hint="Name another output, or allow it with --overwrite (overwrite=True in "
                "Python).",
            )
        if self._approve:
            self._approve(target)

    def _claimed(self) -> Claim:
        name = self.target.name
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if len(os.fsencode(name)) > _LONGEST_NAME - 40:
            name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        parent = self.target.parent
        try:
            return claim(parent / f".{name}{PARTIAL}")
        except HeldError as error:
            raise OutputError(
                f"{self.target} is being made by another run of cinesr.",
                hint="Wait until it is done, or name another output.",
            ) from error
        except FileExistsError:
            # Left by somebody else's run, or by one on another machine that may still go on: who
            # is done first has the name.
            return claim(parent / f".{name}.{secrets.token_hex(4)}{PARTIAL}")

    def _take_free_name(self) -> None:
        rename_new(self.part, self.target)

    def _take_name_of_old(self) -> None:
        if self.target.is_dir() and not self.part.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder, the result a file")
        if _state(self.target) != self._before:
            raise self._was_changed()
        if not exchanged(self.part, self.target):
            self._replace()
        elif _state(self.part) != self._before:
            exchanged(self.part, self.target)
            raise self._was_changed()
        self._is_replaced = True

    def _replace(self) -> None:
        """In two steps, on systems that cannot exchange names."""
        if self.target.is_dir() or self.part.is_dir():
            aside = self.target.with_name(f".{secrets.token_hex(4)}.old.{self.target.name}")
            rename_new(self.target, aside)
            try:
                rename_new(self.part, self.target)
            except BaseException:
                rename_new(aside, self.target)
                raise
            rename_new(aside, self.part)
        else:
            self.part.replace(self.target)

    def _was_changed(self) -> OutputError:
        return OutputError(
            f"{self.target} was changed by someone else while the new one was being made; it is "
            "kept, and nothing else was written.",
            hint="Run again if it may be replaced, or name another output.",
        )

    def _tidy(self, *, done: bool) -> None:
        if self._claim:
            self._claim.release()
        if not done:
            for folder in self._missing:
                with suppress(OSError):
                    folder.rmdir()


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # It was removed.
        return None


def _state(path: Path) -> State | None:
    """What tells a file or folder, with all that is in it, from another; None where it is free."""
    try:
        found = path.lstat()
        paths = [path]
        if stat.S_ISDIR(found.st_mode):
            within = sorted(path.rglob("*"))
            if not within:
                return None
            paths += within
        return tuple(_entry(each, path) for each in paths)
    except FileNotFoundError:
        return None


def _entry(path: Path, top: Path) -> tuple[str, int, int, int, int]:
    found = path.lstat()
    name = path.relative_to(top).as_posix()
    # Names change the time of the folder that holds them; its entries are listed themselves.
    is_folder = stat.S_ISDIR(found.st_mode)
    size, changed = (0, 0) if is_folder else (found.st_size, found.st_mtime_ns)
    return name, found.st_dev, found.st_ino, size, changed


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
    if error.errno == errno.ENOENT and _here() is None:
        return OutputError(
            f"{target} could not be written: the folder you are in was removed.",
            hint="Change to another folder, or name the output by its whole path.",
        )
    return OutputError(
        f"{target} could not be written: {error.strerror or error}.",
        hint="Name another output.",
    )
