"""All that is open at the moment, and where it lies. Safe to use from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cinesr.errors import CinesrError
from cinesr.imaging.files import Spacing, open_cines
from cinesr.upscaling.coverage import recorded_result
from cinesr.viewer.errors import not_there
from cinesr.viewer.series import Series, input_series


@dataclass
class Opening:
    """Files that are being opened: how many of their series are ready; 0 of 0 while they are read."""

    name: str
    done: int = 0
    total: int = 0


class Store:
    """The open series.

    Args:
        folder: For all files of this run of the server; whoever made it removes it.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
    """

    def __init__(self, folder: Path, *, spacing_mm: Spacing | None = None) -> None:
        self.folder = folder
        self.revision = 0
        self._spacing_mm = spacing_mm
        self._series: dict[str, Series] = {}
        self._opening: list[Opening] = []
        self._failures: list[dict[str, str | None]] = []
        self._lock = threading.RLock()
        self._one_at_a_time = threading.Lock()

    def changed(self) -> None:
        """Tells everybody who listens that there is something new."""
        with self._lock:
            self.revision += 1

    def to_dict(self) -> dict[str, Any]:
        """For the page."""
        with self._lock:
            return {
                "revision": self.revision,
                "series": [series.to_dict() for series in self._series.values()],
                "opening": [asdict(opening) for opening in self._opening],
                "failures": list(self._failures),
            }

    def open_paths(self, paths: list[Path], tell: Callable[[CinesrError], None]) -> None:
        """Opens what the command line named; what cannot be opened is told and left out."""
        for path in paths:
            try:
                self.open(path, name=path.name)
            except CinesrError as error:
                tell(error)
                failure = {"name": path.name, "error": error.message, "hint": error.hint}
                with self._lock:
                    self._failures.append(failure)
                self.changed()

    def open(self, path: Path, *, name: str, upload: str | None = None) -> list[Series]:
        """Opens all series at a path, or none.

        Args:
            path: A file, a folder or a zip.
            name: As the page should call it meanwhile.
            upload: The id of the upload that it is.

        Raises:
            CinesrError: It cannot be read.
        """
        found: list[Series] = []
        # One at a time: what is decoded as a whole stands in memory meanwhile.
        with self._shown(Opening(name)) as opening, self._one_at_a_time:
            try:
                cines = open_cines(path, spacing_mm=self._spacing_mm)
                if derivation := recorded_result(path):
                    cines = [replace(cine, derivation=derivation) for cine in cines]
                opening.total = len(cines)
                for cine in cines:
                    found.append(input_series(cine, self.folder, upload=upload))
                    opening.done += 1
                    self.changed()
            except BaseException:
                for series in found:
                    series.spool.discard()
                raise
            with self._lock:
                self._series.update({series.id: series for series in found})
        return found

    @contextmanager
    def _shown(self, opening: Opening) -> Iterator[Opening]:
        with self._lock:
            self._opening.append(opening)
        self.changed()
        try:
            yield opening
        finally:
            with self._lock:
                self._opening.remove(opening)
            self.changed()

    def get(self, series_id: str) -> Series:
        """An open series.

        Raises:
            RequestError: There is none of this id.
        """
        with self._lock:
            if series_id not in self._series:
                raise not_there("series", series_id)
            return self._series[series_id]
