"""Synthetic pictures with sharp edges at every size and angle, free of any licence.

Overlapping shapes whose sizes follow a power law have the edge and scale statistics of photographs
(Lee, Mumford and Huang, IJCV 2001), and restoration networks learn from them nearly as well
(Achddou, Gousseau and Ladjal, "Synthetic images as a regularity prior for image restoration neural
networks", SSVM 2021).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cinesr.degradation import resize_bicubic

Image = NDArray[np.float32]

LEAVES = 1200
SMALLEST_RADIUS, LARGEST_RADIUS = 2.5, 0.4
"""In pixels, and as a share of the picture's side."""
SHARPEST, BLUNTEST = 0.3, 1.0
"""Standard deviation in pixels of the blur that stands for a scanner's own resolution."""


def dead_leaves(generator: np.random.Generator, size: int) -> Image:
    """A square picture of overlapping ellipses and rectangles with shading and texture.

    Args:
        generator: Source of everything random.
        size: Rows and columns.

    Returns:
        (row, column), float32, in [0, 1].
    """
    fine = 2 * size  # Drawn on a finer grid, so that edges lie between pixels as well.
    canvas = np.full((fine, fine), generator.random(), np.float32)
    # Inverse of the distribution function of a density that falls with the radius cubed.
    low, high = 2 * SMALLEST_RADIUS, fine * LARGEST_RADIUS
    spread = generator.random(LEAVES) * (low**-2 - high**-2) + high**-2
    for radius in spread**-0.5:
        _drop_leaf(canvas, float(radius), generator)
    picture = gaussian_filter(
        resize_bicubic(canvas, (size, size)), generator.uniform(SHARPEST, BLUNTEST)
    )
    return np.asarray(np.clip(picture, 0.0, 1.0), np.float32)


def _drop_leaf(canvas: Image, radius: float, generator: np.random.Generator) -> None:
    size = canvas.shape[0]
    centre = generator.uniform(0, size, 2)
    top, left = np.maximum(centre - radius, 0).astype(int)
    bottom, right = np.minimum(centre + radius + 1, size).astype(int)
    row, column = np.mgrid[top:bottom, left:right].astype(np.float32)
    angle, flatness = generator.uniform(0, np.pi), generator.uniform(0.25, 1.0)
    along = (row - centre[0]) * np.cos(angle) + (column - centre[1]) * np.sin(angle)
    across = ((column - centre[1]) * np.cos(angle) - (row - centre[0]) * np.sin(angle)) / flatness
    if generator.random() < 0.7:
        inside = along**2 + across**2 < radius**2
    else:
        inside = np.maximum(np.abs(along), np.abs(across)) < radius / np.sqrt(2)
    shade = generator.random() + generator.uniform(-0.3, 0.3) * along / radius
    if generator.random() < 0.3:
        waves = generator.uniform(0.1, 1.0)
        shade = shade + generator.uniform(0, 0.2) * np.sin(waves * along)
    if generator.random() < 0.3:
        shade = shade + generator.normal(0, generator.uniform(0, 0.1), along.shape)
    canvas[top:bottom, left:right][inside] = np.broadcast_to(shade, inside.shape)[inside]
