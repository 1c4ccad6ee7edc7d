"""Every file below a folder, links followed once, without what systems leave behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_LONGEST_PATH = 1024
_JUNK = {"__macosx", "thumbs.db", "desktop.ini", "dicomdir"}


@dataclass
class Found:
    """What lies below a folder.

    Args:
        files: In order of name; a file to which several names lead is there once.
        broken_links: Names of links that lead nowhere.
    """

    files: list[Path] = field(default_factory=list)
    broken_links: list[Path] = field(default_factory=list)


def find_files(folder: Path) -> Found:
    """Searches a folder and those to which its links lead, each once, so that cycles end.

    Args:
        folder: Where to search.

    Raises:
        OSError: A folder cannot be read.
    """
    seen = {os.path.realpath(folder)}
    waiting, found = [folder], Found()
    names: list[Path] = []
    while waiting:
        links: list[Path] = []
        # What lies here goes before what is linked: it keeps the name that the user knows.
        for path in _entries(waiting.pop(0), seen):
            if path.is_dir():
                links.append(path)
            elif path.is_file():
                names.append(path)
            elif path.is_symlink():
                found.broken_links.append(path)
        for link in links:
            place = os.path.realpath(link)
            is_around = Path(os.path.realpath(folder)).is_relative_to(place)
            if place not in seen and not is_around:
                seen.add(place)
                waiting.append(link)
    reached = set()
    for path in sorted(names, key=lambda path: (path.is_symlink(), path)):
        place = os.path.realpath(path)
        if place not in reached:
            reached.add(place)
            found.files.append(path)
    found.files.sort()
    return found


def _entries(folder: Path, seen: set[str]) -> Iterator[Path]:
    """Files below a folder, and links to other folders."""

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse):
        seen.add(os.path.realpath(place))
        for name in sorted(filter(_is_wanted, folders)):
            if Path(place, name).is_symlink():
                yield Path(place, name)
        folders[:] = [
            name
            for name in sorted(folders)
            if _is_wanted(name)
            and not Path(place, name).is_symlink()
            and os.path.realpath(Path(place, name)) not in seen
        ]
        yield from (Path(place, name) for name in sorted(names) if _is_wanted(name))


def is_copied_link(path: Path) -> bool:
    """Whether a file holds nothing but a path: a link that was copied as text, as git does it."""
    try:
        if path.stat().st_size > _LONGEST_PATH:
            return False
        target = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    is_path = "/" in target and target.isprintable() and target == target.strip()
    return is_path and (".git/annex/" in target or (path.parent / target).exists())


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _JUNK
