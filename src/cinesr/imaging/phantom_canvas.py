"""The phantom's drawing board: tissues as outlines in millimetres, painted as labels.

The plane's origin is the centre of the image, x to the right, y down.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

Points = NDArray[np.float64]

FIELD_OF_VIEW_MM = (350.0, 364.0)
"""Along columns and rows. They differ, so that code which swaps the two spacings is seen."""
SUPERSAMPLING = 4


class Tissue(IntEnum):
    """What a painted sample is made of."""

    AIR = 0
    LUNG = 1
    SKIN = 2
    FAT = 3
    MUSCLE = 4
    FASCIA = 5
    MARROW = 6
    VESSEL = 7
    LIVER = 8
    SPLEEN = 9
    KIDNEY = 10
    PYRAMID = 11
    BOWEL = 12
    FLUID = 13
    GAS = 14
    MYOCARDIUM = 15
    BLOOD = 16
    BLOOD_RIGHT = 17


class Canvas:
    """Labels on the fine grid, painted back to front."""

    def __init__(self, size: int, tissue: Tissue) -> None:
        self.image = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING), int(tissue))
        self._per_mm = size * SUPERSAMPLING / np.asarray(FIELD_OF_VIEW_MM)

    def copy(self) -> Canvas:
        """A canvas to go on painting, while this one stays."""
        twin = object.__new__(Canvas)
        twin.image, twin._per_mm = self.image.copy(), self._per_mm
        return twin

    def fill(self, points: Points, tissue: Tissue, *, within: tuple[Tissue, ...] = ()) -> None:
        """Fills an outline; with `within`, paints over these tissues only."""
        self._paint(points, tissue, within, None)

    def fill_outside(self, points: Points, tissue: Tissue) -> None:
        """Fills everything around an outline."""
        shape = Image.new("1", self.image.size, 1)
        corners = np.asarray(points) * self._per_mm + np.asarray(self.image.size) / 2
        ImageDraw.Draw(shape).polygon([(float(x), float(y)) for x, y in corners], fill=0)
        self.image.paste(int(tissue), (0, 0), shape)

    def stroke(
        self, points: Points, width_mm: float, tissue: Tissue, within: tuple[Tissue, ...] = ()
    ) -> None:
        """Draws a line of a width in millimetres."""
        self._paint(points, tissue, within, width_mm)

    def _paint(
        self, points: Points, tissue: Tissue, within: tuple[Tissue, ...], width_mm: float | None
    ) -> None:
        on_grid = np.asarray(points) * self._per_mm + np.asarray(self.image.size) / 2
        width = 0 if width_mm is None else max(1, round(width_mm * float(self._per_mm[0])))
        low = np.maximum(np.floor(on_grid.min(axis=0)).astype(int) - width - 1, 0)
        high = np.minimum(np.ceil(on_grid.max(axis=0)).astype(int) + width + 2, self.image.size)
        if (high <= low).any():
            return
        shape = Image.new("1", (int(high[0] - low[0]), int(high[1] - low[1])))
        corners = [(float(x), float(y)) for x, y in on_grid - low]
        if width_mm is None:
            ImageDraw.Draw(shape).polygon(corners, fill=1)
        else:
            ImageDraw.Draw(shape).line(corners, fill=1, width=width, joint="curve")
        if within:
            box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
            below = np.isin(np.asarray(self.image.crop(box)), within)
            shape = Image.fromarray(np.asarray(shape) & below)
        self.image.paste(int(tissue), (int(low[0]), int(low[1])), shape)


def closed(control: ArrayLike, count: int = 240) -> Points:
    """A smooth closed curve through control points (n, 2)."""
    points = np.asarray(control, dtype=np.float64)
    points = np.vstack([points, points[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    curve = CubicSpline(along, points, bc_type="periodic")
    return np.asarray(curve(np.linspace(0, along[-1], count, endpoint=False)))


def line(control: ArrayLike, count: int = 60) -> Points:
    """A smooth open curve through control points (n, 2)."""
    points = np.asarray(control, dtype=np.float64)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return np.asarray(CubicSpline(along, points)(np.linspace(0, along[-1], count)))


def blob(
    centre: ArrayLike,
    radii: tuple[float, float],
    angle: float,
    rng: np.random.Generator,
    rough: float = 0.08,
) -> Points:
    """An ellipse whose outline is disturbed by harmonics 2 to 6."""
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(turn)
    for order in range(2, 7):
        radius += rough * rng.normal() / order * np.cos(order * turn + rng.uniform(0, 6.28))
    x, y = radii[0] * radius * np.cos(turn), radii[1] * radius * np.sin(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    outline = np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
    return np.asarray(outline + np.asarray(centre), dtype=np.float64)


def inset(outline: Points, depth_mm: ArrayLike) -> Points:
    """The outline moved inwards by a depth that may vary along it."""
    tangent = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    inwards = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return np.asarray(outline + inwards * np.asarray(depth_mm).reshape(-1, 1))


def wave(count: int, rng: np.random.Generator, smooth: float) -> NDArray[np.float64]:
    """A smooth periodic random function of unit standard deviation."""
    values = gaussian_filter1d(rng.normal(size=count), smooth, mode="wrap")
    return np.asarray(values / values.std())
