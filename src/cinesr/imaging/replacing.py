"""Which files are results of earlier runs, so that they may be replaced where that is allowed."""

from __future__ import annotations

from pathlib import Path

from cinesr.errors import CinesrError, OutputError
from cinesr.imaging.files import open_cines
from cinesr.imaging.history import last_step
from cinesr.imaging.records import (
    PREVIEW,
    RECORD,
    companions,
    named_in,
    read_record,
    refuse_strangers,
)


def refuse_foreign(path: Path) -> None:
    """Refuses to replace what is no result of an earlier run.

    Args:
        path: A folder, all of whose files its record has to name; a file that the record beside it
            has to name, or that says itself how cinesr made it; or such a record or its preview.

    Raises:
        OutputError: It may be somebody's own.
    """
    if path.is_dir():
        refuse_strangers(path)
        return
    for ending in (f".{RECORD}", f".{PREVIEW}"):
        if path.name.endswith(ending):
            record = path.with_name(path.name.removesuffix(ending) + f".{RECORD}")
            is_ours = _is_named(path, record)
            break
    else:
        record, _ = companions(path)
        is_ours = _is_named(path, record) or _says_so(path)
    if not is_ours:
        raise OutputError(
            f"{path} is no earlier result: no {record.name} names it; overwriting would delete it.",
            hint="Name another output, or remove it yourself.",
        )


def _is_named(path: Path, record: Path) -> bool:
    run = read_record(record)
    if run is None:
        return False
    if "files" in run:
        return path.name in named_in(record)
    # Before records named all files, each was of one output with its record and its preview.
    output = Path(str(run.get("output", "")))
    return path.name in (output.name, *(each.name for each in companions(output)))


def _says_so(path: Path) -> bool:
    try:
        cines = open_cines(path, spacing_mm=(1.0, 1.0))
    except CinesrError:
        return False
    return all(last_step(cine) is not None for cine in cines)
