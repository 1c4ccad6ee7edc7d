"""A synthetic beating heart in the short axis, for the demo, the tests and as training data.

Labels of tissues, painted on a grid four times as fine as the image, are turned into signal,
blurred by a point spread function and averaged, so that no edge is jagged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cinesr.errors import UnfitImageError
from cinesr.imaging.cine import Cine
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.phantom_body import Anatomy, paint_body
from cinesr.imaging.phantom_canvas import FIELD_OF_VIEW_MM, SUPERSAMPLING, Canvas, Tissue
from cinesr.imaging.phantom_heart import contraction, paint_heart

SLICE_STEP_MM = 8.0
RR_INTERVAL_MS = 900.0
STORED_MAXIMUM = 4095
BLOOD_LEVEL = 1100.0
"""Stored value of blood where the coil's sensitivity is 1."""
SMALLEST_SIZE = 16
POINT_SPREAD = 0.6
"""Standard deviation in pixels of what the scanner's finite matrix makes of a point."""

COLUMN_DIRECTION = (0.712, 0.701, -0.034)
ROW_DIRECTION = (-0.308, 0.268, -0.913)
"""A usual short axis: the septum to the image's left, the diaphragm at its bottom."""
CENTRE_MM = (38.0, -22.0, 15.0)


# (signal with blood at 1, relative strength of the texture). Balanced SSFP at 1.5 T takes fat out
# of phase with water: the negative sign draws the dark lines of mixed voxels by itself.
_SIGNAL = {
    Tissue.AIR: (0.0, 0.0),
    Tissue.LUNG: (0.05, 0.5),
    Tissue.SKIN: (0.25, 0.1),
    Tissue.FAT: (-0.66, 0.10),
    Tissue.MUSCLE: (0.22, 0.16),
    Tissue.FASCIA: (0.10, 0.2),
    Tissue.MARROW: (-0.42, 0.2),
    Tissue.VESSEL: (0.62, 0.1),
    Tissue.LIVER: (0.34, 0.10),
    Tissue.SPLEEN: (0.40, 0.10),
    Tissue.KIDNEY: (0.46, 0.10),
    Tissue.PYRAMID: (0.33, 0.10),
    Tissue.BOWEL: (0.30, 0.22),
    Tissue.FLUID: (0.72, 0.2),
    Tissue.GAS: (0.03, 0.3),
    Tissue.MYOCARDIUM: (0.30, 0.07),
    Tissue.BLOOD: (1.00, 0.06),
    Tissue.BLOOD_RIGHT: (0.84, 0.10),
}


def make_phantom(
    *, size: int = 256, slices: int = 3, phases: int = 12, seed: int = 0, noise: float = 0.015
) -> Cine:
    """Draws the cine of one heartbeat: 12-bit values as uint16, slice 0 nearest the apex.

    The field of view stays the same: a larger `size` shows the same person with smaller pixels.

    Args:
        size: Rows and columns; 256 gives about 1.4 mm pixels.
        slices: How many short-axis slices, 8 mm apart, around the middle of the ventricle.
        phases: How many moments of the beat, evenly spaced.
        seed: Which person, and which noise.
        noise: Standard deviation of the noise in either channel, with blood at 1.

    Raises:
        UnfitImageError: A size below 16, no slice, no phase, or a negative noise.
    """
    if size < SMALLEST_SIZE or slices < 1 or phases < 1 or seed < 0 or not 0 <= noise < np.inf:
        raise UnfitImageError(
            f"No phantom can be drawn with size {size}, slices {slices}, phases {phases}, "
            f"seed {seed}, noise {noise}; expected a size of at least {SMALLEST_SIZE}, one slice "
            "and one phase or more, and neither a negative seed nor a negative noise.",
            hint="Leave the arguments out to get 256 x 256 pixels, 3 slices and 12 phases.",
        )
    anatomy = Anatomy.random(seed)
    frames = np.empty((phases, slices, size, size), np.uint16)
    for index in range(slices):
        level_mm = (index - (slices - 1) / 2) * SLICE_STEP_MM
        plane = _Plane(anatomy, seed, size, level_mm)
        for phase in range(phases):
            rng = np.random.default_rng([seed, 2, index, phase])
            frames[phase, index] = plane.frame(phase / phases, noise, rng)
    return Cine(
        frames,
        _geometry(size, slices),
        times_ms=np.arange(phases, dtype=np.float64) * (RR_INTERVAL_MS / phases),
        name=f"phantom-{seed}",
        value_range=(0.0, float(STORED_MAXIMUM)),
    )


