"""Folders for files that only this run needs: nobody else can read them, and they go with it."""

from __future__ import annotations

import atexit
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from cinesr.imaging.claims import Claim, claim, sweep_within

_PREFIX = "cinesr-"


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A folder that goes when the block ends; what killed runs left of theirs goes first.

    Args:
        purpose: A word for its name.

    Raises:
        OSError: It cannot be made.
    """
    found = _new(purpose)
    try:
        yield found.folder
    finally:
        found.release()


def scratch_until_exit(purpose: str) -> Path:
    """A new folder that goes when the program ends, or with whoever removes it before.

    Args:
        purpose: A word for its name.

    Raises:
        OSError: It cannot be made.
    """
    place = Path(tempfile.gettempdir())
    if not _shared(place).folder.is_dir():  # Somebody tidied up.
        _shared.cache_clear()
    return Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=_shared(place).folder))


@lru_cache(maxsize=1)
def _shared(place: Path) -> Claim:
    """One for all of them: each that is held takes an open file."""
    found, owner = _new("run", place), os.getpid()

    def release() -> None:
        if os.getpid() == owner:
            found.release()

    atexit.register(release)
    return found


def _new(purpose: str, place: Path | None = None) -> Claim:
    place = place or Path(tempfile.gettempdir())
    sweep_within(place, f"{_PREFIX}*")
    return claim(place / f"{_PREFIX}{purpose}-{secrets.token_hex(6)}")
