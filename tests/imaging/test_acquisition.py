"""Windows by their known values; the spectrum and the noise of what was measured, analytically."""

import math
from typing import Any

import numpy as np
import pytest

from cinesr.errors import UnfitImageError
from cinesr.imaging.acquisition import Acquisition, measured


@pytest.mark.parametrize(
    ("window", "rho", "left"),
    [
        ("none", 0.0, 1.0),
        ("none", 1.0, 1.0),
        ("none", 1.01, 0.0),
        ("cosine:0.4", 0.6, 1.0),
        ("cosine:0.4", 0.7, 0.5 + 0.25 * math.sqrt(2)),
        ("cosine:0.4", 0.8, 0.5),
        ("cosine:0.4", 1.0, 0.0),
        ("cosine", 0.8, 0.5),
        ("cosine:1", 0.0, 1.0),
        ("cosine:1", 0.5, 0.5),
        ("fermi:0.05", 0.85, 0.5),
        ("fermi:0.05", 0.9, 1 / (1 + math.e)),
        ("fermi:0.05", 1.0, 1 / (1 + math.e**3)),
        ("fermi:0.05", 1.01, 0.0),
        ("fermi", 0.85, 0.5),
        ("fermi:0.3", 0.1, 0.5),
        ("hamming", 0.0, 1.0),
        ("hamming", 0.5, 0.54),
        ("hamming", 1.0, 0.08),
        ("hamming", 1.1, 0.0),
    ],
)
def test_windows_have_their_known_values(window: str, rho: float, left: float) -> None:
    acquisition = Acquisition((0.8, 0.5), window=window)
    for axis, kept in enumerate(acquisition.keep):
        for sign in (1, -1):
            found = acquisition.axis_transfer(np.array([sign * rho * kept]), axis)
            assert found == pytest.approx([left], abs=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(40, 32), (41, 33)])