def _geometry(size: int, slices: int) -> Geometry:
    column = np.asarray(COLUMN_DIRECTION) / np.linalg.norm(COLUMN_DIRECTION)
    row = np.asarray(ROW_DIRECTION) - np.dot(ROW_DIRECTION, column) * column
    row /= np.linalg.norm(row)
    affine = np.eye(4)
    affine[:3, 0] = column * FIELD_OF_VIEW_MM[0] / size
    affine[:3, 1] = row * FIELD_OF_VIEW_MM[1] / size
    affine[:3, 2] = np.cross(column, row) * SLICE_STEP_MM
    middle = np.array([(size - 1) / 2, (size - 1) / 2, (slices - 1) / 2])
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ middle
    return Geometry.from_affine(affine, slices=slices)


class _Plane:
    """How the scanner sees one slice of one person."""

    def __init__(self, anatomy: Anatomy, seed: int, size: int, level_mm: float) -> None:
        self._anatomy, self._seed, self._level_mm = anatomy, seed, level_mm
        self._body = Canvas(size, Tissue.LUNG)
        paint_body(self._body, anatomy, seed, level_mm)
        rng = np.random.default_rng([seed, 4])
        self._sensitivity = _sensitivity(anatomy, size, rng)
        self._grain = _grain(size * 2, size / 256, rng)
        self._flow = [_grain(size * 2, size / 256 * 1.8, rng) for _ in range(2)]
        table = np.zeros((2, 256), np.float32)
        for tissue, (signal, texture) in _SIGNAL.items():
            water = 0 < signal < 0.7
            table[:, tissue] = signal * (anatomy.contrast if water else 1.0), texture
        self._signal, self._texture = table

    def frame(self, moment: float, noise: float, rng: np.random.Generator) -> NDArray[np.uint16]:
        """The stored values at a moment, in RR intervals since the R wave."""
        canvas = self._body.copy()
        paint_heart(canvas, self._anatomy, self._seed, self._level_mm, contraction(moment))
        labels = np.asarray(canvas.image)
        signal = _averaged(self._signal[labels], SUPERSAMPLING // 2)
        nearest = labels[1 :: SUPERSAMPLING // 2, 1 :: SUPERSAMPLING // 2]
        turn = 2 * np.pi * moment
        flow = np.cos(turn) * self._flow[0] + np.sin(turn) * self._flow[1]
        moving = (nearest == Tissue.BLOOD) | (nearest == Tissue.BLOOD_RIGHT)
        signal *= 1 + self._texture[nearest] * np.where(moving, flow, self._grain)
        seen = _averaged(np.abs(gaussian_filter(signal, POINT_SPREAD * 2)), 2)
        seen *= self._sensitivity
        channels = rng.normal(scale=noise, size=(2, *seen.shape)) if noise else np.zeros((2, 1, 1))
        magnitude = np.hypot(seen + channels[0], channels[1]) * BLOOD_LEVEL
        stored: NDArray[np.uint16] = np.rint(magnitude).clip(0, STORED_MAXIMUM).astype(np.uint16)
        return stored


def _averaged(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    parts = [values[i::factor, j::factor] for i in range(factor) for j in range(factor)]
    return np.asarray(sum(parts) / np.float32(len(parts)), dtype=np.float32)


def _smooth_noise(size: int, smooth: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of unit standard deviation without detail finer than `smooth` samples."""
    values = gaussian_filter(rng.standard_normal((size, size), np.float32), smooth, mode="wrap")
    return np.asarray(values / values.std())


def _grain(size: int, scale: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The grain of tissue: patches of one to four millimetres."""
    return np.asarray(
        0.7 * _smooth_noise(size, 1.4 * scale, rng) + 0.6 * _smooth_noise(size, 4.0 * scale, rng)
    )


def _sensitivity(anatomy: Anatomy, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """What the coils see: most near the front of the chest, some near the back; and banding.

    Balanced SSFP loses its signal in narrow bands where the field is off by 1 / (2 TR), far from
    the shimmed heart (Scheffler and Lehnhardt, Eur Radiol 2003).
    """
    steps = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(steps * FIELD_OF_VIEW_MM[0], steps * FIELD_OF_VIEW_MM[1])
    front = np.hypot(x + 65 + rng.normal() * 10, y + 95 + rng.normal() * 10)
    back = np.hypot(x - 160, y - 120 + rng.normal() * 20)
    reach = anatomy.coil_reach_mm
    seen = 0.3 + 2.1 * np.exp(-((front / reach) ** 2)) + 1.1 * np.exp(-((back / 80) ** 2))
    heart = np.hypot(x - anatomy.heart_mm[0], y - anatomy.heart_mm[1])
    at_heart = seen.ravel()[np.argmin(heart)]
    off = (heart / rng.uniform(185, 215)) ** 3 + 0.3 * _smooth_noise(size, size / 14, rng)
    band = 1 - 0.5 * np.exp(-(((off - 1.0) / 0.16) ** 2))
    return np.asarray(seen / at_heart * band, np.float32)
