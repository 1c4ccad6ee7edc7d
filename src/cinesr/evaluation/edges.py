"""How sharp the border between blood and muscle is in a picture that has no truth.

Rays run from the middle of the left ventricle's blood pool outward. Along each, the picture falls
from the level of blood to that of muscle; the 10-90 % width says how fast, and what rises above the
one level or falls below the other beside the border is overshoot: a ridge that was not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinesr.errors import UnfitImageError

RAYS = 72
STEP_MM = 0.1
INSIDE_MM, OUTSIDE_MM = (3.0, 7.0), (3.0, 5.5)
"""How far from the border the levels of blood and muscle are taken; walls are 6 to 12 mm thick."""
SEARCH_MM = 4.0
"""How far from the mask's outline, which a person drew, the border may lie."""
LEAST_CONTRAST = 0.3
"""Of the step, as a share of the blood's level; less is fat, or the right ventricle."""
NARROW_MM = 3.0
"""A border as narrow as this is blurred by pixels more than by anatomy: a wall that is rough, or
stands askew in 8 mm of a slice, takes more."""
MOST_SPREAD = 0.2
"""Standard deviation of a level, as a share of the step; more is a papillary muscle or a vessel."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rays:
    """Where to look for the border, in mm from the picture's outer corner, whatever its pixels.

    Args:
        centre: (row, column) in mm.
        angles: (ray,) in radians.
        borders: (ray,); how far from the centre the border is about.
        is_narrow: (ray,); whether its border is at most 3 mm wide in the picture that they were
            chosen on.
    """

    centre: tuple[float, float]
    angles: Values
    borders: Values
    is_narrow: NDArray[np.bool_]


@dataclass(frozen=True)
class Edges:
    """What the borders of a picture are like.

    Args:
        width_mm: 10-90 % width, the median over the rays.
        overshoot: Beyond the levels of blood and muscle, the larger of the two, as a share of the
            step between them; of the mean profile over the rays, in which noise averages out.
        rays: How many were usable.
        narrow_mm: As `width_mm`, of the rays whose border is narrow; None where there is none.
        narrow_rays: How many those are.
    """

    width_mm: float
    overshoot: float
    rays: int
    narrow_mm: float | None
    narrow_rays: int


def usable_rays(picture: NDArray[Any], pool: NDArray[Any], *, pixel_mm: float) -> Rays:
    """The rays from a blood pool along which a picture shows blood, then muscle.

    They are chosen once, on a picture that is to favour none of those that are compared.

    Args:
        picture: (row, column).
        pool: (row, column) of the same field of view, at any resolution; 0 elsewhere.
        pixel_mm: Of the picture's square pixels.

    Raises:
        UnfitImageError: There is no pool.
    """
    filled = np.asarray(pool) > 0
    if not filled.any():
        raise UnfitImageError("Borders were to be measured around an empty mask.")
    mask_mm = pixel_mm * picture.shape[0] / filled.shape[0]
    row, column = (float(place + 0.5) * mask_mm for place in ndimage.center_of_mass(filled))
    reach = np.arange(0.0, float(np.hypot(*filled.shape)) * mask_mm, STEP_MM)
    angles, borders = [], []
    for angle in np.arange(RAYS) * 2 * np.pi / RAYS:
        seen = _sampled(filled.astype(np.float64), (row, column), angle, reach, mask_mm, order=0)
        ends = np.flatnonzero(seen > 0)
        border = float(reach[ends[-1]]) if len(ends) else 0.0
        angles.append(angle)
        borders.append(border)
    spline = ndimage.spline_filter(np.asarray(picture, np.float64), order=3)
    usable, narrow = [], []
    for ray in zip(angles, borders, strict=True):
        profile = _profile(spline, (row, column), *ray, pixel_mm)
        found = _border(profile, strict=True)
        if found is not None:
            width = _width(profile, found)
            usable.append(ray)
            narrow.append(width is not None and width <= NARROW_MM)
    kept = np.array(usable).reshape(-1, 2)
    return Rays((row, column), kept[:, 0], kept[:, 1], np.array(narrow, bool))


def measure_edges(picture: NDArray[Any], rays: Rays, *, pixel_mm: float) -> Edges | None:
    """The width of the border and the overshoot beside it; None where no ray crosses a border.

    Args:
        picture: (row, column).
        rays: Along which.
        pixel_mm: Of the picture's square pixels.
    """
    spline = ndimage.spline_filter(np.asarray(picture, np.float64), order=3)
    widths, aligned, narrow = [], [], []
    around = np.arange(-INSIDE_MM[1], OUTSIDE_MM[1] + STEP_MM / 2, STEP_MM)
    for angle, border, is_narrow in zip(rays.angles, rays.borders, rays.is_narrow, strict=True):
        profile = _profile(spline, rays.centre, angle, border, pixel_mm)
        found = _border(profile, strict=False)
        if found is None:
            continue
        width = _width(profile, found)
        if width is None:
            continue
        widths.append(width)
        if is_narrow:
            narrow.append(width)
        aligned.append(np.interp(found[0] + around, profile[0], profile[1]))
    if not widths:
        return None
    mean = np.mean(aligned, axis=0)
    blood, muscle = _levels((around, mean), 0.0)
    near = np.abs(around) <= INSIDE_MM[0]
    beyond = max(mean[near].max() - blood, muscle - mean[near].min(), 0.0)
    return Edges(
        float(np.median(widths)),
        float(beyond / (blood - muscle)),
        len(widths),
        float(np.median(narrow)) if narrow else None,
        len(narrow),
    )


Profile = tuple[Values, Values]
"""Distances from the centre in mm, rising, and the picture's values there."""


