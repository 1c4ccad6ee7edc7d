"""Borders of known width and known overshoot."""

import numpy as np
import pytest
from scipy.special import erf

from cinesr.errors import UnfitImageError
from cinesr.evaluation.edges import RAYS, measure_edges, usable_rays

FIELD_MM = 80.0
RADIUS_MM = 18.0
BLOOD, MUSCLE = 0.8, 0.3


def distance(pixel_mm: float) -> np.ndarray:
    """Of each pixel from a circle whose middle is not that of a pixel, in mm; below zero inside."""
    places = (np.arange(round(FIELD_MM / pixel_mm)) + 0.5) * pixel_mm
    return np.hypot(places[:, None] - 39.3, places[None, :] - 41.1) - RADIUS_MM


def disc(pixel_mm: float, sigma_mm: float, *, ridge: float = 0.0, place_mm: float = -1.8):
    """A step with a Gaussian blur, and a ridge beside it as a share of the step."""
    far = distance(pixel_mm)
    share = 0.5 * (1 - erf(far / (sigma_mm * np.sqrt(2))))
    share = share + ridge * np.exp(-0.5 * ((far - place_mm) / 0.5) ** 2)
    return MUSCLE + (BLOOD - MUSCLE) * share


def measured(picture: np.ndarray, pixel_mm: float):
    pool = distance(pixel_mm) < 1.0  # Drawn a little too large.
    return measure_edges(picture, usable_rays(picture, pool, pixel_mm=pixel_mm), pixel_mm=pixel_mm)


@pytest.mark.parametrize("sigma_mm", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("pixel_mm", [0.41, 0.685])
def test_the_width_of_a_blurred_border(sigma_mm: float, pixel_mm: float) -> None:
    found = measured(disc(pixel_mm, sigma_mm), pixel_mm)
    assert found.rays == RAYS
    assert found.width_mm == pytest.approx(2.563 * sigma_mm, rel=0.02)
    assert found.overshoot < 0.01


@pytest.mark.parametrize("ridge", [0.05, 0.2])
@pytest.mark.parametrize("place_mm", [-1.8, 1.8])
def test_a_ridge_beside_the_border_is_overshoot(ridge: float, place_mm: float) -> None:
    signed = ridge if place_mm < 0 else -ridge
    found = measured(disc(0.5, 0.6, ridge=signed, place_mm=place_mm), 0.5)
    # At its top the step itself is 0.1 % from its level.
    assert found.overshoot == pytest.approx(ridge, abs=0.01)


def test_noise_is_no_overshoot() -> None:
    rng = np.random.default_rng(0)
    sharp = disc(0.685, 1.0)
    noisy = sharp + rng.normal(0, 0.02, sharp.shape)
    found = measured(noisy, 0.685)
    assert found.overshoot < 0.02
    assert found.width_mm == pytest.approx(2.563, rel=0.1)


def test_rays_into_something_else_than_muscle_are_left_out() -> None:
    picture = disc(0.5, 1.0)
    columns = (np.arange(picture.shape[1]) + 0.5) * 0.5
    # A quarter of the circle ends at something as bright as blood.
    picture[:, columns > 41.1 + RADIUS_MM * np.cos(np.pi / 4)] = BLOOD
    rays = usable_rays(picture, distance(0.5) < 0, pixel_mm=0.5)
    assert 0.6 * RAYS < len(rays.angles) < 0.8 * RAYS
    assert np.cos(rays.angles).max() < 0.9
    found = measure_edges(picture, rays, pixel_mm=0.5)
    assert found is not None
    assert found.width_mm == pytest.approx(2.563, rel=0.02)


def test_the_same_rays_serve_a_picture_of_other_pixels() -> None:
    rays = usable_rays(disc(1.0, 1.3), distance(1.0) < 0, pixel_mm=1.0)
    found = measure_edges(disc(0.5, 0.8), rays, pixel_mm=0.5)
    assert found is not None
    assert found.width_mm == pytest.approx(2.563 * 0.8, rel=0.02)


def test_narrow_borders_are_those_of_the_picture_that_chose_the_rays() -> None:
    columns = (np.arange(round(FIELD_MM / 0.5)) + 0.5) * 0.5

    def halves(left_mm: float, right_mm: float) -> np.ndarray:
        return np.where(columns < 41.1, disc(0.5, left_mm), disc(0.5, right_mm))

    # 2.3 mm is narrow, 3.8 mm is not; the second picture has them the other way round.
    rays = usable_rays(halves(0.9, 1.5), distance(0.5) < 0, pixel_mm=0.5)
    assert rays.is_narrow.sum() == pytest.approx(RAYS / 2, abs=2)
    assert np.cos(rays.angles[rays.is_narrow]).max() < 0.1
    found = measure_edges(halves(1.2, 0.8), rays, pixel_mm=0.5)
    assert found is not None
    assert found.narrow_rays == rays.is_narrow.sum()
    assert found.narrow_mm == pytest.approx(2.563 * 1.2, rel=0.03)


def test_without_narrow_borders_they_have_no_width() -> None:
    found = measured(disc(0.5, 1.4), 0.5)
    assert (found.narrow_mm, found.narrow_rays) == (None, 0)


def test_without_a_border_there_is_nothing_to_measure() -> None:
    flat = np.full((100, 100), 0.5)
    pool = np.zeros((100, 100), bool)
    with pytest.raises(UnfitImageError, match="empty mask"):
        usable_rays(flat, pool, pixel_mm=1.0)
    pool[40:60, 40:60] = True
    assert measure_edges(flat, usable_rays(flat, pool, pixel_mm=1.0), pixel_mm=1.0) is None
