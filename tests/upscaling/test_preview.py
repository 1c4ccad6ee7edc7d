"""Previews show the same place at the same size and grey in every panel."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cinesr.errors import OutputError
from cinesr.upscaling.preview import (
    CAPTION,
    CROP_SHARE,
    FRAME,
    GAP,
    NARROWEST,
    PANEL,
    write_preview,
)


def disc(size: int, row: float, column: float, columns: int | None = None) -> np.ndarray:
    """A bright disc at shares of height and width, on black, with a little light elsewhere."""
    down = (np.arange(size) + 0.5) / size - row
    across = (np.arange(columns or size) + 0.5) / (columns or size) - column
    image = np.hypot(down[:, None], across) < 0.06
    return image.astype(np.float32)


def drawn(path: Path, panels: list, **options) -> np.ndarray:
    write_preview(path, panels, **options)
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.array(picture)


def framed(sheet: np.ndarray, panel: int, width: int = PANEL) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of the box in a panel, in pixels of it."""
    left = panel * (width + GAP)
    part = (sheet[CAPTION:, left : left + width] == FRAME).all(axis=-1)
    rows, columns = np.nonzero(part.any(axis=1))[0], np.nonzero(part.any(axis=0))[0]
    return rows[0], rows[-1], columns[0], columns[-1]


