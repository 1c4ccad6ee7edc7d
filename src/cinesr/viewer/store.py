"""All that is open at the moment, and where it lies. Safe to use from several threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cinesr.degradation import SCALES
from cinesr.errors import CinesrError, UnfitImageError
from cinesr.evaluation.pairing import LARGEST_CROP, crop_to_candidate
from cinesr.imaging.files import Spacing, open_cines
from cinesr.upscaling.coverage import recorded_result
from cinesr.viewer.errors import no_room, not_there
from cinesr.viewer.series import Kind, Series, input_series
from cinesr.viewer.uploads import Uploads

HEAD_START_S = 1.0
"""Of the page's first picture, before all frames of its series are read."""


@dataclass
class Opening:
    """What is being opened: how many of its series are ready; 0 of 0 while headers are read."""

    name: str
    done: int = 0
    total: int = 0


class Store:
    """The open series.

    Args:
        folder: For all files of this run of the server; whoever made it removes it.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        axes: What the axes are, for files that do not say; see `cinesr.load`.
    """

    def __init__(
        self, folder: Path, *, spacing_mm: Spacing | None = None, axes: str | None = None
    ) -> None:
        self.folder = folder
        self.uploads = Uploads(folder)
        self.revision = 0
        self._spacing_mm, self._axes = spacing_mm, axes
        self._series: dict[str, Series] = {}
        self._opening: list[Opening] = []
        self._failures: list[dict[str, str | None]] = []
        self._lock = threading.RLock()
        self._one_at_a_time = threading.Lock()
        self._one_looked_through = threading.Lock()

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
                cines = open_cines(
                    path, spacing_mm=self._spacing_mm, axes=self._axes, with_results=True
                )
                if derivation := recorded_result(path):
                    cines = [replace(cine, derivation=derivation) for cine in cines]
                opening.total = len(cines)
                for cine in cines:
                    found.append(input_series(cine, self.folder, upload=upload))
                    opening.done += 1
                    self.changed()
            except BaseException:
                for series in found:
                    series.discard()
                raise
            with self._lock:
                self._series.update({series.id: series for series in found})
        # What is decoded as a whole goes to the disk while it is at hand; DICOM is read frame by
        # frame when somebody looks.
        whole = [series for series in found if series.suffix]
        later = threading.Timer(HEAD_START_S, self._look_through, [whole])
        later.daemon = True
        later.start()
        return found

    def _look_through(self, found: list[Series]) -> None:
        for series in found:
            with self._one_looked_through, suppress(CinesrError):  # Told when somebody looks.
                series.look_through()
                self.changed()

    def open_upload(self, upload_id: str) -> list[Series]:
        """Opens what was uploaded; what cannot be opened is deleted.

        Raises:
            RequestError: There is no such upload, or it is open already.
            CinesrError: It cannot be read.
        """
        upload = self.uploads.seal(upload_id)
        try:
            path = self.uploads.unpack(upload)
            return self.open(path, name=upload.name, upload=upload.id)
        except CinesrError as error:
            # The reader knows the files by the names that they came with.
            folder = str(upload.folder)
            error.message = error.message.replace(folder + os.sep, "").replace(folder, upload.name)
            self.uploads.delete(upload.id)
            raise
        except BaseException as error:
            self.uploads.delete(upload.id)
            if isinstance(error, OSError):
                raise no_room() from error
            raise

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

    def made_from(self, parent: Series, kind: Kind, *, scale: int) -> Series | None:
        """What was made from a series in this way, if it is open."""
        with self._lock:
            for series in self._series.values():
                origin = series.origin
                if origin and (series.kind, origin.parent, origin.scale) == (
                    kind,
                    parent.id,
                    scale,
                ):
                    return series
        return None

    def add(self, series: Series) -> None:
        """Lists what was made from an open series.

        Raises:
            RequestError: That one was closed meanwhile.
        """
        with self._lock:
            parent = self.get(series.origin.parent) if series.origin else None
            if parent and parent.truth and _fits(self.get(parent.truth), series):
                series.truth = parent.truth
            self._series[series.id] = series
        self.changed()

    def remove(self, series_id: str) -> list[str]:
        """Closes a series and all that was made from it; gives their ids.

        Raises:
            RequestError: There is none of this id.
        """
        with self._lock:
            closing = [self.get(series_id)]
            closing += [
                series
                for series in self._series.values()
                if series.origin and series.origin.parent == series_id
            ]
            gone = [series.id for series in closing]
            for series in closing:
                del self._series[series.id]
                series.discard()
            for series in self._series.values():
                if series.truth in gone:
                    series.truth = None
            held = {series.upload for series in self._series.values()}
        for upload in {series.upload for series in closing} - held:
            if upload:
                self.uploads.delete(upload)
        self.changed()
        return gone

    def set_truth(self, series_id: str, truth_id: str | None) -> None:
        """Names the series that another should look like.

        Raises:
            RequestError: One of them is not open.
            UnfitImageError: They do not show the same on grids that fit.
        """
        with self._lock:
            series = self.get(series_id)
            if truth_id is not None:
                truth = self.get(truth_id)
                if series.kind == "input":
                    _require_finer(truth, series)
                else:
                    crop_to_candidate(truth.cine, series.cine)
            series.truth = truth_id
        self.changed()


def _fits(truth: Series, series: Series) -> bool:
    try:
        crop_to_candidate(truth.cine, series.cine)
    except UnfitImageError:
        return False
    return True


def _require_finer(truth: Series, series: Series) -> None:
    """Refuses what cannot be the truth of any result of an input."""
    (rows, columns), (low_rows, low_columns) = truth.cine.shape[2:], series.cine.shape[2:]
    fits = any(
        0 <= rows - scale * low_rows <= LARGEST_CROP
        and 0 <= columns - scale * low_columns <= LARGEST_CROP
        for scale in (1, *SCALES)
    )
    if fits and truth.cine.shape[:2] == series.cine.shape[:2]:
        return
    raise UnfitImageError(
        f"{truth.cine.name} is {truth.cine.shape}, {series.cine.name} {series.cine.shape} (phases, "
        "slices, rows, columns); expected as many phases and slices, and a whole number of times "
        "the rows and columns.",
        hint="Name the scan from which the input was made.",
    )
