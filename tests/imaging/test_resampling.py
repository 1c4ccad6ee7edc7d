"""Exact resampling: of cosines, constants, and beside an independent implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample

from cinesr.imaging.resampling import band_limited_matrix, pixels_for


@given(st.integers(1, 60), st.integers(1, 90), st.floats(0.2, 4.0))
def test_a_constant_stays_one(size: int, new_size: int, ratio: float) -> None:
    assert band_limited_matrix(size, new_size, ratio).sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("frequency", [1, 5, 19])
def test_a_mirrored_cosine_is_evaluated_exactly_where_the_new_pixels_lie(frequency: int) -> None:
    size, new_size, ratio = 40, 57, 0.7
    wave = np.cos(np.pi * frequency / size * (np.arange(size) + 0.5))
    centres = 20 + (np.arange(new_size) + 0.5 - new_size / 2) * ratio
    expected = np.cos(np.pi * frequency / size * centres)
    assert band_limited_matrix(size, new_size, ratio) @ wave == pytest.approx(expected, abs=1e-12)


def test_what_the_new_pixels_cannot_hold_is_left_out() -> None:
    wave = np.cos(np.pi * 30 / 40 * (np.arange(40) + 0.5))
    assert band_limited_matrix(40, 20, 2.0) @ wave == pytest.approx(np.zeros(20), abs=1e-12)


def test_it_equals_fourier_resampling_of_the_mirrored_signal() -> None:
    size, factor = 24, 3
    signal = np.random.default_rng(0).random(size)
    ours = band_limited_matrix(size, size * factor, 1 / factor) @ signal
    mirrored = np.concatenate([signal, signal[::-1]])
    # scipy's first sample lies on the first old one, ours (factor - 1) / 2 new pixels before it.
    theirs = np.roll(resample(mirrored, 2 * size * factor), (factor - 1) // 2)
    assert ours == pytest.approx(theirs[: size * factor], abs=1e-12)


def test_the_same_pixels_stay_as_they_are() -> None:
    assert band_limited_matrix(17, 17, 1.0) == pytest.approx(np.eye(17), abs=1e-12)


def test_as_many_pixels_as_cover_the_axis_best() -> None:
    assert [pixels_for(100, ratio) for ratio in (0.5, 3.0, 1.01, 500.0)] == [200, 33, 99, 1]