def test_panels_stand_side_by_side_over_their_crops(tmp_path: Path) -> None:
    low, high = disc(64, 0.5, 0.5), disc(256, 0.5, 0.5)
    sheet = drawn(tmp_path / "p.png", [("input", low), ("result", high), ("truth", high)])
    assert sheet.shape == (CAPTION + 2 * PANEL + GAP, 3 * PANEL + 2 * GAP, 3)
    centre = CAPTION + PANEL // 2
    for panel in range(3):
        middle = panel * (PANEL + GAP) + PANEL // 2
        assert sheet[centre, middle].tolist() == [255] * 3
        assert sheet[centre + PANEL + GAP, middle].tolist() == [255] * 3
        assert sheet[:CAPTION, middle - PANEL // 2 : middle + PANEL // 2].max() == 255


def test_the_box_lies_around_what_the_crop_shows(tmp_path: Path) -> None:
    row, column = 0.4, 0.6
    image = disc(256, row, column)
    sheet = drawn(tmp_path / "p.png", [("a", image), ("b", image)], centre=(row, column))
    for panel in range(2):
        top, bottom, left, right = framed(sheet, panel)
        assert (top + bottom) / 2 / PANEL == pytest.approx(row, abs=0.01)
        assert (left + right) / 2 / PANEL == pytest.approx(column, abs=0.01)
        assert (bottom - top) / PANEL == pytest.approx(CROP_SHARE, abs=0.01)
    crop = sheet[CAPTION + PANEL + GAP :, :PANEL, 0] > 128
    rows, columns = np.nonzero(crop)
    assert (rows.mean() / PANEL, columns.mean() / PANEL) == pytest.approx((0.5, 0.5), abs=0.02)
    assert np.ptp(rows) / PANEL == pytest.approx(0.12 / CROP_SHARE, abs=0.03)


def test_the_crop_finds_the_structure_near_the_middle(tmp_path: Path) -> None:
    image = disc(128, 0.42, 0.56) + disc(128, 0.05, 0.05)
    top, bottom, left, right = framed(drawn(tmp_path / "p.png", [("a", image)]), 0)
    assert top / PANEL < 0.36
    assert bottom / PANEL > 0.48
    assert left / PANEL < 0.50
    assert right / PANEL > 0.62


@pytest.mark.parametrize("centre", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
def test_a_crop_at_the_border_stays_inside(tmp_path: Path, centre: tuple[float, float]) -> None:
    image = disc(64, 0.5, 0.5)
    top, bottom, left, right = framed(
        drawn(tmp_path / "p.png", [("a", image), ("b", image)], centre=centre), 0
    )
    assert bottom - top == pytest.approx(CROP_SHARE * PANEL, abs=2)
    assert right - left == pytest.approx(CROP_SHARE * PANEL, abs=2)


def test_one_window_serves_all_panels(tmp_path: Path) -> None:
    first = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    sheet = drawn(tmp_path / "p.png", [("a", first), ("half", first / 2), ("over", first * 3)])
    values = [sheet[CAPTION + PANEL - 2, panel * (PANEL + GAP) + PANEL // 2, 0] for panel in (0, 1)]
    assert values[0] >= 253
    assert values[1] == pytest.approx(255 / 2, abs=4)
    assert sheet[CAPTION + PANEL - 2, 2 * (PANEL + GAP) + 40, 0] == 255


def test_pixels_are_shown_as_they_are(tmp_path: Path) -> None:
    checks = (np.indices((8, 8)).sum(axis=0) % 2).astype(np.float32)
    sheet = drawn(tmp_path / "p.png", [("a", checks)], centre=(0.5, 0.5))
    panel = sheet[CAPTION : CAPTION + PANEL, :PANEL]
    greys = panel[~(panel == FRAME).all(axis=-1)]
    assert set(np.unique(greys)) == {0, 255}


@pytest.mark.parametrize(
    ("rows", "columns", "aspect", "size"),
    [
        (32, 64, 1.0, (PANEL, PANEL // 2)),
        (64, 32, 1.0, (PANEL // 2, PANEL)),
        (32, 64, 2.0, (PANEL, PANEL)),
        (64, 64, 0.5, (PANEL, PANEL // 2)),
        (2, 400, 1.0, (PANEL, NARROWEST)),
        (400, 2, 1.0, (NARROWEST, PANEL)),
    ],
)
def test_a_panel_has_the_shape_of_the_field_of_view(
    tmp_path: Path, rows: int, columns: int, aspect: float, size: tuple[int, int]
) -> None:
    image = disc(rows, 0.5, 0.5, columns)
    sheet = drawn(tmp_path / "p.png", [("a", image), ("b", image)], pixel_aspect=aspect)
    width, height = size
    assert sheet.shape == (CAPTION + 2 * height + GAP, 2 * width + GAP, 3)


def test_a_long_caption_does_not_run_into_the_next(tmp_path: Path) -> None:
    image = disc(64, 0.5, 0.5)
    sheet = drawn(tmp_path / "p.png", [("m" * 200, image), ("b", image)])
    assert sheet[:CAPTION, PANEL - 60 : PANEL].max() == 255
    assert sheet[:CAPTION, PANEL : PANEL + GAP].max() == 0


def test_a_tiny_or_flat_picture_is_drawn(tmp_path: Path) -> None:
    drawn(tmp_path / "p.png", [("tiny", np.eye(2, dtype=np.float32))])
    drawn(tmp_path / "p.png", [("flat", np.zeros((16, 16), np.float32))])


def test_an_existing_picture_is_kept_where_asked(tmp_path: Path) -> None:
    panels = [("a", disc(32, 0.5, 0.5))]
    write_preview(tmp_path / "p.png", panels)
    write_preview(tmp_path / "p.png", panels)
    with pytest.raises(OutputError, match=r"p\.png exists already"):
        write_preview(tmp_path / "p.png", panels, overwrite=False)


def test_a_window_can_be_given(tmp_path: Path) -> None:
    bright = np.full((64, 64), 0.25, np.float32)
    bright[:8] = 1.0  # Fat near the coils.
    write_preview(tmp_path / "p.png", [("a", bright)], centre=(0.5, 0.5), window=(0.0, 0.5))
    with Image.open(tmp_path / "p.png") as picture:
        shown = np.asarray(picture)
    middle = shown[CAPTION + PANEL + GAP + PANEL // 2, PANEL // 2]
    assert middle.tolist() == [128, 128, 128]
    assert shown[CAPTION + 2, PANEL // 2].tolist() == [255, 255, 255]
