"""The phantom is the stated person, beating as stated, in the stated place, without jaggies."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cinesr.errors import CinesrError, UnfitImageError
from cinesr.imaging.cine import Cine, IntensityRule
from cinesr.imaging.phantom import Anatomy, contraction, make_phantom
from cinesr.imaging.phantom_canvas import FIELD_OF_VIEW_MM, Canvas, Tissue, inset

END_SYSTOLE = 7
"""Of 20 phases: 35 % of the beat."""


@cache
def clean(seed: int, size: int = 256) -> Cine:
    return make_phantom(size=size, slices=3, phases=20, seed=seed, noise=0.0)


def heart_pixel(cine: Cine, anatomy: Anatomy) -> tuple[int, int]:
    column_mm, row_mm, _ = cine.geometry.spacing_mm
    middle = (cine.shape[2] - 1) / 2
    x, y = anatomy.heart_mm
    return round(middle + y / row_mm), round(middle + x / column_mm)


def left_pool(cine: Cine, anatomy: Anatomy, phase: int, slice_index: int) -> np.ndarray:
    """The connected bright pixels around the left ventricle's centre, holes filled."""
    frame = cine.frame(phase, slice_index).astype(float)
    row, column = heart_pixel(cine, anatomy)
    blood = np.median(frame[row - 3 : row + 4, column - 3 : column + 4])
    labels, _ = ndimage.label(frame > 0.65 * blood)
    return ndimage.binary_fill_holes(labels == labels[row, column])


def test_the_same_seed_gives_the_same_pixels_and_another_seed_another_person() -> None:
    first, again = (make_phantom(size=64, slices=2, phases=3, seed=5) for _ in range(2))
    assert np.array_equal(first.frames, again.frames)
    other = make_phantom(size=64, slices=2, phases=3, seed=6)
    assert np.mean(first.frames != other.frames) > 0.5
    assert Anatomy.random(5) == Anatomy.random(5) != Anatomy.random(6)


def test_a_frame_does_not_depend_on_how_many_are_drawn_with_it() -> None:
    few = make_phantom(size=64, slices=1, phases=2, seed=3, noise=0.0)
    many = make_phantom(size=64, slices=3, phases=4, seed=3, noise=0.0)
    assert np.array_equal(few.frames[1, 0], many.frames[2, 1])


@pytest.mark.parametrize("size", [16, 64, 100, 129])
def test_every_size_works_and_stores_twelve_bits(size: int) -> None:
    cine = make_phantom(size=size, slices=2, phases=2)
    assert cine.shape == (2, 2, size, size)
    assert cine.dtype == np.uint16
    assert cine.value_range == (0.0, 4095.0)
    assert 500 < cine.frames.max() <= 4095
    assert IntensityRule.of(cine).high > 300


def test_the_defaults() -> None:
    cine = make_phantom()
    assert cine.shape == (12, 3, 256, 256)
    assert np.allclose(cine.times_ms, np.arange(12) * 75.0)
    assert cine.name == "phantom-0"
    # The range is used: neither a few grey values nor a picture burnt out.
    assert np.mean(cine.frames >= 4095) < 0.001
    assert len(np.unique(cine.frames)) > 1000


def test_the_geometry_is_oblique_with_pixels_that_are_not_square() -> None:
    cine = make_phantom(size=64, slices=5, phases=1)
    geometry = cine.geometry
    assert geometry.is_known
    assert geometry.is_evenly_spaced
    assert np.allclose(np.multiply(geometry.spacing_mm[:2], 64), FIELD_OF_VIEW_MM)
    assert geometry.spacing_mm[0] != geometry.spacing_mm[1]
    assert geometry.spacing_mm[2] == pytest.approx(8.0)
    assert np.allclose(geometry.directions.T @ geometry.directions, np.eye(3), atol=1e-9)
    # Right-handed, so that a reader that sorts along the slice normal keeps the order.
    assert np.linalg.det(geometry.directions) == pytest.approx(1.0)
    assert np.abs(geometry.directions).max() < 0.95
    # From the apex (left, front, low) to the base (right, back, high).
    right_back_up = geometry.directions[:, 2] * (-1, 1, 1)
    assert (right_back_up > 0.3).all()


def test_the_extent_and_centre_do_not_depend_on_the_size() -> None:
    small, large = (make_phantom(size=n, slices=2, phases=1).geometry for n in (16, 64))
    assert np.allclose(small.edges_mm(16, 16), large.edges_mm(64, 64))
    assert small.is_close(large.downscaled(4))


