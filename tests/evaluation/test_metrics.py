import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from cinesr.errors import UnfitImageError
from cinesr.evaluation.metrics import (
    body_mask,
    checkerboard_index,
    nrmse,
    psnr,
    ssim,
    ssim_map,
)


def theirs_ssim(reference, candidate, data_range, full=False):
    return structural_similarity(
        reference,
        candidate,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=full,
    )


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(11, 40),
    columns=st.integers(11, 40),
    data_range=st.floats(0.5, 4095),
    seed=st.integers(0, 1000),
    noise=st.floats(0.01, 0.5),
)
def test_psnr_ssim_nrmse_equal_scikit_image(rows, columns, data_range, seed, noise):
    generator = np.random.default_rng(seed)
    reference = generator.uniform(0, data_range, (rows, columns))
    candidate = reference + generator.normal(0, noise * data_range, (rows, columns))
    ours = psnr(reference, candidate, data_range=data_range)
    theirs = peak_signal_noise_ratio(reference, candidate, data_range=data_range)
    assert ours == pytest.approx(theirs, abs=1e-9)
    expected, expected_map = theirs_ssim(reference, candidate, data_range, full=True)
    assert ssim(reference, candidate, data_range=data_range) == pytest.approx(expected, abs=1e-9)
    ours_map = ssim_map(reference, candidate, data_range=data_range)
    np.testing.assert_allclose(ours_map, expected_map, rtol=0, atol=1e-9)
    assert nrmse(reference, candidate) == pytest.approx(normalized_root_mse(reference, candidate))


def test_stored_integers_do_not_wrap_around():
    generator = np.random.default_rng(0)
    reference = generator.integers(0, 4096, (32, 32), dtype=np.uint16)
    candidate = generator.integers(0, 4096, (32, 32), dtype=np.uint16)
    theirs = peak_signal_noise_ratio(
        reference.astype(float), candidate.astype(float), data_range=4095
    )
    assert psnr(reference, candidate, data_range=4095) == pytest.approx(theirs)


def test_a_stack_gives_the_mean_over_its_frames():
    generator = np.random.default_rng(0)
    reference = generator.uniform(size=(2, 3, 20, 24))
    candidate = reference + generator.normal(0, 0.1, reference.shape)
    pairs = [(reference[t, s], candidate[t, s]) for t in range(2) for s in range(3)]
    mask = reference > 0.5
    for measure in (psnr, ssim):
        frames = [measure(*pair, data_range=1.0) for pair in pairs]
        assert measure(reference, candidate, data_range=1.0) == pytest.approx(np.mean(frames))
        frames = [measure(*pair, data_range=1.0, mask=pair[0] > 0.5) for pair in pairs]
        masked = measure(reference, candidate, data_range=1.0, mask=mask)
        assert masked == pytest.approx(np.mean(frames))
    assert nrmse(reference, candidate) == pytest.approx(np.mean([nrmse(*pair) for pair in pairs]))


def test_masked_measures_see_the_mask_alone():
    generator = np.random.default_rng(0)
    reference = generator.uniform(size=(40, 40))
    candidate = reference + generator.normal(0, 0.1, reference.shape)
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:20, 8:30] = True
    inside, candidate_inside = reference[mask], candidate[mask]
    error = np.mean((inside - candidate_inside) ** 2)
    assert psnr(reference, candidate, data_range=1.0, mask=mask) == pytest.approx(
        10 * np.log10(1 / error)
    )
    assert nrmse(reference, candidate, mask=mask) == pytest.approx(
        np.sqrt(error / np.mean(inside**2))
    )
    _, full_map = theirs_ssim(reference, candidate, 1.0, full=True)
    assert ssim(reference, candidate, data_range=1.0, mask=mask) == pytest.approx(
        full_map[mask].mean()
    )
    far_away = candidate.copy()
    far_away[32:] = 0
    assert psnr(reference, far_away, data_range=1.0, mask=mask) == psnr(
        reference, candidate, data_range=1.0, mask=mask
    )


