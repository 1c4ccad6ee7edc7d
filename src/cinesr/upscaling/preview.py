"""Pictures of an input beside its result, with a magnified crop of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cinesr.imaging.files import staged
from cinesr.imaging.filters import correlate, gaussian_taps, moving_sums

PANEL = 384
"""Longer side of a panel, in pixels."""
NARROWEST = 96
"""Shorter side of a panel at least; what is narrower still is drawn too wide."""
GAP = 8
CAPTION = 24
CROP_SHARE = 0.22
"""Side of the magnified crop, as a share of the image."""
FRAME = (255, 196, 0)

Panel = tuple[str, NDArray[np.float32]]


def write_preview(
    path: Path,
    panels: Sequence[Panel],
    *,
    centre: tuple[float, float] | None = None,
    window: tuple[float, float] | None = None,
    pixel_aspect: float = 1.0,
    overwrite: bool = True,
) -> None:
    """Draws panels side by side, and under each the same magnified part of it.

    Pixels are shown as they are, never smoothed. One window serves all panels.

    Args:
        path: PNG file to write.
        panels: A caption and an image (row, column) each; all show the same field of view, at any
            resolution.
        centre: Of the magnified part, as shares of height and width; where the first panel has most
            structure if not given.
        window: Values that are black and white; the smallest value and the 99.5th percentile of the
            first panel if not given.
        pixel_aspect: Height of the first panel's pixels over their width.
        overwrite: Replace an existing file.
    """
    first = panels[0][1]
    low, high = window or (float(first.min()), float(np.percentile(first, 99.5)))
    row, column = centre or _busiest(first)
    margin = CROP_SHARE / 2
    row, column = (min(max(share, margin), 1.0 - margin) for share in (row, column))
    width, height = _panel_size(first.shape[0] * pixel_aspect / first.shape[1])
    sheet = Image.new("RGB", (len(panels) * (width + GAP) - GAP, CAPTION + 2 * height + GAP))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for index, (caption, image) in enumerate(panels):
        left = index * (width + GAP)
        while font.getlength(caption) > width - 4:
            caption = caption[:-2] + "…"
        draw.text((left + 2, 3), caption, fill="white", font=font)
        grey = np.clip((image - low) / max(high - low, 1e-6) * 255.0, 0.0, 255.0)
        picture = Image.fromarray(np.rint(grey).astype(np.uint8))
        whole = (0.0, 0.0, 1.0, 1.0)
        part = (column - margin, row - margin, column + margin, row + margin)
        sheet.paste(_shown(picture, whole, (width, height)), (left, CAPTION))
        sheet.paste(_shown(picture, part, (width, height)), (left, CAPTION + height + GAP))
        box = [left + part[0] * width, CAPTION + part[1] * height]
        draw.rectangle(
            [*box, box[0] + 2 * margin * width, box[1] + 2 * margin * height], None, FRAME
        )
    with staged(path, overwrite=overwrite) as temporary:
        sheet.save(temporary, format="PNG")


def _panel_size(height_per_width: float) -> tuple[int, int]:
    longest = max(height_per_width, 1.0)
    return (
        max(round(PANEL / longest), NARROWEST),
        max(round(PANEL * height_per_width / longest), NARROWEST),
    )


def _shown(
    picture: Image.Image, part: tuple[float, float, float, float], size: tuple[int, int]
) -> Image.Image:
    """A part of a picture, given as shares of its width and height, at the size of a panel."""
    width, height = picture.size
    box = (part[0] * width, part[1] * height, part[2] * width, part[3] * height)
    enlarged = (box[2] - box[0]) <= size[0]
    how = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    return picture.resize(size, how, box)


def _busiest(image: NDArray[np.float32]) -> tuple[float, float]:
    """Where the image has most structure within a crop, as shares of height and width."""
    blur, slope = gaussian_taps(1.0)
    steepness = (
        correlate(correlate(image, row_taps, axis=0), column_taps, axis=1)
        for row_taps, column_taps in ((slope, blur), (blur, slope))
    )
    edges = np.hypot(*steepness)
    for axis, size in enumerate(image.shape):
        edges = moving_sums(edges, max(1, round(CROP_SHARE * size)), axis=axis)
    # The heart lies near the middle; the skin around the body has edges as strong.
    weights = [np.exp(-0.5 * ((np.arange(n) + 0.5) / n - 0.5) ** 2 / 0.15**2) for n in image.shape]
    best = int(np.argmax(edges * np.outer(*weights)))
    row, column = np.unravel_index(best, image.shape)
    return (float(row) + 0.5) / image.shape[0], (float(column) + 0.5) / image.shape[1]
