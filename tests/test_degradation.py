"""Each recipe against Pillow, scipy and numpy.fft; its pixels where the geometry says."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from cinesr.degradation import (
    METHODS,
    SCALES,
    Degradation,
    add_rician_noise,
    bicubic_matrix,
    degrade,
    random_scanner,
    resize_bicubic,
)
from cinesr.errors import UnfitImageError
from cinesr.imaging.cine import Cine, IntensityRule, LazyFrames
from cinesr.imaging.geometry import Geometry
from cinesr.imaging.registration import subpixel_shift

Picture = np.ndarray[Any, np.dtype[np.float64]]


def oblique(slices: int = 1) -> Geometry:
    first = np.array([0.8, 0.36, -0.48])
    second = np.array([0.0, 0.8, 0.6])
    normal = np.cross(first, second)
    directions = np.stack([first, second, normal], axis=1)
    positions = np.array([-80.0, -120.5, 33.0]) + np.arange(slices)[:, None] * 8.0 * normal
    return Geometry(directions, (0.75, 1.5, 8.0), positions)


def cine_of(frames: np.ndarray, **options: Any) -> Cine:
    whole = frames.reshape((1,) * (4 - frames.ndim) + frames.shape)
    times = np.arange(whole.shape[0]) * 40.0
    return Cine(whole, oblique(whole.shape[1]), times, **options)


def noise_picture(rows: int, columns: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).uniform(0, 1, (rows, columns))


def pillow_bicubic(image: Picture, shape: tuple[int, int]) -> Picture:
    picture = Image.fromarray(image.astype(np.float32))
    reduced = picture.resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(reduced, dtype=np.float64)


def by_pillow(image: Picture, scale: int) -> Picture:
    return pillow_bicubic(image, (image.shape[0] // scale, image.shape[1] // scale))


def by_fft(image: Picture, scale: int) -> Picture:
    """Centre crop of the transform, with a ramp of (scale - 1) / 2 pixels, axis by axis."""
    for axis in (0, 1):
        size = image.shape[axis]
        kept = size // scale
        lines = np.arange(kept) - kept // 2
        spectrum = np.take(np.fft.fft(image, axis=axis), lines, axis=axis)
        shape = [1, 1]
        shape[axis] = kept
        ramp = np.exp(2j * np.pi * lines * (scale - 1) / 2 / size).reshape(shape)
        centred = np.fft.ifftshift(spectrum * ramp, axes=axis)
        image = np.fft.ifft(centred, axis=axis).real / scale
    return image


def share_left(rho: float, window: str) -> float:
    """A taper at one frequency; 1 is the edge of what is kept."""
    name, _, width = window.partition(":")
    if rho > 1 + 1e-9:
        return 0.0
    if name == "cosine":
        flat = 1 - float(width)
        return 1.0 if rho <= flat else math.cos(math.pi * (rho - flat) / float(width) / 2) ** 2
    if name == "fermi":
        return 1 / (1 + math.exp((rho - 1) / float(width) + 3))
    return 0.54 + 0.46 * math.cos(math.pi * rho) if name == "hamming" else 1.0


def by_scanner(image: Picture, recipe: Degradation) -> np.ndarray[Any, Any]:
    """Line by line: cut out, ramped, tapered, and summed as waves at the new pixels' centres.

    Complex, because a centre crop keeps one of the two lines at an even grid's highest frequency.
    """
    scale = recipe.scale
    shape = [size // scale for size in image.shape]
    spectrum = np.fft.fft2(image) / image.size
    waves = [
        np.exp(2j * np.pi * np.outer(np.arange(new) * scale + (scale - 1) / 2, lines(new)) / old)
        for new, old in zip(shape, image.shape, strict=True)
    ]
    kept = np.zeros(shape, complex)
    for i, row in enumerate(lines(shape[0])):
        for j, column in enumerate(lines(shape[1])):
            rho = [
                abs(line) / max(size // 2, 1) / share
                for line, size, share in zip((row, column), shape, recipe.keep, strict=True)
            ]
            if recipe.shape == "elliptical":
                left = share_left(math.hypot(*rho), recipe.window)
            else:
                left = share_left(rho[0], recipe.window) * share_left(rho[1], recipe.window)
            kept[i, j] = left * spectrum[row, column]
    return np.asarray(waves[0] @ kept @ waves[1].T)


def lines(size: int) -> range:
    return range(-(size // 2), size - size // 2)


INDEPENDENT: dict[str, Callable[[Picture, int], Picture]] = {
    "bicubic": by_pillow,
    "thesis": lambda image, scale: gaussian_filter(by_pillow(image, scale), 1.0),
    "johnson": lambda image, scale: by_pillow(gaussian_filter(image, 1.0), scale),
    "kspace": by_fft,
    "scanner": by_fft,  # Until its settings say otherwise.
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("low_shape", [(8, 13), (11, 6), (1, 2)])
def test_equals_an_independent_implementation(
    method: str, scale: int, low_shape: tuple[int, int]
) -> None:
    image = noise_picture(low_shape[0] * scale, low_shape[1] * scale)
    found = Degradation(method, scale).apply(image)
    assert found.shape == low_shape
    assert found.dtype == np.float64
    assert np.abs(found - INDEPENDENT[method](image, scale)).max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [2, 3, 8])
def test_single_precision_stays_and_is_close(method: str, scale: int) -> None:
    image = noise_picture(8 * scale, 5 * scale)
    recipe = Degradation(method, scale)
    single = recipe.apply(image.astype(np.float32))
    assert single.dtype == np.float32
    assert np.abs(single - recipe.apply(image)).max() < 2e-6
    whole = np.rint(image * 1000).astype(np.int16)
    assert recipe.apply(whole).dtype == np.float64
    assert np.allclose(recipe.apply(whole), recipe.apply(whole.astype(np.float64)))


BLOBS = [(0.5, 0.47, 1.0), (0.38, 0.55, 0.7), (0.6, 0.4, -0.5), (0.55, 0.62, 0.9)]


def blobs(rows: int, columns: int, size: float) -> Picture:
    """Gaussians of sigma 2 low-resolution pixels, band-limited to 3e-9, on pixels `size` wide."""
    down = ((np.arange(rows) + 0.5) * size)[:, None]
    across = ((np.arange(columns) + 0.5) * size)[None, :]
    picture = np.zeros((rows, columns))
    for row, column, height in BLOBS:
        distance = (down - row * rows * size) ** 2 + (across - column * columns * size) ** 2
        picture += height * np.exp(-0.5 * distance / 2.0**2)
    return picture


def super_sampled(low: Picture, scale: int) -> Picture:
    """Fourier zero-padding onto the grid that keeps the outer edges."""
    picture: np.ndarray[Any, Any] = low
    for axis in (0, 1):
        size = picture.shape[axis]
        frequency = np.fft.fftfreq(size)
        places = (np.arange(size * scale) + 0.5) / scale - 0.5
        waves = np.exp(2j * np.pi * places[:, None] * frequency[None, :])
        spectrum = np.moveaxis(np.fft.fft(picture, axis=axis), axis, 0)
        picture = np.moveaxis((waves @ spectrum).real / size, 0, axis)
    return picture


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_band_limited_picture_is_where_it_was(method: str, scale: int) -> None:
    rows, columns = 48, 41
    high = blobs(rows * scale, columns * scale, 1.0 / scale)
    low = Degradation(method, scale).apply(high)
    assert subpixel_shift(blobs(rows, columns, 1.0), low) == pytest.approx((0, 0), abs=0.001)
    assert subpixel_shift(high, super_sampled(low, scale)) == pytest.approx((0, 0), abs=0.01)
    # The measure sees what a plain crop of the transform does.
    assert abs(subpixel_shift(high, np.roll(super_sampled(low, scale), 1, axis=1))[1]) > 0.9


def test_kspace_is_exact_on_a_band_limited_periodic_picture() -> None:
    scale, rows, columns = 4, 12, 15

    def waves(count: int, size: int, step: float) -> Picture:
        return np.cos(2 * np.pi * count * (np.arange(size) + 0.5) * step / size + 0.3)

    high = 2 + np.outer(waves(3, rows * scale, 1), waves(7, columns * scale, 1))
    low = 2 + np.outer(waves(3, rows, 1), waves(7, columns, 1))
    assert np.abs(Degradation("kspace", scale).apply(high) - low).max() < 1e-12


@settings(max_examples=40, deadline=None)
@given(
    method=st.sampled_from(METHODS),
    scale=st.integers(2, 8),
    low_shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    level=st.floats(-1e4, 1e4),
)
def test_a_constant_stays(
    method: str, scale: int, low_shape: tuple[int, int], level: float
) -> None:
    image = np.full((low_shape[0] * scale, low_shape[1] * scale), level)
    low = Degradation(method, scale).apply(image)
    assert np.abs(low - level).max() <= 1e-11 * max(1.0, abs(level))


@settings(max_examples=30, deadline=None)
@given(
    method=st.sampled_from(METHODS),
    scale=st.integers(2, 8),
    weights=st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    seed=st.integers(0, 1000),
)
def test_every_recipe_is_linear_and_symmetric(
    method: str, scale: int, weights: tuple[float, float], seed: int
) -> None:
    recipe = Degradation(method, scale)
    first = noise_picture(5 * scale, 6 * scale, seed)
    second = noise_picture(5 * scale, 6 * scale, seed + 1)
    together = recipe.apply(weights[0] * first + weights[1] * second)
    apart = weights[0] * recipe.apply(first) + weights[1] * recipe.apply(second)
    assert np.abs(together - apart).max() < 1e-10
    # Neither direction of an axis is preferred, so there is no shift by a part of a pixel.
    assert np.allclose(recipe.apply(first[::-1, ::-1]), recipe.apply(first)[::-1, ::-1])
    assert np.allclose(recipe.apply(first.T), recipe.apply(first).T)
    stack = np.stack([first, second])
    assert np.allclose(recipe.apply(stack)[1], recipe.apply(second))


SETTINGS = [
    {"keep": (0.8, 0.65), "window": "cosine:0.4"},
    {"keep": (0.55, 1.0), "window": "fermi:0.05"},
    {"keep": (0.9, 0.7), "window": "hamming"},
    {"keep": (0.7, 0.8), "window": "none"},
    {"keep": (0.75, 0.6), "shape": "elliptical", "window": "cosine:1"},
    {"keep": (0.95, 0.65), "shape": "elliptical", "window": "none"},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("low_shape", [(16, 13), (11, 20)])
def test_scanner_equals_an_independent_implementation(
    settings: dict[str, Any], scale: int, low_shape: tuple[int, int]
) -> None:
    image = noise_picture(low_shape[0] * scale, low_shape[1] * scale)
    recipe = Degradation("scanner", scale, **settings)
    complex_picture = by_scanner(image, recipe)
    # An even axis that keeps everything holds one unpaired line, whose imaginary part is not real.
    assert np.abs(recipe.apply(image) - complex_picture.real).max() < 1e-12
    assert np.abs(recipe.apply(image.astype(np.float32)) - complex_picture.real).max() < 2e-6
    magnitude = recipe.measure(image, generator=np.random.default_rng(0))
    assert np.abs(magnitude - np.abs(complex_picture.real)).max() < 1e-12


@pytest.mark.parametrize("scale", SCALES)
def test_scanner_without_settings_is_kspace(scale: int) -> None:
    image = noise_picture(12 * scale, 9 * scale) - 0.45
    scanner, kspace = (Degradation(name, scale) for name in ("scanner", "kspace"))
    assert np.array_equal(scanner.apply(image), kspace.apply(image))
    generator = np.random.default_rng(0)
    magnitude = scanner.measure(image, generator=generator)
    low = kspace.measure(image, generator=generator)
    positive = low > 0
    assert 0 < (~positive).sum() < positive.sum()
    assert np.abs(magnitude - low)[positive].max() < 1e-14
    assert magnitude[~positive] == pytest.approx(-low[~positive])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("scale", SCALES)
def test_scanner_leaves_pixels_where_they_were(settings: dict[str, Any], scale: int) -> None:
    rows, columns = 48, 41
    high = blobs(rows * scale, columns * scale, 1.0 / scale) + 0.6  # Positive throughout.
    recipe = Degradation("scanner", scale, **settings)
    low = recipe.measure(high, generator=np.random.default_rng(0))
    assert subpixel_shift(blobs(rows, columns, 1.0), low) == pytest.approx((0, 0), abs=0.01)


def test_an_image_that_the_scale_does_not_divide_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="9 x 8 is not divisible by 4"):
        Degradation("bicubic", 4).apply(np.zeros((9, 8)))


@pytest.mark.parametrize("shape", [(7, 9), (40, 51), (20, 17)])
def test_resize_bicubic_equals_pillow_both_ways(shape: tuple[int, int]) -> None:
    image = noise_picture(20, 17)
    found = resize_bicubic(image, shape)
    assert np.abs(found - pillow_bicubic(image, shape)).max() < 1e-5
    single = resize_bicubic(np.stack([image, image]).astype(np.float32), shape)
    assert single.shape == (2, *shape)
    assert single.dtype == np.float32


def test_bicubic_matrix_holds_keys_weights_and_is_read_only() -> None:
    # Keys 1981 at the quarter and three-quarter points: -0.0703125, 0.8671875, 0.2265625, -0.0234.
    matrix = bicubic_matrix(10, 20)
    expected = [-0.0234375, 0.2265625, 0.8671875, -0.0703125]
    assert matrix[10, 3:7] == pytest.approx(expected)
    assert matrix.sum(axis=1) == pytest.approx(np.ones(20))
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1


@pytest.mark.parametrize("method", ["thesis", "johnson", "bicubic"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_low_resolution_pixels_lie_where_the_geometry_says(method: str, scale: int) -> None:
    """A ramp over patient coordinates, sampled by the old grid, comes back on the new one."""
    rows, columns = 14 * scale + 1, 17 * scale + scale - 1
    geometry = oblique()
    slope = np.array([1.0, 2.0, -3.0])

    def ramp(grid: Geometry, rows: int, columns: int) -> Picture:
        index = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
        affine = grid.affine()
        return (index @ affine[:3, :2].T + affine[:3, 3]) @ slope + 1000

    high = ramp(geometry, rows, columns)
    low = degrade(cine_of(high), method=method, scale=scale)
    inner = np.s_[6:-6, 6:-6]
    expected = ramp(low.geometry, rows // scale, columns // scale)
    assert low.frame(0, 0)[inner] == pytest.approx(expected[inner], abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("rows", "columns"), [(40, 32), (43, 34)])
def test_the_extent_stays_and_the_rest_is_cut_at_the_end(
    method: str, rows: int, columns: int
) -> None:
    frames = np.random.default_rng(0).integers(0, 4096, (2, 3, rows, columns)).astype(np.uint16)
    cine = cine_of(frames, value_range=(0.0, 4095.0), source="where it came from", name="heart")
    low = degrade(cine, method=method, scale=4)
    assert low.shape == (2, 3, 10, 8)
    assert low.geometry.is_close(cine.geometry.downscaled(4))
    assert low.geometry.spacing_mm == pytest.approx((3.0, 6.0, 8.0))
    kept = cine.geometry.edges_mm(40, 32)
    assert low.geometry.edges_mm(10, 8) == pytest.approx(kept)
    assert (low.source, low.name, low.value_range) == (cine.source, cine.name, cine.value_range)
    assert np.array_equal(low.times_ms, cine.times_ms)
    cropped = degrade(cine_of(frames[..., :40, :32]), method=method, scale=4)
    assert np.array_equal(np.asarray(low.frames), np.asarray(cropped.frames))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_stored_type_and_scale_stay(dtype: type) -> None:
    stored = (noise_picture(24, 24) * 200 + 20).astype(dtype)
    low = degrade(cine_of(stored), method="bicubic", scale=2).frame(0, 0)
    expected = INDEPENDENT["bicubic"](stored.astype(np.float64), 2)
    assert low.dtype == dtype
    tolerance = 0.5 + 1e-4 if np.issubdtype(dtype, np.integer) else 1e-4
    assert np.abs(low - expected).max() <= tolerance


def test_values_are_clipped_to_air_and_to_the_stored_range() -> None:
    edge = np.zeros((32, 32), np.int16)
    edge[:, 16:] = 4095
    low = degrade(cine_of(edge, value_range=(-4096.0, 4095.0)), method="kspace", scale=4)
    assert low.frame(0, 0).min() == 0
    assert low.frame(0, 0).max() == 4095
    signed = degrade(cine_of(edge - 100), method="kspace", scale=4).frame(0, 0)
    assert signed.min() == -100


def noisy(frames: np.ndarray, seed: int, **options: Any) -> Cine:
    return degrade(cine_of(frames), scale=2, noise=0.05, seed=seed, **options)


def test_noise_depends_on_seed_and_frame_but_not_on_the_order_of_reading() -> None:
    frames = np.tile(noise_picture(32, 32).astype(np.float32), (2, 3, 1, 1))
    first = noisy(frames, 1)
    backwards = {(time, at): first.frame(time, at) for time in (1, 0) for at in (2, 1, 0)}
    again = noisy(frames, 1)
    different = {frame.tobytes() for frame in backwards.values()}
    assert len(different) == 6
    for (time, at), frame in backwards.items():
        assert np.array_equal(frame, again.frame(time, at))
    assert not np.array_equal(first.frame(0, 0), noisy(frames, 2).frame(0, 0))


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_rician(method: str) -> None:
    """In air the magnitude is Rayleigh; in bright tissue it is nearly Gaussian."""
    frame = np.zeros((400, 400), np.float32)
    frame[:, 200:] = 1000
    low = noisy(frame, 3, method=method).frame(0, 0).astype(np.float64)
    sigma = 0.05 * 1000
    air, tissue = low[:, :80], low[:, 120:]
    clean = degrade(cine_of(frame), method=method, scale=2).frame(0, 0)
    if method not in ("kspace", "scanner"):  # Where the edge rings, air is not quite dark.
        assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    assert np.sqrt(np.mean(air**2) / 2) == pytest.approx(sigma, rel=0.03)
    assert (tissue - clean[:, 120:]).std() == pytest.approx(sigma, rel=0.03)


def test_noise_starts_from_air_where_values_are_stored_with_an_offset() -> None:
    frame = np.full((100, 100), -1000.0, np.float32)
    frame[:, 50:] = 0
    air = noisy(frame, 4, method="bicubic").frame(0, 0)[:, :20]
    assert air.mean() + 1000 == pytest.approx(50 * np.sqrt(np.pi / 2), rel=0.05)
    assert air.min() >= -1000


def test_add_rician_noise_keeps_type_and_shape() -> None:
    image = np.ones((3, 4, 5), np.float32)
    found = add_rician_noise(image, sigma=0.0, generator=np.random.default_rng(0))
    assert found.dtype == np.float32
    assert np.array_equal(found, image)


def test_the_recipe_is_recorded() -> None:
    low = degrade(cine_of(noise_picture(8, 8)), method="johnson", scale=2, noise=0.01, seed=9)
    assert low.derivation is not None
    assert low.derivation.label == "low resolution 1/2 (johnson)"
    for word in ("cinesr", "johnson degradation", "scale 2", "noise 0.01", "seed 9"):
        assert word in low.derivation.description
    assert Degradation("kspace", 3, 0.1, 7).to_dict() == {
        "method": "kspace",
        "scale": 3,
        "noise": 0.1,
        "seed": 7,
        "keep": (1.0, 1.0),
        "shape": "rectangular",
        "window": "none",
    }


@pytest.mark.parametrize("kept", [(0.8, 0.65), (1 / 1.3, 0.5 + 1e-9), (1.0, 1.0)])
@pytest.mark.parametrize("noise", [0.01, 0.1 / 3, 0.0])
def test_what_is_recorded_of_scanner_repeats_it(kept: tuple[float, float], noise: float) -> None:
    frames = np.random.default_rng(1).uniform(0, 1000, (2, 2, 24, 32))
    how: dict[str, Any] = {"keep": kept, "shape": "elliptical", "window": "cosine:0.35"}
    low = degrade(cine_of(frames), method="scanner", scale=2, noise=noise, seed=3, **how)
    assert low.derivation is not None
    found = re.search(
        r"scanner degradation, scale (\d), keep (\S+),(\S+), (\w+), window (\S+), "
        r"noise (\S+), seed (\d+)\.$",
        low.derivation.description,
    )
    assert found is not None
    scale, down, across, shape, window, size, seed = found.groups()
    again = degrade(
        cine_of(frames),
        method="scanner",
        scale=int(scale),
        noise=float(size),
        seed=int(seed),
        keep=(float(down), float(across)),
        shape=shape,
        window=window,
    )
    assert np.array_equal(np.asarray(low.frames), np.asarray(again.frames))


def test_random_scanners_are_drawn_as_they_say() -> None:
    plain = [random_scanner(np.random.default_rng(i), scale=2, varied=False) for i in range(800)]
    kept = np.array([recipe.keep for recipe in plain])
    assert 0.55 <= kept.min() < 0.56
    assert 0.99 < kept.max() <= 1.0
    assert {recipe.shape for recipe in plain} == {"rectangular"}
    widths = [float(each.window[7:]) for each in plain if each.window.startswith("cosine:")]
    assert 0.1 <= min(widths) < 0.12
    assert 0.98 < max(widths) <= 1.0
    sharp = [recipe.window for recipe in plain].count("none")
    assert len(widths) + sharp == 800
    assert sharp / 800 == pytest.approx(0.25, abs=0.05)
    noise = np.array([recipe.noise for recipe in plain])
    assert (noise == 0).mean() == pytest.approx(0.2, abs=0.05)
    assert 0.024 < noise.max() <= 0.025
    assert random_scanner(np.random.default_rng(5), scale=4, varied=False) == Degradation(
        **(plain[5].to_dict() | {"scale": 4})
    )

    varied = [random_scanner(np.random.default_rng(i), scale=2, varied=True) for i in range(800)]
    kept = np.array([recipe.keep for recipe in varied])
    assert (kept == 1).mean() == pytest.approx(0.1, abs=0.03)
    assert 0.5 <= kept.min() < 0.52
    kinds = [recipe.window.split(":")[0] for recipe in varied]
    assert set(kinds) == {"none", "cosine", "fermi", "hamming"}
    assert [each.shape for each in varied].count("elliptical") / 800 == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": (0.8, 0.8)}, "for the degradation 'thesis'; they belong to scanner"),
        ({"method": "bicubic", "window": "hamming"}, "'bicubic'; they belong to scanner"),
        ({"method": "kspace", "shape": "elliptical"}, "'kspace'; they belong to scanner"),
        ({"method": "scanner", "keep": (0.4, 1.0)}, "share of k-space of 0.4, 1 .*from 0.5 to 1"),
        ({"method": "scanner", "window": "hann"}, "A window 'hann' was asked for"),
        ({"method": "scanner", "shape": "round"}, "of shape 'round' .*rectangular or elliptical"),
        ({"method": "lanczos"}, "no degradation 'lanczos'; expected one of thesis, johnson"),
        ({"scale": 1}, "scale of 1 .*whole number from 2 to 8"),
        ({"scale": 9}, "scale of 9"),
        ({"scale": 4.0}, r"scale of 4\.0"),
        ({"noise": -0.1}, "noise of -0.1 .*0 to 1"),
        ({"noise": 1.5}, "noise of 1.5"),
        ({"noise": float("nan")}, "noise of nan"),
        ({"seed": -1}, "seed of -1 .*whole number"),
        ({"seed": 0.5}, r"seed of 0\.5"),
    ],
)
def test_wrong_values_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitImageError, match=words):
        degrade(cine_of(noise_picture(16, 16)), **options)


def test_images_that_cannot_be_degraded_are_refused() -> None:
    with pytest.raises(UnfitImageError, match=r"3 x 16 pixels .*at least 4 x 4"):
        degrade(cine_of(noise_picture(3, 16)))
    with pytest.raises(UnfitImageError, match="every pixel of the image is 5"):
        degrade(cine_of(np.full((8, 8), 5)))
    broken = noise_picture(8, 8)
    broken[2, 3] = np.nan
    with pytest.raises(UnfitImageError, match=r"phase 0, slice 0 .*NaN"):
        degrade(cine_of(broken))


def test_frames_are_read_one_at_a_time() -> None:
    read: list[tuple[int, int]] = []

    def frame(time: int, at: int) -> np.ndarray:
        read.append((time, at))
        return noise_picture(8, 8, seed=time)

    lazy = LazyFrames((3, 1, 8, 8), np.float64, frame)
    cine = Cine(lazy, oblique(), np.arange(3.0))
    low = degrade(cine, scale=2)
    assert len(read) == 3  # Once, for the range.
    low.frame(1, 0)
    assert read[3:] == [(1, 0)]
    assert IntensityRule.of(low).maximum <= 1.5