def test_identical_pictures():
    picture = np.random.default_rng(0).uniform(size=(32, 32))
    assert psnr(picture, picture, data_range=1.0) == np.inf
    assert ssim(picture, picture, data_range=1.0) == pytest.approx(1.0)
    assert nrmse(picture, picture) == 0
    assert nrmse(picture * 0, picture * 0) == 0
    assert nrmse(picture * 0, picture) == np.inf
    assert checkerboard_index(picture, picture, scale=4) == 0


def test_body_is_above_five_percent_of_the_range():
    frame = np.array([[0, 5, 6], [100, 4.9, 5.1]])
    assert body_mask(frame, 100).tolist() == [[False, False, True], [True, False, True]]


def smooth_picture(rows=128, columns=128):
    noise = np.random.default_rng(0).normal(size=(rows, columns))
    smooth = ndimage.gaussian_filter(noise, 8)
    return 100 + 40 * smooth / smooth.std()


def pattern(picture, period, strength):
    """A pattern of one percent RMS for strength 1, repeated every `period` pixels."""
    tile = np.random.default_rng(1).normal(size=(period, period))
    tile -= tile.mean()
    tile *= np.sqrt(np.mean(picture**2)) / 100 / tile.std()
    repeats = [-(-size // period) for size in picture.shape]
    return strength * np.tile(tile, repeats)[: picture.shape[0], : picture.shape[1]]


@pytest.mark.parametrize("shape", [(128, 128), (130, 171), (64, 96)])
@pytest.mark.parametrize("period", [2, 3, 4, 8])
def test_checkerboard_index_is_the_strength_of_the_pattern_in_percent(shape, period):
    picture = smooth_picture(*shape)
    for strength in (0.5, 1.0, 5.0):
        patterned = picture + pattern(picture, period, strength)
        index = checkerboard_index(patterned, picture, scale=period)
        assert index == pytest.approx(strength, rel=0.1)


def test_checkerboard_of_two_pixels_counts_at_scale_four():
    picture = smooth_picture()
    index = checkerboard_index(picture + pattern(picture, 2, 1.0), picture, scale=4)
    assert index == pytest.approx(1.0, rel=0.05)


def test_checkerboard_of_the_reference_is_taken_off():
    reference = smooth_picture() + pattern(smooth_picture(), 4, 1.0)
    more = reference + pattern(smooth_picture(), 4, 2.0)
    assert checkerboard_index(more, reference, scale=4) == pytest.approx(2.0, rel=0.05)
    assert checkerboard_index(smooth_picture(), reference, scale=4) == pytest.approx(-1, rel=0.05)


def test_blur_noise_and_other_periods_are_no_checkerboard():
    picture = smooth_picture()
    noise = np.random.default_rng(2).normal(0, 1.0, picture.shape)
    for other in (ndimage.gaussian_filter(picture, 1), picture + noise, picture * 1.3):
        assert abs(checkerboard_index(other, picture, scale=4)) < 0.15
    assert abs(checkerboard_index(picture + pattern(picture, 5, 3.0), picture, scale=4)) < 0.15


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (lambda p: psnr(p, p[:-1], data_range=1.0), "same"),
        (lambda p: psnr(p[0], p[0], data_range=1.0), "row, column"),
        (lambda p: psnr(p, p * np.nan, data_range=1.0), "NaN"),
        (lambda p: psnr(p, p, data_range=0.0), "data range is 0"),
        (lambda p: ssim(p, p, data_range=-1.0), "data range is -1"),
        (lambda p: psnr(p, p, data_range=1.0, mask=p > 2), "no pixel"),
        (lambda p: psnr(p, p, data_range=1.0, mask=p[:-1] > 0), "mask is"),
        (lambda p: ssim(p[:10], p[:10], data_range=1.0), "at least 11"),
        (lambda p: checkerboard_index(p[:31], p[:31], scale=4), "at least 32"),
        (lambda p: checkerboard_index(p, p * 0, scale=4), "not black"),
    ],
)
def test_unfit_pictures_are_refused(measure, words):
    with pytest.raises(UnfitImageError, match=words):
        measure(np.random.default_rng(0).uniform(size=(40, 40)))
