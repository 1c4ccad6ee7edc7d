"""A small picture of a series for the list."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cinesr.viewer.series import Series

LONGER_SIDE = 160


def thumbnail(series: Series) -> bytes:
    """The middle slice at the first phase as a PNG, in its window, with pixels made square.

    Raises:
        CinesrError: The frame cannot be read.
    """
    low, high = series.window
    frame = series.spool.read(0, series.cine.shape[1] // 2).astype(np.float64)
    grey = np.nan_to_num((frame - low) / (high - low) * 255.0)
    picture = Image.fromarray(np.rint(np.clip(grey, 0.0, 255.0)).astype(np.uint8))
    column_mm, row_mm, _ = series.cine.geometry.spacing_mm
    width, height = frame.shape[1] * column_mm, frame.shape[0] * row_mm
    factor = LONGER_SIDE / max(width, height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, format="PNG")
    return file.getvalue()
