"""The folder of a run: one program works in it, and replaces nothing of somebody else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cinesr.errors import OutputError
from cinesr.imaging.claims import HeldError, claim

_HOLD = ".cinesr-running"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes a folder and holds it while the block runs.

    Args:
        folder: Of a run.

    Raises:
        OutputError: Another program works in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = claim(folder / _HOLD)
    except HeldError as error:
        raise OutputError(
            f"{folder}: another run of cinesr is at work in it.",
            hint="Wait until it is done, or name another output.",
        ) from error
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written: {error.strerror or error}.", hint="Name another output."
        ) from error
    try:
        yield
    finally:
        found.release()


def refuse_files_of_others(folder: Path, names: Iterable[str]) -> None:
    """Refuses a folder that holds files of the names that a run writes, before there is a run.

    Raises:
        OutputError: There are such files.
    """
    found = [name for name in names if (folder / name).exists()]
    if found:
        raise OutputError(
            f"{folder}: holds files that are no run's of cinesr: {', '.join(found)}; they would "
            "be replaced.",
            hint="Name another output, or move them away.",
        )
