from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.special import expit
from skimage.registration import phase_cross_correlation

from cinesr.errors import UnfitImageError
from cinesr.imaging.registration import subpixel_shift


def heart_like(size: int = 160, *, seed: int = 1) -> np.ndarray:
    """Bright and dark discs with soft edges on a dark ground, away from the border."""
    generator = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size] / size - 0.5
    picture = np.zeros((size, size))
    for _ in range(25):
        y, x = generator.uniform(-0.28, 0.28, 2)
        radius, level = generator.uniform(0.02, 0.13), generator.uniform(0, 255)
        inside = expit((radius - np.hypot(row - y, column - x)) * size / 0.7)
        picture += inside * (level - picture)
    return picture


def displaced(picture: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """Fourier shift: exact for a band-limited picture."""
    return np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(picture), shift)).real


SHIFTS = st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))


@settings(max_examples=15, deadline=None)
@given(shift=SHIFTS, blur=st.sampled_from([0.0, 1.0, 2.5]), blur_reference=st.booleans())
def test_shift_between_pictures_of_different_sharpness(
    shift: tuple[float, float], blur: float, blur_reference: bool
) -> None:
    reference, moving = heart_like(), displaced(heart_like(), shift)
    if blur_reference:
        reference = ndimage.gaussian_filter(reference, blur)
    else:
        moving = ndimage.gaussian_filter(moving, blur)
    assert subpixel_shift(reference, moving) == pytest.approx(shift, abs=0.005)


@settings(max_examples=10, deadline=None)
@given(shift=SHIFTS, gain=st.floats(0.3, 3), offset=st.floats(-100, 100))
def test_brightness_does_not_matter(shift: tuple[float, float], gain: float, offset: float) -> None:
    reference = heart_like()
    moving = displaced(reference, shift) * gain + offset
    assert subpixel_shift(reference, moving) == pytest.approx(shift, abs=0.002)


def test_noise_in_both() -> None:
    generator = np.random.default_rng(0)
    reference = heart_like()
    errors = []
    for _ in range(10):
        shift = generator.uniform(-1.5, 1.5, 2)
        moving = displaced(reference, tuple(shift)) + generator.normal(0, 3, reference.shape)
        found = subpixel_shift(reference + generator.normal(0, 3, reference.shape), moving)
        errors.append(np.abs(np.subtract(found, shift)))
    assert np.max(errors) < 0.015
    assert np.mean(errors) < 0.005


def test_agrees_with_phase_correlation() -> None:
    reference = heart_like()
    moving = displaced(reference, (0.62, -1.17))
    theirs, *_ = phase_cross_correlation(reference, moving, upsample_factor=100, normalization=None)
    assert subpixel_shift(reference, moving) == pytest.approx(-theirs, abs=0.01)


@pytest.mark.parametrize("shift", [(17.3, -9.6), (-25.2, 30.5)])
def test_displacements_of_many_pixels_are_found(shift: tuple[float, float]) -> None:
    reference = heart_like()
    assert subpixel_shift(reference, displaced(reference, shift)) == pytest.approx(shift, abs=0.01)


def test_large_pictures_are_measured_in_their_own_pixels() -> None:
    reference = ndimage.gaussian_filter(heart_like(1000, seed=2), 2)
    # Not a multiple of the blocks that are averaged, and not square.
    reference = np.pad(reference, ((0, 3), (0, 24)))
    moving = ndimage.gaussian_filter(displaced(reference, (0.41, -1.23)), 3)
    assert subpixel_shift(reference, moving) == pytest.approx((0.41, -1.23), abs=0.01)


def test_smooth_and_small_pictures() -> None:
    row, column = np.mgrid[:32, :32]

    def waves(row_shift: float, column_shift: float) -> np.ndarray:
        return np.sin((row - row_shift) / 4) + np.cos((column - column_shift) / 5)

    shift = subpixel_shift(waves(0, 0), waves(0.3, -0.2))
    assert shift == pytest.approx((0.3, -0.2), abs=0.01)


def test_the_same_picture_is_not_displaced() -> None:
    picture = heart_like().astype(np.uint16)
    assert subpixel_shift(picture, picture) == pytest.approx((0, 0), abs=1e-9)


def test_real_slices(scd: Path) -> None:
    generator = np.random.default_rng(0)
    for path in sorted(scd.glob("slices/*/*.png"))[::120]:
        reference = np.asarray(Image.open(path)).astype(float)
        shift = tuple(generator.uniform(-1.5, 1.5, 2))
        moving = ndimage.gaussian_filter(displaced(reference, shift), 2)
        assert subpixel_shift(reference, moving) == pytest.approx(shift, abs=0.005)


@pytest.mark.parametrize(
    ("reference", "moving", "words"),
    [
        (np.zeros((40, 40)), heart_like(40), "reference picture shows no structure"),
        (heart_like(40), np.full((40, 40), 7.0), "moving picture shows no structure"),
        (np.tile(np.sin(np.arange(40.0)), (40, 1)), heart_like(40), "no structure"),
        (heart_like(40), np.where(np.eye(40) > 0, np.nan, 1.0), "NaN"),
        (heart_like(40), heart_like(44), "same"),
        (heart_like(12), heart_like(12), "at least 16"),
        (heart_like(40)[None], heart_like(40)[None], "row, column"),
    ],
)
def test_pictures_without_a_shift_are_refused(
    reference: np.ndarray, moving: np.ndarray, words: str
) -> None:
    with pytest.raises(UnfitImageError, match=words):
        subpixel_shift(reference, moving)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(16, 40),
    columns=st.integers(16, 40),
    seed=st.integers(0, 10_000),
    sparse=st.booleans(),
)
def test_unrelated_pictures_give_finite_numbers(
    rows: int, columns: int, seed: int, sparse: bool
) -> None:
    generator = np.random.default_rng(seed)
    pair = generator.normal(size=(2, rows, columns))
    if sparse:
        pair = np.where(generator.uniform(size=pair.shape) < 0.01, 1000.0, 0.0)
        pair[:, rows // 2, columns // 2] = 500.0
    shift = subpixel_shift(pair[0], pair[1])
    assert np.isfinite(shift).all()
