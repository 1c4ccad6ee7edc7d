"""What a run writes down after every epoch, to read and to draw."""

from __future__ import annotations

import csv
from pathlib import Path

from cinesr.imaging.files import staged

Row = dict[str, float]
"""Of an epoch, by the names of the columns."""

TIMES = ("seconds", "steps_per_second", "device_busy")
"""What differs between two runs that are otherwise the same."""


class Log:
    """`log.csv`, one row per epoch, and TensorBoard event files.

    Args:
        folder: Of the run.
        history: Rows of the epochs before this start. Rows of an epoch whose checkpoint was not
            written are dropped from the table, because it is done again.
    """

    def __init__(self, folder: Path, history: list[Row]) -> None:
        from tensorboardX import SummaryWriter

        self._path = folder / "log.csv"
        self._rows = list(history)
        done = int(history[-1]["step"]) if history else 0
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    def add(self, row: Row) -> None:
        """Records an epoch."""
        self._rows.append(row)
        with (
            staged(self._path, overwrite=True) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(row))
            writer.writeheader()
            writer.writerows(self._rows)
        for key, value in row.items():
            if key not in ("epoch", "step"):
                self._board.add_scalar(key, value, int(row["step"]))
        self._board.flush()