def _profile(
    spline: Values, centre: tuple[float, float], angle: float, border: float, pixel_mm: float
) -> Profile:
    first = max(0.0, border - SEARCH_MM - INSIDE_MM[1])
    reach = np.arange(first, border + SEARCH_MM + OUTSIDE_MM[1], STEP_MM)
    return reach - border, _sampled(spline, centre, angle, reach, pixel_mm)


def _sampled(
    spline: Values,
    centre: tuple[float, float],
    angle: float,
    reach: Values,
    pixel_mm: float,
    *,
    order: int = 3,
) -> Values:
    rows = (centre[0] + reach * np.sin(angle)) / pixel_mm - 0.5
    columns = (centre[1] + reach * np.cos(angle)) / pixel_mm - 0.5
    found = ndimage.map_coordinates(
        spline, [rows, columns], order=order, prefilter=False, mode="nearest"
    )
    return np.asarray(found, np.float64)


def _levels(profile: Profile, middle: float) -> tuple[float, float]:
    """Of blood and of muscle, at either side of a border."""
    values = _plateaus(profile, middle)
    return float(np.median(values[0])), float(np.median(values[1]))


def _plateaus(profile: Profile, middle: float) -> tuple[Values, Values]:
    far, values = profile[0] - middle, profile[1]
    inside = (far >= -INSIDE_MM[1]) & (far <= -INSIDE_MM[0])
    outside = (far >= OUTSIDE_MM[0]) & (far <= OUTSIDE_MM[1])
    return values[inside], values[outside]


def _border(profile: Profile, *, strict: bool) -> tuple[float, float, float] | None:
    """Where the profile passes half of its step, and the levels of blood and of muscle.

    Args:
        profile: With the mask's outline at 0.
        strict: Whether the levels have to be even, and the step large.
    """
    middle = 0.0
    for _ in range(3):  # The levels are taken around the border, which is found by the levels.
        sides = _plateaus(profile, middle)
        if min(map(len, sides)) < (INSIDE_MM[0] / 2) / STEP_MM:
            return None
        blood, muscle = (float(np.median(side)) for side in sides)
        places = _falls_through(profile, (blood + muscle) / 2)
        places = places[np.abs(places) <= SEARCH_MM]
        if blood <= muscle or not len(places):
            return None
        middle = float(places[np.argmin(np.abs(places))])
    step = blood - muscle
    spread = max(float(np.std(side)) for side in _plateaus(profile, middle))
    if strict and (step < LEAST_CONTRAST * blood or spread > MOST_SPREAD * step):
        return None
    return middle, *_levels(profile, middle)


def _width(profile: Profile, border: tuple[float, float, float]) -> float | None:
    """From a tenth of the step below the level of blood to a tenth above that of muscle."""
    middle, blood, muscle = border
    ends = [
        _crossing(profile, muscle + share * (blood - muscle), middle, outward=outward)
        for share, outward in ((0.9, False), (0.1, True))
    ]
    return None if ends[0] is None or ends[1] is None else ends[1] - ends[0]


def _falls_through(profile: Profile, level: float) -> Values:
    """Where a profile passes a level downward, between its samples."""
    reach, values = profile
    before, after = values[:-1], values[1:]
    places = np.flatnonzero((before > level) & (after <= level))
    share = (before[places] - level) / (before[places] - after[places])
    return np.asarray(reach[places] + share * (reach[places + 1] - reach[places]))


def _crossing(profile: Profile, level: float, middle: float, *, outward: bool) -> float | None:
    """Where a profile passes a level downward, nearest to the border on one side of it."""
    places = _falls_through(profile, level)
    places = places[places >= middle] if outward else places[places <= middle]
    if not len(places):
        return None
    return float(places[0] if outward else places[-1])