def test_a_larger_size_shows_the_same_person() -> None:
    small, large = clean(0, 128).frame(0, 1), clean(0).frame(0, 1).astype(float)
    averaged = large.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), averaged.ravel())[0, 1] > 0.95


@given(st.floats(-3, 3))
def test_contraction_is_periodic_and_stays_between_rest_and_full(moment: float) -> None:
    assert 0 <= contraction(moment) <= 1
    assert contraction(moment + 1) == pytest.approx(contraction(moment), abs=1e-9)


def test_contraction_rises_to_end_systole_and_falls_to_diastole() -> None:
    assert contraction(0.0) == pytest.approx(0.0)
    assert contraction(0.35) == pytest.approx(1.0)
    values = np.array([contraction(moment) for moment in np.linspace(0, 1, 401)])
    assert (np.diff(values[:141]) >= 0).all()
    assert (np.diff(values[140:]) <= 1e-9).all()
    # No jump in speed where one beat runs into the next.
    speed = np.diff(np.concatenate([values[-4:-1], values[:4]]))
    assert np.abs(np.diff(speed)).max() < 0.02


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_the_left_ventricle_ejects_what_its_anatomy_states(seed: int) -> None:
    anatomy, cine = Anatomy.random(seed), clean(seed)
    areas = [left_pool(cine, anatomy, phase, 1).sum() for phase in range(20)]
    assert abs(int(np.argmin(areas)) - END_SYSTOLE) <= 1
    assert areas[END_SYSTOLE] / areas[0] == pytest.approx(1 - anatomy.ejected_area, abs=0.07)
    column_mm, row_mm, _ = cine.geometry.spacing_mm
    drawn_mm2 = np.pi * anatomy.left_radius_mm**2
    # Papillary muscles and trabeculae stand in the drawn circle.
    assert 0.75 < areas[0] * column_mm * row_mm / drawn_mm2 < 1.0


def test_the_wall_thickens() -> None:
    anatomy, cine = Anatomy.random(0), clean(0)
    row, column = heart_pixel(cine, anatomy)

    def septum_px(phase: int) -> int:
        """Dark pixels between the two pools, going from the left pool to the image's left."""
        line = cine.frame(phase, 1)[row, : column + 1][::-1].astype(float)
        dark = line < 0.6 * np.median(line[:5])
        start = int(np.argmax(dark))
        return int(np.argmin(dark[start:]))

    assert septum_px(END_SYSTOLE) >= 1.2 * septum_px(0)


def test_slices_shrink_towards_the_apex() -> None:
    anatomy, cine = Anatomy.random(0), clean(0)
    apical, middle, basal = (left_pool(cine, anatomy, 0, index).sum() for index in range(3))
    assert apical < middle < basal


@pytest.mark.parametrize("seed", range(6))
def test_contrast_is_blood_over_myocardium_over_lung(seed: int) -> None:
    anatomy, cine = Anatomy.random(seed), clean(seed, 128)
    frame = cine.frame(END_SYSTOLE, 1).astype(float)
    row, column = heart_pixel(cine, anatomy)
    spacing = cine.geometry.spacing_mm[0]
    blood = np.median(frame[row - 1 : row + 2, column - 1 : column + 2])
    squeezed = anatomy.left_radius_mm * np.sqrt(1 - anatomy.ejected_area)
    wall = column - round((squeezed + 0.55 * anatomy.wall_mm) / spacing)
    muscle = np.median(frame[row - 2 : row + 3, wall])
    lung_column = column + round((anatomy.left_radius_mm + anatomy.wall_mm + 14) / spacing)
    lung = np.median(frame[row - 12 : row - 4, lung_column : lung_column + 6])
    air = np.median(frame[:4, :4])
    assert blood > 1.6 * muscle > 1.6 * 1.5 * lung
    assert lung > air


def test_the_beat_is_smooth_and_closes() -> None:
    frames = clean(0).frames[:, 1].astype(float)
    steps = np.abs(np.roll(frames, -1, axis=0) - frames).mean(axis=(1, 2))
    assert steps[-1] <= steps.max()
    assert steps[-1] < 0.5 * np.abs(frames[END_SYSTOLE] - frames[0]).mean()


@pytest.mark.parametrize("seed", [0, 3])
def test_only_the_heart_and_the_aorta_s_blood_move(seed: int) -> None:
    anatomy, cine = Anatomy.random(seed), clean(seed)
    row, column = heart_pixel(cine, anatomy)
    moved = cine.frame(END_SYSTOLE, 1) != cine.frame(0, 1)
    assert moved.sum() > 2000
    moved[row - 50 : row + 50, column - 70 : column + 50] = False
    parts, count = ndimage.label(moved, structure=np.ones((3, 3)))
    sizes = np.sort(ndimage.sum_labels(moved, parts, np.arange(1, count + 1)))[::-1]
    # A disc of 2 cm; single pixels of its blurred rim may be rounded apart from it.
    assert 100 < sizes[0] < 300
    assert sizes[1:].sum() < 10


