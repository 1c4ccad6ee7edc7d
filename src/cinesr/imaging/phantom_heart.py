"""The phantom's heart in the short axis, and how it beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from cinesr.imaging.phantom_body import Anatomy
from cinesr.imaging.phantom_canvas import Canvas, Points, Tissue, blob, wave

_BEAT = PchipInterpolator(
    [-0.08, 0.0, 0.10, 0.20, 0.35, 0.44, 0.53, 0.62, 0.78, 0.92, 1.0, 1.1],
    [0.08, 0.0, 0.32, 0.75, 1.0, 0.80, 0.42, 0.22, 0.16, 0.08, 0.0, 0.32],
)


def contraction(moment: float) -> float:
    """How far the ventricles have contracted: 0 at end-diastole, 1 at end-systole.

    Ejection until 35 % of the beat, rapid filling, diastasis, and the atrial kick at its end.

    Args:
        moment: Time since the R wave in RR intervals; the beat repeats at 1.
    """
    return float(_BEAT(moment % 1.0))


def _taper(level_mm: float, length_mm: float) -> float:
    """Radius against mid-ventricle: a cylinder that ends in half an ellipsoid at the apex."""
    below = max(-level_mm + 18.0, 0.0)
    return float(np.sqrt(max(1 - (below / length_mm) ** 2, 0.04)))


def paint_heart(
    canvas: Canvas, anatomy: Anatomy, seed: int, level_mm: float, squeeze: float
) -> None:
    """Paints the heart over the body at one moment of the beat.

    Args:
        canvas: With the body on it.
        anatomy: The person.
        seed: Shapes of walls and muscles.
        level_mm: Height of the slice above the middle of the ventricle, towards the base.
        squeeze: See `contraction`.
    """
    _Heart(anatomy, np.random.default_rng([seed, 5]), level_mm, squeeze).paint(canvas)


class _Heart:
    """Outlines around the left ventricle's centre as radii over 360 directions.

    Direction 0 is the image's right; they go round by the image's top.
    """

    TURN = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    ANTERIOR, INFERIOR = 110, 246
    """Where the right ventricle's wall joins the left ventricle."""

    def __init__(
        self, anatomy: Anatomy, rng: np.random.Generator, level_mm: float, squeeze: float
    ) -> None:
        self.rng, self.squeeze = rng, squeeze
        self.tilt = anatomy.body_turn + 0.12 * rng.normal() - 0.06 * squeeze
        taper = _taper(level_mm, 72.0)
        rest = anatomy.left_radius_mm * taper
        wall = anatomy.wall_mm * (0.75 + 0.25 * taper)
        endocardium = rest * np.sqrt(1 - anatomy.ejected_area * squeeze)
        # Muscle keeps its volume: what it loses in length comes back as area of the cross-section.
        muscle = ((rest + wall) ** 2 - rest**2) * (1 + 0.15 * squeeze)
        epicardium = np.sqrt(endocardium**2 + muscle)
        oval = 1 + 0.035 * np.cos(2 * (self.TURN - rng.uniform(0, np.pi)))
        oval += 0.008 * wave(360, rng, 30)
        # The free side of the cavity is rough with trabeculae, the septum smooth.
        free = 0.5 + 0.5 * np.cos(self.TURN + 0.5)
        rough = np.clip(wave(360, rng, 4.0), -0.4, 2) * free * min(1.3, endocardium * 0.07)
        self.endocardium = endocardium * oval - rough
        self.epicardium = epicardium * (0.4 + 0.6 * oval) + 0.3 * wave(360, rng, 25)
        self.radius = float(endocardium)
        right = anatomy.right_width_mm * _taper(level_mm, 58.0) * (1 - 0.42 * squeeze)
        self.right_inner = self._right(right)
        self.right_outer = self._right(right + 3.2 + 0.8 * squeeze)
        drop = np.array([-1.5, -1.0]) * squeeze + level_mm * np.array([-0.12, -0.25])
        self.centre = np.asarray(anatomy.heart_mm) + drop

    def _right(self, width_mm: float) -> NDArray[np.float64]:
        """The free wall of the right ventricle, from one insertion to the other."""
        part = (np.arange(360) - self.ANTERIOR) / (self.INFERIOR - self.ANTERIOR)
        inside = np.clip(part, 0, 1)
        crescent = np.sin(np.pi * inside**1.25) ** 0.8
        crescent += 0.24 * np.exp(-(((part - 0.78) / 0.13) ** 2))
        return np.asarray(self.epicardium - 4 + (width_mm + 4) * crescent)

    def _at(self, radius: NDArray[np.float64]) -> Points:
        turn = self.TURN + self.tilt
        x, y = radius * np.cos(turn), -radius * np.sin(turn)
        return self.centre + np.stack([x, y], axis=1)

    def _spot(self, degrees: float, radius: float) -> Points:
        turn = np.deg2rad(degrees) + self.tilt
        return self.centre + radius * np.array([np.cos(turn), -np.sin(turn)])

    def paint(self, canvas: Canvas) -> None:
        """Paints fat and pericardium, the right ventricle, then the left one over its septum."""
        self._paint_fat(canvas)
        canvas.fill(self._at(self.right_outer), Tissue.MYOCARDIUM)
        canvas.fill(self._at(self.right_inner), Tissue.BLOOD_RIGHT)
        self._paint_right_trabeculae(canvas)
        canvas.fill(self._at(self.epicardium), Tissue.MYOCARDIUM)
        canvas.fill(self._at(self.endocardium), Tissue.BLOOD)
        self._paint_papillary_muscles(canvas)

    def _paint_fat(self, canvas: Canvas) -> None:
        rng = self.rng
        union = np.maximum(self.epicardium, self.right_outer)
        filled = np.maximum(union, gaussian_filter1d(union, 12, mode="wrap"))
        span = (np.arange(360) - self.ANTERIOR + 22) / (self.INFERIOR - self.ANTERIOR + 50)
        over_right = np.sin(np.pi * np.clip(span, 0, 1)) ** 0.6
        fat = (4.0 + 1.6 * wave(360, rng, 14)) * over_right + 0.7 * wave(360, rng, 9)
        border = gaussian_filter1d(filled, 4, mode="wrap") + np.clip(fat, 0.0, None)
        canvas.fill(self._at(border), Tissue.FAT)
        for start in rng.integers(self.ANTERIOR, self.INFERIOR, size=3):
            pericardium = self._at(border - 0.6)[start : start + int(rng.integers(25, 60))]
            canvas.stroke(pericardium, 1.2, Tissue.FASCIA, (Tissue.FAT,))
        for degrees in (self.ANTERIOR - 4, self.INFERIOR + 5):
            groove = self._spot(degrees, float(filled[degrees]) + 1.0)
            canvas.fill(blob(groove, (1.7, 1.4), 0, rng), Tissue.VESSEL, within=(Tissue.FAT,))

    def _paint_right_trabeculae(self, canvas: Canvas) -> None:
        rng = self.rng
        blood = (Tissue.BLOOD_RIGHT,)
        for degrees in rng.uniform(self.ANTERIOR + 18, self.INFERIOR - 10, size=15):
            outer = float(self.right_inner[int(degrees)])
            depth = rng.uniform(2.5, 8.0) * (1 - 0.25 * self.squeeze)
            root = self._spot(degrees, outer + 1)
            tip = self._spot(degrees + rng.normal() * 4, outer - depth)
            canvas.stroke(np.stack([root, tip]), rng.uniform(1.0, 2.6), Tissue.MYOCARDIUM, blood)
        for _ in range(4):
            degrees = rng.uniform(self.ANTERIOR + 35, self.INFERIOR - 25)
            outer, inner = self.right_inner[int(degrees)], self.epicardium[int(degrees)]
            spot = self._spot(degrees, float(inner + rng.uniform(0.35, 0.85) * (outer - inner)))
            muscle = blob(spot, (rng.uniform(1.2, 3.0), rng.uniform(1.2, 2.4)), 0, rng, 0.2)
            canvas.fill(muscle, Tissue.MYOCARDIUM, within=blood)

    def _paint_papillary_muscles(self, canvas: Canvas) -> None:
        rng = self.rng
        blood = (Tissue.BLOOD,)
        for middle in (38, 298):
            for part in range(2):
                degrees = middle + rng.normal() * 5 + (part - 0.5) * 16
                thick = rng.uniform(3.0, 4.6) * (1.0 - 0.25 * part) * (1 + 0.08 * self.squeeze)
                reach = max(self.radius - 0.75 * thick - rng.uniform(0, 2.5), 0.0)
                turn = -np.deg2rad(degrees) - self.tilt
                muscle = blob(self._spot(degrees, reach), (thick * 1.15, thick), turn, rng, 0.12)
                canvas.fill(muscle, Tissue.MYOCARDIUM, within=blood)
        for degrees in rng.uniform(-70, 75, size=5):
            spot = self._spot(degrees, self.radius * rng.uniform(0.72, 0.95))
            canvas.fill(blob(spot, (1.3, 0.9), 0, rng, 0.2), Tissue.MYOCARDIUM, within=blood)
