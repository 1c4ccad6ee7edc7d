"""What the numbers say of pictures whose spectrum is known."""

import numpy as np
import pytest

from cinesr.imaging.acquisition import Acquisition, measured
from cinesr.imaging.spectral_features import (
    BANDS,
    BINS,
    CHANNELS,
    features,
    intensity_range,
)


def profiles(row: np.ndarray) -> np.ndarray:
    """(CHANNELS, BINS) of log10 power against the lowest frequencies."""
    return 2.0 * row[: CHANNELS * BINS].reshape(CHANNELS, BINS)


def noise(shape: tuple[int, int], count: int = 30) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(10, 1, shape) for _ in range(count)]


@pytest.mark.parametrize("shape", [(64, 64), (65, 48), (31, 128)])
def test_white_noise_is_flat_and_as_strong_as_its_variance(shape: tuple[int, int]) -> None:
    pictures = noise(shape)
    found = features(pictures)
    assert found is not None
    variance = np.var(pictures) / intensity_range(pictures) ** 2
    for row in found:
        assert np.abs(profiles(row)).max() < 0.25
        start = 2 * CHANNELS * BINS
        references = 2.0 * (row[start : start + CHANNELS] - 1.0)
        assert references == pytest.approx(np.log10(variance), abs=0.1)


@pytest.mark.parametrize("shape", [(96, 96), (97, 80)])
def test_the_edge_of_what_was_kept_stands_where_it_is(shape: tuple[int, int]) -> None:
    kept = Acquisition((0.7, 0.5))
    pictures = [measured(picture, kept) for picture in noise(shape)]
    found = features(pictures)
    assert found is not None
    places = (np.arange(BINS) + 0.5) / BINS
    for row, share, other in zip(found, kept.keep, kept.keep[::-1], strict=True):
        for profile, band in zip(profiles(row), BANDS * 2, strict=True):
            if band[0] >= other:
                continue
            assert np.abs(profile[places < share - 0.06]).max() < 0.35
            assert profile[places > share + 0.06].max() < -2


def test_turning_a_picture_swaps_the_two_rows() -> None:
    pictures = [measured(each, Acquisition((0.7, 0.5))) for each in noise((64, 80), 3)]
    found, turned = features(pictures), features([each.T for each in pictures])
    assert found is not None
    assert turned is not None
    assert np.allclose(turned, found[::-1], atol=1e-4)


def test_more_pictures_and_sizes_are_told() -> None:
    one, four = features(noise((64, 64), 1)), features(noise((64, 64), 4))
    assert one is not None
    assert four is not None
    assert four[0, -1] - one[0, -1] == pytest.approx(0.5)  # log2(4) / 4
    mixed = features([*noise((64, 64), 2), *noise((70, 50), 2)])
    assert mixed is not None
    assert np.isfinite(mixed).all()


def test_a_few_bright_pixels_are_not_the_range() -> None:
    picture = np.random.default_rng(0).uniform(0, 1, (100, 100))
    picture[0, :3] = 50
    assert intensity_range([picture]) == pytest.approx(1.0, abs=0.01)
    lonely = np.zeros((100, 100))
    lonely[3, 3] = 7
    assert intensity_range([lonely]) == 7.0
    assert intensity_range([picture, picture - 5]) == pytest.approx(6.0, abs=0.01)


@pytest.mark.parametrize("pictures", [[], [np.zeros((64, 64))], [np.eye(23)]])
def test_nothing_to_see(pictures: list[np.ndarray]) -> None:
    assert features(pictures) is None
