"""The curve is drawn, for one epoch or many."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cinesr.learning.plot import plot_history


def history(epochs: int, loss: float = 0.1) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "step": 100 * epoch,
            "loss": loss / epoch,
            "psnr": 28.0 + epoch,
            "psnr_thesis": 27.0 + epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("epochs", [1, 30])
def test_a_picture_is_drawn(tmp_path: Path, epochs: int) -> None:
    plot_history(history(epochs), tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (960, 720)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_the_picture_follows_loss_and_score(tmp_path: Path) -> None:
    """What changes in the history changes in its own half of the picture."""

    def halves(rows: list[dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
        plot_history(rows, tmp_path / "loss.png")
        with Image.open(tmp_path / "loss.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        return pixels[:330], pixels[390:]

    plain = halves(history(5))
    bumpy_loss = history(5)
    bumpy_loss[2]["loss"] *= 1.5
    above, below = halves(bumpy_loss)
    assert not np.array_equal(above, plain[0])
    assert np.array_equal(below, plain[1])
    bumpy_score = history(5)
    bumpy_score[2]["psnr"] += 1
    above, below = halves(bumpy_score)
    assert np.array_equal(above, plain[0])
    assert not np.array_equal(below, plain[1])


def test_no_file_is_named_after_its_suffix(tmp_path: Path) -> None:
    plot_history(history(2), tmp_path / "without_suffix")
    assert (tmp_path / "without_suffix").read_bytes().startswith(b"\x89PNG")
