"""The best linear filter: found exactly where the truth is linear, and ahead of bicubic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cinesr.degradation import Degradation, resize_bicubic
from cinesr.errors import CinesrError
from cinesr.evaluation.metrics import psnr
from cinesr.experiment.baseline import LinearFilter, fit_linear_filter
from cinesr.imaging.phantom import make_phantom


@settings(max_examples=5, deadline=None)
@given(scale=st.integers(2, 3), window=st.sampled_from([1, 3, 5]), seed=st.integers(0, 99))
def test_a_linear_truth_is_found(scale: int, window: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = (window * window + 1, scale * scale)
    truth = LinearFilter(generator.standard_normal(shape), scale, window)
    lows = [generator.random((14, 17)) for _ in range(3)]
    found = fit_linear_filter(((low, truth.apply(low)) for low in lows), scale=scale, window=window)
    np.testing.assert_allclose(found.coefficients, truth.coefficients, atol=1e-4)


def test_it_computes_what_a_correlation_computes() -> None:
    generator = np.random.default_rng(0)
    found = LinearFilter(generator.standard_normal((10, 4)), 2, 3)
    low = generator.random((6, 9))
    high = found.apply(low)
    assert (high.shape, high.dtype) == ((12, 18), np.float32)
    for phase in range(4):
        kernel = found.coefficients[:9, phase].reshape(3, 3)
        expected = ndimage.correlate(low, kernel, mode="nearest") + found.coefficients[9, phase]
        np.testing.assert_allclose(high[phase // 2 :: 2, phase % 2 :: 2], expected, atol=1e-5)


def test_it_beats_bicubic_on_people_it_has_not_seen() -> None:
    recipe = Degradation("thesis", 4)
    people = [make_phantom(size=96, slices=2, phases=1, seed=seed).frames for seed in range(4)]
    pictures = [frame / frame.max() for person in people for frame in person[0].astype(float)]
    pairs = [(recipe.apply(picture), picture) for picture in pictures]
    found = fit_linear_filter(pairs[:6], scale=4)
    for low, truth in pairs[6:]:
        ours, theirs = (
            psnr(truth, image, data_range=1.0)
            for image in (found.apply(low), resize_bicubic(low, truth.shape))
        )
        assert ours > theirs + 2


def test_what_cannot_be_fitted_is_told() -> None:
    with pytest.raises(CinesrError, match="no picture"):
        fit_linear_filter([], scale=4)
    with pytest.raises(CinesrError, match="2 times as large"):
        fit_linear_filter([(np.ones((4, 4)), np.ones((8, 9)))], scale=2)
