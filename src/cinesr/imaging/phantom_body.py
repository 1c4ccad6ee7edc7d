"""The phantom's person: what differs from one to another, and everything that does not beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cinesr.imaging.phantom_canvas import (
    Canvas,
    Points,
    Tissue,
    blob,
    closed,
    inset,
    line,
    wave,
)


@dataclass(frozen=True)
class Anatomy:
    """What differs from person to person.

    Args:
        heart_mm: (x, y) of the left ventricle's centre from the image's centre.
        left_radius_mm: Mean inner radius of the left ventricle at end-diastole, mid-ventricle.
        wall_mm: Thickness of its wall then and there.
        right_width_mm: From the septum to the right ventricle's free wall at end-diastole.
        ejected_area: Part of the left ventricle's blood area that is gone at end-systole.
        body_turn: By how much the body around the heart is turned, in radians.
        body_scale: Size of the body against the average.
        fat_mm: Mean thickness of the fat under the skin.
        contrast: Strength of water signals other than blood, against the average.
        coil_reach_mm: How deep the surface coil sees.
    """

    heart_mm: tuple[float, float] = (6.0, -22.0)
    left_radius_mm: float = 25.0
    wall_mm: float = 9.0
    right_width_mm: float = 30.0
    ejected_area: float = 0.6
    body_turn: float = 0.0
    body_scale: float = 1.0
    fat_mm: float = 13.0
    contrast: float = 1.0
    coil_reach_mm: float = 105.0

    @classmethod
    def random(cls, seed: int) -> Anatomy:
        """An adult between small and large, healthy or with a thick or a weak heart."""
        rng = np.random.default_rng([seed, 1])
        return cls(
            heart_mm=(float(rng.uniform(-8, 20)), float(rng.uniform(-34, -10))),
            left_radius_mm=float(rng.uniform(22, 29)),
            wall_mm=float(rng.uniform(7.5, 12)),
            right_width_mm=float(rng.uniform(24, 34)),
            ejected_area=float(rng.uniform(0.5, 0.68)),
            body_turn=float(rng.uniform(-0.22, 0.16)),
            body_scale=float(rng.uniform(0.95, 1.12)),
            fat_mm=float(rng.uniform(7, 20)),
            contrast=float(rng.uniform(0.85, 1.2)),
            coil_reach_mm=float(rng.uniform(85, 130)),
        )


_HEART_COLUMN_MM = 14.0
# Outlines of an average person, (x, y) in millimetres.
_BODY = [(-215, 70), (-158, 26), (-108, -28), (-76, -76), (-38, -116), (10, -140), (62, -140),
         (108, -112), (138, -66), (158, -8), (172, 60), (180, 140), (150, 230), (0, 280),
         (-150, 250), (-230, 170)]  # fmt: skip
_DIAPHRAGM = [(-230, 60), (-160, 34), (-110, 14), (-70, 12), (-30, 18), (10, 24), (45, 24),
              (80, 22), (110, 34), (132, 66), (150, 120), (200, 160), (0, 300),
              (-260, 220)]  # fmt: skip
_MEDIASTINUM = [(-150, 30), (-112, -28), (-84, -62), (-60, -72), (-44, -66), (-36, -44),
                (-40, -10), (-20, 14), (30, 18), (60, 16), (62, 28), (0, 50),
                (-100, 60)]  # fmt: skip
_LIVER = [(-190, 62), (-140, 34), (-100, 20), (-62, 18), (-26, 25), (6, 32), (24, 40), (6, 50),
          (-28, 56), (-52, 76), (-74, 106), (-96, 140), (-140, 166), (-190, 140)]  # fmt: skip
_STOMACH = [(-26, 66), (0, 56), (34, 50), (62, 44), (76, 58), (66, 80), (38, 88), (6, 88),
            (-18, 92), (-34, 110), (-46, 100), (-40, 78)]  # fmt: skip
_SPLEEN = [(84, 34), (108, 42), (124, 68), (130, 104), (120, 134), (106, 120), (94, 94),
           (82, 70), (78, 48)]  # fmt: skip


@dataclass(frozen=True)
class _Brush:
    """What to paint, and over what."""

    tissue: Tissue
    within: tuple[Tissue, ...]


class _Plane:
    """One slice of one person: places outlines and draws random numbers for its details.

    The same numbers come in every slice, so that structures run on from slice to slice.
    """

    def __init__(self, canvas: Canvas, anatomy: Anatomy, seed: int, level_mm: float) -> None:
        self.canvas = canvas
        self.anatomy = anatomy
        self.level_mm = level_mm
        self.rng = np.random.default_rng([seed, 3])
        cos, sin = np.cos(anatomy.body_turn), np.sin(anatomy.body_turn)
        self._turn = anatomy.body_scale * np.array([[cos, sin], [-sin, cos]])

    def points(self, control: ArrayLike, jitter_mm: float = 4.0) -> Points:
        """Control points of this person in this slice."""
        points = np.asarray(control, dtype=np.float64)
        shape = points.shape
        moved = points + self.rng.normal(scale=jitter_mm, size=shape)
        moved += self.level_mm * self.rng.normal(scale=0.12, size=shape)
        # The body is hung up where its diaphragm carries the heart, small or large.
        floor = (_HEART_COLUMN_MM, 16.0 - self.anatomy.left_radius_mm - self.anatomy.wall_mm)
        return np.asarray((moved - floor) @ self._turn.T + self.anatomy.heart_mm)

    def curve(self, control: ArrayLike, jitter_mm: float = 4.0, count: int = 240) -> Points:
        """The closed curve through them."""
        return closed(self.points(control, jitter_mm), count)

    def branches(self, start: Points, end: Points, width_mm: float, paint: _Brush) -> None:
        """A vessel from `start` to `end` that gives off two generations of branches."""
        bend = (start + end) / 2 + self.rng.normal(scale=0.1, size=2) * np.linalg.norm(end - start)
        path = line([start, bend, end], 24)
        self.canvas.stroke(path[:16], width_mm, paint.tissue, paint.within)
        self.canvas.stroke(path[14:], width_mm * 0.7, paint.tissue, paint.within)
        if width_mm < 1.6:
            return
        for at in self.rng.uniform(0.25, 0.9, size=2):
            root = path[int(at * 23)]
            angle = self.rng.choice([-1, 1]) * self.rng.uniform(0.4, 1.0)
            cos, sin = np.cos(angle), np.sin(angle)
            tip = root + 0.55 * np.array([[cos, -sin], [sin, cos]]) @ (end - start)
            self.branches(root, tip, width_mm * 0.6, paint)


def paint_body(canvas: Canvas, anatomy: Anatomy, seed: int, level_mm: float) -> None:
    """Paints everything that does not beat, from the inside outwards.

    Args:
        canvas: An empty canvas.
        anatomy: The person.
        seed: Shapes of the organs and vessels.
        level_mm: Height of the slice above the middle of the ventricle, towards the base.
    """
    plane = _Plane(canvas, anatomy, seed, level_mm)
    _paint_lung_vessels(plane)
    canvas.fill(plane.curve(_MEDIASTINUM), Tissue.FAT)
    bed = np.add(anatomy.heart_mm, (-8.0, 0.8 * (anatomy.left_radius_mm + anatomy.wall_mm)))
    canvas.fill(blob(bed, (38, 9), 0, plane.rng), Tissue.FAT)
    _paint_strands(plane, (-78, -25), (26, 30), 26)
    _paint_abdomen(plane)
    _paint_chest_wall(plane)


def _paint_lung_vessels(plane: _Plane) -> None:
    lung = (Tissue.LUNG,)
    rng = plane.rng
    for _ in range(3):
        start = plane.points([rng.uniform([30, -60], [75, 0])])[0]
        end = plane.points([rng.uniform([80, -100], [140, 20])])[0]
        plane.branches(start, end, 2.2, _Brush(Tissue.MUSCLE, lung))
    for _ in range(170):
        radius = 0.45 + 0.5 * rng.exponential()
        centre = plane.points([rng.normal((72, -50), (42, 38))], 0)[0]
        bright = Tissue.VESSEL if rng.random() < 0.45 else Tissue.MUSCLE
        canvas_blob = blob(centre, (radius, radius * rng.uniform(1, 2)), rng.uniform(0, 3), rng)
        plane.canvas.fill(canvas_blob, bright, within=lung)


def _paint_strands(
    plane: _Plane, centre: tuple[float, float], spread: tuple[float, float], count: int
) -> None:
    """Thin dark membranes and small vessels that run through fat."""
    rng = plane.rng
    for _ in range(count):
        start = rng.normal(centre, spread)
        middle = start + rng.normal(scale=9, size=2)
        strand = line(plane.points([start, middle, 2 * middle - start + rng.normal(size=2) * 5]))
        plane.canvas.stroke(strand, rng.uniform(0.5, 1.6), Tissue.FASCIA, (Tissue.FAT,))
        vessel = plane.points([rng.normal(centre, spread)])[0]
        outline = blob(vessel, (rng.uniform(1, 2.4), rng.uniform(1, 2.4)), 0, rng)
        plane.canvas.fill(outline, Tissue.VESSEL, within=(Tissue.FAT,))


def _paint_abdomen(plane: _Plane) -> None:
    canvas, rng = plane.canvas, plane.rng
    diaphragm = plane.curve(_DIAPHRAGM, 3.0, count=480)
    canvas.fill(diaphragm, Tissue.MUSCLE)
    canvas.fill(inset(diaphragm, 2.2), Tissue.FAT)
    for _ in range(16):
        centre = plane.points([rng.uniform([-120, 100], [60, 190])])[0]
        radii = (rng.uniform(7, 17), rng.uniform(6, 12))
        loop = blob(centre, radii, rng.uniform(0, 3), rng, 0.25)
        canvas.fill(loop, Tissue.BOWEL)
        inner = rng.choice(
            [Tissue.FLUID, Tissue.BOWEL, Tissue.GAS, Tissue.FAT], p=[0.3, 0.35, 0.1, 0.25]
        )
        canvas.fill(inset(loop, rng.uniform(1.8, 3.4)), Tissue(int(inner)))
    _paint_strands(plane, (-20, 125), (55, 30), 34)
    _paint_kidney(plane)
    spleen = plane.curve(_SPLEEN)
    canvas.fill(spleen, Tissue.SPLEEN)
    stomach = plane.curve(_STOMACH)
    canvas.fill(stomach, Tissue.MUSCLE)
    canvas.fill(inset(stomach, 3.5 + 1.1 * wave(len(stomach), rng, 2.0)), Tissue.FLUID)
    for _ in range(24):
        rest = blob(
            rng.normal(stomach.mean(axis=0), (26, 10)),
            (rng.uniform(1, 4), 1.6),
            rng.uniform(0, 3),
            rng,
        )
        canvas.fill(rest, Tissue.BOWEL, within=(Tissue.FLUID,))
    aorta = blob(plane.points([(22, 118)])[0], (10.5, 10), 0, rng, 0.02)
    canvas.fill(inset(aorta, -1.6), Tissue.FASCIA)
    canvas.fill(aorta, Tissue.BLOOD_RIGHT)
    liver = plane.curve(_LIVER, 3.0)
    canvas.fill(liver, Tissue.LIVER)
    vessel = _Brush(Tissue.VESSEL, (Tissue.LIVER,))
    for end in ((-140, 60), (-60, 40), (-120, 110)):
        start, tip = plane.points([(-78, 84), end], 8)
        plane.branches(start, tip, 2.6, vessel)
    for _ in range(9):
        start = rng.uniform([-160, 36], [-40, 130])
        ends = plane.points([start, start + rng.normal(scale=7, size=2)])
        plane.branches(ends[0], ends[1], rng.uniform(1.0, 1.58), vessel)
    for _ in range(14):
        dot = plane.points([rng.uniform([-160, 30], [-20, 130])])[0]
        outline = blob(dot, (rng.uniform(0.8, 2.0), 1.2), rng.uniform(0, 3), rng)
        canvas.fill(outline, Tissue.VESSEL, within=(Tissue.LIVER,))


def _paint_kidney(plane: _Plane) -> None:
    canvas, rng = plane.canvas, plane.rng
    centre = plane.points([(78, 142)])[0]
    tilt = rng.uniform(-0.5, 0.1)
    canvas.fill(blob(centre, (24, 33), tilt, rng, 0.05), Tissue.KIDNEY)
    for turn in np.arange(9) * 0.7 + rng.uniform(0, 0.7):
        at = centre + np.array([12.5 * np.cos(turn), 20 * np.sin(turn)])
        canvas.fill(blob(at, (5.0, 3.6), turn, rng, 0.1), Tissue.PYRAMID)
    canvas.fill(blob(centre - (4, 0), (7.5, 14), tilt, rng, 0.4), Tissue.FAT)
    for _ in range(5):
        calyx = rng.normal(centre - (3, 0), (4, 7))
        canvas.fill(blob(calyx, (1.4, 2.6), rng.uniform(0, 3), rng), Tissue.VESSEL)


def _paint_chest_wall(plane: _Plane) -> None:
    """Pleura, ribs in their muscle, the large muscles, the fat under the skin, the skin."""
    canvas, rng = plane.canvas, plane.rng
    outline = plane.curve(_BODY, 3.0, count=720)
    count = len(outline)
    fat = plane.anatomy.fat_mm * np.clip(1 + 0.35 * wave(count, rng, 40), 0.35, None)
    large = 10.0 * np.clip(1 + 0.6 * wave(count, rng, 30), 0.15, None)
    inner = fat + large + 1.2 + np.clip(wave(count, rng, 15), 0, None)
    thin = 9.5 + 1.6 * wave(count, rng, 14)
    canvas.fill_outside(inset(outline, inner + thin + 0.9), Tissue.FAT)
    canvas.fill_outside(inset(outline, inner + thin), Tissue.MUSCLE)
    ribs = inset(outline, inner + thin * 0.55)
    at = int(rng.integers(20))
    while at < count:
        along = ribs[(at + 2) % count] - ribs[at]
        angle = float(np.arctan2(along[1], along[0]))
        rib = blob(ribs[at], (rng.uniform(4, 9), rng.uniform(3, 4.5)), angle, rng, 0.2)
        canvas.fill(rib, Tissue.FASCIA)
        marrow = Tissue.MARROW if rng.random() < 0.7 else Tissue.SKIN
        canvas.fill(inset(rib, rng.uniform(1.0, 1.8)), marrow)
        at += int(rng.uniform(20, 46) / np.linalg.norm(along) * 2)
    canvas.fill_outside(inset(outline, inner), Tissue.FAT)
    canvas.fill_outside(inset(outline, fat + large), Tissue.MUSCLE)
    for depth in (0.25, 0.5, 0.72):
        plane_of_fat = inset(outline, fat + large * (depth + 0.06 * wave(count, rng, 12)))
        for start in rng.integers(count, size=14):
            piece = plane_of_fat[start : start + int(rng.integers(6, 70))]
            canvas.stroke(piece, rng.uniform(0.4, 1.3), Tissue.FAT, (Tissue.MUSCLE,))
    canvas.fill_outside(inset(outline, fat), Tissue.FAT)
    for depth in (0.35, 0.6, 0.85):
        septum = inset(outline, fat * (depth + 0.08 * wave(count, rng, 9)))
        for start in rng.integers(count, size=22):
            piece = septum[start : start + int(rng.integers(6, 34))]
            canvas.stroke(piece, rng.uniform(0.5, 0.9), Tissue.FASCIA, (Tissue.FAT,))
    canvas.fill_outside(inset(outline, 1.6), Tissue.SKIN)
    canvas.fill_outside(outline, Tissue.AIR)