def test_edges_are_not_jagged() -> None:
    frame = clean(0).frame(0, 1).astype(float)
    window = np.hanning(256)
    power = np.abs(np.fft.fftshift(np.fft.fft2(frame * np.outer(window, window)))) ** 2
    frequency = np.hypot(*np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    middle = power[(frequency > 40) & (frequency < 56)].mean()
    highest = power[(frequency > 116) & (frequency < 128)].mean()
    assert highest < 0.1 * middle
    # There is detail to recover: a quarter of the band alone does not hold the picture.
    assert power[frequency > 32].sum() > 0.01 * power.sum()


def test_noise_is_rician_and_fresh_in_every_frame() -> None:
    noisy = make_phantom(size=64, slices=1, phases=2, noise=0.02)
    air = noisy.frames[:, 0, :8, :8].astype(float)
    # The mean of a Rayleigh distribution is sigma * sqrt(pi / 2); blood is stored as 1100.
    assert air.mean() == pytest.approx(0.02 * 1100 * np.sqrt(np.pi / 2), rel=0.15)
    assert not np.array_equal(air[0], air[1])
    assert make_phantom(size=64, slices=1, phases=1, noise=0.0).frames[0, 0, :6, :6].max() == 0


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31))
def test_any_seed_gives_a_plausible_person(seed: int) -> None:
    anatomy = Anatomy.random(seed)
    assert 20 <= anatomy.left_radius_mm <= 30
    assert 6 <= anatomy.wall_mm <= 13
    assert 0.45 <= anatomy.ejected_area <= 0.7
    frame = make_phantom(size=64, slices=1, phases=1, seed=seed).frames[0, 0].astype(float)
    row, column = heart_pixel(make_phantom(size=64, slices=1, phases=1, seed=seed), anatomy)
    assert frame[row, column] == pytest.approx(1100, rel=0.35)
    assert 0.15 < np.mean(frame > 100) < 0.9


@pytest.mark.parametrize(
    "wrong", [{"size": 8}, {"slices": 0}, {"phases": 0}, {"seed": -1}, {"noise": -0.1},
              {"noise": float("nan")}],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UnfitImageError, match="No phantom can be drawn") as caught:
        make_phantom(**wrong)  # type: ignore[arg-type]
    name, value = next(iter(wrong.items()))
    assert f"{name} {value}" in str(caught.value)
    assert isinstance(caught.value, CinesrError)
    assert caught.value.hint


SQUARE = np.array([[-50.0, -50.0], [50.0, -50.0], [50.0, 50.0], [-50.0, 50.0]])


def area_mm2(canvas: Canvas, tissue: Tissue) -> float:
    labels = np.asarray(canvas.image)
    sample = FIELD_OF_VIEW_MM[0] * FIELD_OF_VIEW_MM[1] / labels.size
    return float((labels == tissue).sum() * sample)


def test_the_canvas_paints_millimetres_and_keeps_to_the_tissues_named() -> None:
    canvas = Canvas(256, Tissue.AIR)
    canvas.fill(SQUARE, Tissue.FAT)
    assert area_mm2(canvas, Tissue.FAT) == pytest.approx(100 * 100, rel=0.02)
    twin = canvas.copy()
    twin.fill(np.add(SQUARE, (50, 0)), Tissue.LIVER, within=(Tissue.FAT,))
    assert area_mm2(twin, Tissue.LIVER) == pytest.approx(50 * 100, rel=0.02)
    twin.fill_outside(SQUARE, Tissue.SKIN)
    assert area_mm2(twin, Tissue.AIR) == 0
    twin.fill(np.add(SQUARE, (5000, 0)), Tissue.BLOOD)
    assert area_mm2(twin, Tissue.BLOOD) == 0
    assert area_mm2(canvas, Tissue.LIVER) == 0
    canvas.stroke(np.array([[-40.0, 0.0], [40.0, 0.0]]), 4.0, Tissue.MUSCLE)
    assert area_mm2(canvas, Tissue.MUSCLE) == pytest.approx(80 * 4, rel=0.15)


def test_an_inset_circle_is_smaller_by_its_depth() -> None:
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    circle = 30 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    assert np.allclose(np.linalg.norm(inset(circle, 5.0), axis=1), 25.0)
