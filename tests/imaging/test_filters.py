import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cinesr.imaging.filters import correlate, gaussian_taps, moving_sums

sides = st.integers(1, 30)
axes = st.sampled_from([0, 1])


def noise(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns))


@settings(max_examples=30, deadline=None)
@given(rows=sides, columns=sides, axis=axes, sigma=st.sampled_from([0.5, 1.0, 1.6, 4.0]))
def test_a_gaussian_is_scipys(rows: int, columns: int, axis: int, sigma: float) -> None:
    picture = noise(rows, columns)
    blur, _ = gaussian_taps(sigma)
    expected = ndimage.gaussian_filter1d(
        picture, sigma, axis, mode="nearest", radius=len(blur) // 2
    )
    assert correlate(picture, blur, axis=axis) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shift", [-1.3, 0.0, 0.4])
def test_a_shifted_gaussian_looks_ahead_and_gives_the_slope_there(shift: float) -> None:
    column = np.arange(80.0)
    picture = np.tile(np.sin(column / 5), (3, 1))
    blur, slope = gaussian_taps(1.0, shift)
    damping = np.exp(-0.5 / 5**2)
    inner = np.s_[:, 10:-10]
    ahead = np.tile(np.sin((column + shift) / 5), (3, 1)) * damping
    assert correlate(picture, blur, axis=1)[inner] == pytest.approx(ahead[inner], abs=1e-4)
    steep = np.tile(np.cos((column + shift) / 5) / 5, (3, 1)) * damping
    assert correlate(picture, slope, axis=1)[inner] == pytest.approx(steep[inner], abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(rows=sides, columns=sides, axis=axes, length=st.integers(1, 12))
def test_moving_sums_are_scipys_means(rows: int, columns: int, axis: int, length: int) -> None:
    picture = noise(rows, columns)
    means = ndimage.uniform_filter1d(picture, length, axis, mode="constant")
    assert moving_sums(picture, length, axis=axis) == pytest.approx(means * length, abs=1e-11)
