"""What of a study is no grey MR picture: left aside by name, so that its cines can be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cinesr.errors import UnfitImageError
from cinesr.imaging.dicom_frames import StoredFrame
from cinesr.imaging.dicom_kinds import class_of, is_mr
from cinesr.imaging.dicom_stacks import series_of

MOST_NAMED = 5


@dataclass
class Aside:
    """Files that were left aside, by reason.

    Args:
        first_error: What to say if nothing else is there.
    """

    first_error: UnfitImageError | None = None
    _names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, path: Path, reason: str, error: UnfitImageError | None = None) -> None:
        """Leaves a file aside.

        Args:
            path: Of the file.
            reason: In words; the message of an error may begin with the path.
            error: That tells of the file where it is all there is.
        """
        self._names[reason.removeprefix(f"{path}: ").rstrip(".")].append(path.name)
        self.first_error = self.first_error or error

    def notes(self) -> list[str]:
        """A sentence for each reason, with the names of the files."""
        found = []
        for reason, names in self._names.items():
            more = len(names) - MOST_NAMED
            listed = ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            count = "1 file" if len(names) == 1 else f"{len(names)} files"
            found.append(f"{count} left out, {reason}: {listed}.")
        return found


def without_other_kinds(frames: list[StoredFrame], aside: Aside) -> list[StoredFrame]:
    """Leaves aside what is no MR image, where MR images are: screenshots, other modalities."""
    if not any(is_mr(frame.file.header) for frame in frames):
        return frames
    kept = []
    for frame in frames:
        if is_mr(frame.file.header):
            kept.append(frame)
        elif frame.index == 0:
            aside.add(frame.file.path, f"{class_of(frame.file.header).name} is no MR image")
    return kept


def spaced(
    frames: Iterable[StoredFrame], aside: Aside, spacing_mm: tuple[float, float] | None
) -> list[StoredFrame]:
    """Gives every frame its spacing.

    Args:
        frames: As they were read.
        aside: Takes the frames without, where they are of another series than those with.
        spacing_mm: (row, column), for frames whose files hold none.

    Raises:
        UnfitImageError: A frame has no spacing, and nobody named one.
    """
    frames = list(frames)
    known = {series_of(frame) for frame in frames if frame.spacing_mm is not None}
    found = []
    for frame in frames:
        if frame.spacing_mm is not None:
            found.append(frame)
        elif spacing_mm is not None:
            found.append(replace(frame, spacing_mm=spacing_mm))
        elif known and series_of(frame) not in known:
            if frame.index == 0:
                aside.add(frame.file.path, "no PixelSpacing; name it with --spacing")
        else:
            passed_over = "".join(f"; {note}" for note in frame.file.notes)
            raise UnfitImageError(
                f"{frame.file.path}: the file holds no PixelSpacing{passed_over}; expected the "
                "size of a pixel.",
                hint="Name it in millimetres: --spacing ROW,COLUMN.",
            )
    return found
