"""Dead leaves: in range, from the seed, with edges at every angle and objects of every size."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cinesr.learning.dead_leaves import dead_leaves


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [dead_leaves(np.random.default_rng(seed), 128) for seed in range(6)]


@pytest.mark.parametrize("size", [16, 33, 100])
def test_pictures_have_the_size_the_range_and_the_type(size: int) -> None:
    picture = dead_leaves(np.random.default_rng(0), size)
    assert picture.shape == (size, size)
    assert picture.dtype == np.float32
    assert picture.min() >= 0.0
    assert picture.max() <= 1.0


def test_the_generator_alone_decides() -> None:
    first, again, other = (dead_leaves(np.random.default_rng(seed), 64) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_whole_range_is_used_and_no_corner_is_empty(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        assert np.ptp(picture) > 0.9
        for rows in (np.s_[:64], np.s_[64:]):
            for columns in (np.s_[:64], np.s_[64:]):
                assert picture[rows, columns].std() > 0.1


def test_edges_are_sharp_and_at_every_angle(pictures: list[np.ndarray]) -> None:
    """Strong gradients point everywhere: no eighth of the circle has less than half its share."""
    found: list[np.ndarray] = []
    for picture in pictures:
        down, across = np.gradient(picture)
        strong = np.hypot(down, across) > 0.15
        assert strong.mean() > 0.02
        found.append(np.arctan2(down[strong], across[strong]))
    counts, _ = np.histogram(np.concatenate(found), bins=8, range=(-np.pi, np.pi))
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()


def test_objects_are_of_every_size(pictures: list[np.ndarray]) -> None:
    """Between one octave of blur and the next there is much to see, from fine to coarse."""
    for low, high in [(0.5, 1), (1, 2), (2, 4), (4, 8), (8, 16)]:
        bands = [gaussian_filter(it, low) - gaussian_filter(it, high) for it in pictures]
        assert np.mean([band.std() for band in bands]) > 0.03