@pytest.mark.parametrize("window", ["none", "cosine:0.4", "fermi:0.05", "hamming"])
def test_a_rectangle_is_one_window_times_the_other(rows: int, columns: int, window: str) -> None:
    acquisition = Acquisition((0.8, 0.5), window=window)
    transfer = acquisition.transfer(rows, columns)
    assert transfer.shape == (rows, columns)
    assert transfer[0, 0] == pytest.approx(1.0, abs=0.01)
    for row in (0, 3, -5, rows // 2):
        for column in (0, 2, -4, columns // 2):
            share = [
                float(acquisition.axis_transfer(np.array(abs(line) / (size // 2)), axis))
                for axis, (line, size) in enumerate([(row, rows), (column, columns)])
            ]
            assert transfer[row, column] == pytest.approx(share[0] * share[1], abs=1e-12)


@pytest.mark.parametrize("window", ["none", "cosine:0.4", "fermi:0.05", "hamming"])
@pytest.mark.parametrize("shape", ["rectangular", "elliptical"])
def test_nothing_is_left_beyond_what_is_kept(window: str, shape: str) -> None:
    rows, columns = 40, 30
    acquisition = Acquisition((0.75, 0.6), shape, window)
    # On a level that keeps the result positive, the magnitude is the picture itself.
    picture = np.random.default_rng(0).uniform(0, 1, (rows, columns)) + 3
    power = np.abs(np.fft.fft2(measured(picture, acquisition))) ** 2
    down = np.abs(np.fft.fftfreq(rows) * 2)[:, None]
    across = np.abs(np.fft.fftfreq(columns) * 2)[None, :]
    beyond = (down > 0.75 + 1e-9) | (across > 0.6 + 1e-9)
    if shape == "elliptical":
        beyond |= (down / 0.75) ** 2 + (across / 0.6) ** 2 > 1 + 1e-9
    assert power[beyond].max() < 1e-20 * power.max()
    at_edge = 0.0 if window.startswith("cosine") else 1e-6
    assert power[15, 0] >= at_edge
    assert power[0, 9] >= at_edge
    assert (power > 1e-6)[:, 0].sum() >= 29  # 15 lines either way, but for a cosine's last ones.


def test_the_corners_of_an_ellipse_are_not_measured() -> None:
    ellipse = Acquisition((0.8, 0.6), "elliptical").transfer(200, 200)
    rectangle = Acquisition((0.8, 0.6)).transfer(200, 200)
    assert ellipse.sum() / 200**2 == pytest.approx(math.pi / 4 * 0.8 * 0.6, rel=0.02)
    assert rectangle.sum() / 200**2 == pytest.approx(0.8 * 0.6, rel=0.02)
    assert (ellipse <= rectangle).all()
    # Along each axis they are the same; half way to both edges, 0.707 of the radius, is inside.
    assert np.array_equal(ellipse[0], rectangle[0])
    assert np.array_equal(ellipse[:, 0], rectangle[:, 0])
    assert ellipse[40, 30] == 1
    assert (ellipse[60, 45], rectangle[60, 45]) == (0, 1)
    tapered = Acquisition((0.8, 0.6), "elliptical", "cosine:0.4").transfer(200, 200)
    assert tapered[64, 0] == pytest.approx(0.5)
    assert tapered[0, 48] == pytest.approx(0.5)
    # The same radius, 0.8 of what is kept, reached along a diagonal: (0.48, 0.64) of the axes.
    radius = Acquisition((1.0, 1.0), "elliptical", "cosine:0.4").transfer(200, 200)
    assert radius[48, 64] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("how", "squared"),
    [
        ({}, 1.0),
        ({"keep": (0.8, 0.65)}, 0.8 * 0.65),
        # The mean square of half a cosine's taper is 3/8.
        ({"keep": (0.8, 0.65), "window": "cosine:0.4"}, 0.52 * (0.6 + 0.4 * 3 / 8) ** 2),
        ({"keep": (0.6, 1.0), "window": "cosine:1"}, 0.6 * (3 / 8) ** 2),
        ({"keep": (0.7, 0.9), "window": "hamming"}, 0.63 * (0.54**2 + 0.46**2 / 2) ** 2),
        ({"keep": (0.8, 0.65), "shape": "elliptical"}, 0.52 * math.pi / 4),
    ],
)
def test_noise_is_as_told_before_the_window_and_less_after(
    how: dict[str, Any], squared: float
) -> None:
    sigma, level = 0.02, 1.0
    generator = np.random.default_rng(0)
    acquisition = Acquisition(**how, noise=sigma)
    tissue = measured(np.full((400, 400), level), acquisition, sigma=sigma, generator=generator)
    assert tissue.std() == pytest.approx(sigma * math.sqrt(squared), rel=0.02)
    assert tissue.mean() == pytest.approx(level, abs=0.001)
    # In air both channels are seen: the magnitude is Rayleigh.
    air = measured(np.zeros((400, 400)), acquisition, sigma=sigma, generator=generator)
    assert np.sqrt(np.mean(air**2) / 2) == pytest.approx(sigma * math.sqrt(squared), rel=0.02)
    assert air.mean() / np.sqrt(np.mean(air**2)) == pytest.approx(math.sqrt(math.pi) / 2, rel=0.01)


def test_inside_the_window_the_noise_is_as_before() -> None:
    sigma = 0.02
    acquisition = Acquisition((0.5, 0.5), window="cosine:0.5")
    noisy = measured(
        np.full((256, 256), 1.0), acquisition, sigma=sigma, generator=np.random.default_rng(0)
    )
    power = np.abs(np.fft.fft2(noisy)) ** 2 / noisy.size
    inside = power[1:30, 1:30]
    assert inside.mean() == pytest.approx(sigma**2, rel=0.1)
    # The magnitude itself adds a little beyond: noise squared.
    assert power[80:176, 80:176].mean() < 0.01 * sigma**2


def test_noise_needs_a_size_and_a_generator() -> None:
    picture = np.random.default_rng(0).uniform(1, 2, (16, 16))
    generator = np.random.default_rng(0)
    kept = Acquisition((0.8, 0.8), noise=0.1)
    assert np.array_equal(measured(picture, kept), measured(picture, kept, generator=generator))
    assert np.array_equal(measured(picture, kept), measured(picture, kept, sigma=0.1))
    noisy = measured(picture, kept, sigma=0.1, generator=generator)
    again = measured(picture, kept, sigma=0.1, generator=np.random.default_rng(0))
    assert np.array_equal(noisy, again)
    assert np.abs(noisy - measured(picture, kept)).max() > 0.01


def test_single_precision_stays() -> None:
    picture = np.random.default_rng(0).uniform(0, 1, (24, 30))
    single = measured(picture.astype(np.float32), Acquisition((0.7, 0.8), window="hamming"))
    assert single.dtype == np.float32
    assert (
        np.abs(single - measured(picture, Acquisition((0.7, 0.8), window="hamming"))).max() < 1e-6
    )


def test_as_plain_values() -> None:
    how = Acquisition((0.8, 0.65), "elliptical", "cosine:0.4", 0.01)
    plain = how.to_dict()
    assert plain == {
        "keep": [0.8, 0.65],
        "shape": "elliptical",
        "window": "cosine:0.4",
        "noise": 0.01,
    }
    assert not how.transfer_is_one
    assert Acquisition(noise=0.1).transfer_is_one


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"keep": (0.49, 1.0)}, "share of k-space of 0.49, 1 .*two numbers from 0.5 to 1"),
        ({"keep": (1.0, 1.1)}, "share of k-space of 1, 1.1"),
        ({"keep": (math.nan, 1.0)}, "share of k-space of nan, 1"),
        ({"keep": (0.8,)}, "share of k-space of 0.8 .*two numbers"),
        ({"shape": "round"}, "shape 'round' .*rectangular or elliptical"),
        ({"window": "hann"}, "window 'hann' .*none, cosine:WIDTH"),
        ({"window": "cosine:0"}, "window 'cosine:0'"),
        ({"window": "cosine:1.1"}, "window 'cosine:1.1'"),
        ({"window": "cosine:wide"}, "window 'cosine:wide'"),
        ({"window": "cosine:nan"}, "window 'cosine:nan'"),
        ({"window": "fermi:0.4"}, "window 'fermi:0.4'"),
        ({"window": "hamming:0.5"}, "window 'hamming:0.5'"),
        ({"window": "none:1"}, "window 'none:1'"),
        ({"window": ""}, "window ''"),
        ({"noise": -0.01}, "noise of -0.01 .*0 to 1"),
        ({"noise": math.nan}, "noise of nan"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitImageError, match=words):
        Acquisition(**values)
