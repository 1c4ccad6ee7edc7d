"""The table of a run."""

import csv
from pathlib import Path

from cinesr.learning.log import Log


def test_rows_from_before_a_column_was_known_have_it_empty(tmp_path: Path) -> None:
    old = {"epoch": 1, "step": 10, "loss": 0.5, "seconds": 2.0}
    with Log(tmp_path, [old]) as log:
        log.add({**old, "epoch": 2, "step": 20, "device_busy": 0.99})
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "loss", "seconds", "device_busy"]
    assert [row["device_busy"] for row in rows] == ["", "0.99"]
    assert [row["step"] for row in rows] == ["10", "20"]
    assert [row["seconds"] for row in rows] == ["2.0", "2.0"]
