import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cinesr.errors import UnfitImageError
from cinesr.evaluation import lpips as lpips_module
from cinesr.evaluation.lpips import lpips


def wave_pictures() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:128, 0:128]
    first = (np.sin(x / 7) + np.cos(y / 11) + 2) / 4
    return first, np.clip(first + 0.1 * np.sin(x * y / 500), 0, 1)


def test_known_answer() -> None:
    # From two independent dumps of the published network.
    first, second = wave_pictures()
    assert lpips(first, second, data_range=1.0) == pytest.approx(0.065743, abs=1e-5)


def test_data_range_symmetry_and_identity() -> None:
    first, second = wave_pictures()
    distance = lpips(first, second, data_range=1.0)
    assert lpips(first * 900, second * 900, data_range=900) == pytest.approx(distance, abs=1e-6)
    assert lpips(second, first, data_range=1.0) == pytest.approx(distance, abs=1e-6)
    assert lpips(first, first, data_range=1.0) == 0


def test_more_blur_is_further() -> None:
    picture = np.random.default_rng(0).uniform(size=(97, 64))
    distances = [
        lpips(picture, ndimage.gaussian_filter(picture, sigma), data_range=1.0)
        for sigma in (0.5, 1.0, 2.0)
    ]
    assert distances == sorted(distances)
    assert distances[0] > 0.01


def test_rounded_kernels_change_real_pictures_by_less_than_1e_4(
    scd: Path, pretrained_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = []
    for path in sorted(scd.glob("slices/*/*.png"))[::120]:
        sharp = np.asarray(Image.open(path)).astype(float)
        pairs.append((sharp, ndimage.gaussian_filter(sharp, 2.0)))
    shipped = [lpips(*pair, data_range=255) for pair in pairs]

    with np.load(pretrained_weights / "lpips_alex.npz") as numbers:
        published = {name: numbers[name] for name in numbers.files}
    monkeypatch.setattr(lpips_module, "lpips_weights", lambda: published)
    lpips_module._known_directions.cache_clear()
    exact = [lpips(*pair, data_range=255) for pair in pairs]
    lpips_module._known_directions.cache_clear()
    assert shipped == pytest.approx(exact, abs=5e-5)


def test_quick_enough_for_a_whole_cine() -> None:
    warm, first, second = np.random.default_rng(0).uniform(size=(3, 256, 256))
    lpips(warm, warm, data_range=1.0)
    start = time.process_time()
    lpips(first, second, data_range=1.0)
    # Processor time of all threads; about 0.1 s, several times that under coverage and load.
    assert time.process_time() - start < 2


def test_smallest_size() -> None:
    first, second = (picture[:31, :31] for picture in wave_pictures())
    assert lpips(first, second, data_range=1.0) > 0
    with pytest.raises(UnfitImageError, match="at least 31"):
        lpips(first[:30], second[:30], data_range=1.0)


def test_unequal_sizes_are_refused() -> None:
    first, second = wave_pictures()
    with pytest.raises(UnfitImageError, match="same"):
        lpips(first, second[:-1], data_range=1.0)
