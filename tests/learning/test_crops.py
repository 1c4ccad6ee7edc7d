"""Which pixels are in which batch, and what was done to them."""

from dataclasses import replace

import numpy as np
import pytest

from cinesr.degradation import Degradation
from cinesr.learning.config import (
    DataConfig,
    DegradationConfig,
    NetworkConfig,
    OptimisationConfig,
    TrainingConfig,
    VariationConfig,
)
from cinesr.learning.crops import CropStream
from cinesr.learning.dataset import SliceSet
from cinesr.learning.dead_leaves import dead_leaves


def config_of(
    *,
    methods: tuple[str, ...] = ("bicubic",),
    noise: float = 0.0,
    blur: float = 0.0,
    scale: int = 2,
    crop: int = 16,
    **variation: object,
) -> TrainingConfig:
    return TrainingConfig(
        name="any",
        output="out",
        data=DataConfig("scans"),
        degradation=DegradationConfig(methods, noise, blur),  # type: ignore[arg-type]
        variation=VariationConfig(**variation),  # type: ignore[arg-type]
        network=NetworkConfig("residual", scale),  # type: ignore[arg-type]
        optimisation=OptimisationConfig(batch_size=3, crop=crop),
    )


def smooth_noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 1, (rows, columns)).astype(np.float32)


def slices_of(*images: np.ndarray) -> SliceSet:
    return SliceSet(images, tuple("abcdefgh"[: len(images)]), None)


def turned(image: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    rotated = np.rot90(image, turns)
    return rotated[:, ::-1] if flip else rotated


def found_in(image: np.ndarray, crop: np.ndarray) -> list[tuple[int, int, int, bool]]:
    """Where, turned how often and flipped or not, a crop stands in an image."""
    windows = np.lib.stride_tricks.sliding_window_view(image, crop.shape)
    places = []
    for turns in range(4):
        for flip in (False, True):
            same = np.abs(windows - turned(crop, turns, flip)).max(axis=(2, 3)) < 1e-6
            places += [(int(r), int(c), turns, flip) for r, c in np.argwhere(same)]
    return places


class TestCrops:
    @pytest.mark.parametrize("method", ["thesis", "johnson", "bicubic", "kspace"])
    @pytest.mark.parametrize("scale", [2, 4])
    def test_the_low_crop_is_the_same_place_of_the_degraded_slice(
        self, method: str, scale: int
    ) -> None:
        image = smooth_noise(40, 56)
        low_image = Degradation(method, scale).apply(image)
        config = config_of(methods=(method,), scale=scale)
        stream = CropStream(slices_of(image), config)
        kinds = set()
        for step in range(12):
            low, high = stream.batch(step)
            assert low.shape == (3, 16 // scale, 16 // scale, 1)
            assert high.shape == (3, 16, 16, 1)
            assert low.dtype == high.dtype == np.float32
            for small, large in zip(low[..., 0], high[..., 0], strict=True):
                places = found_in(image, large)
                assert len(places) == 1
                row, column, turns, flip = places[0]
                assert (row % scale, column % scale) == (0, 0)
                size = 16 // scale
                at = np.s_[row // scale :, column // scale :]
                expected = low_image[at][:size, :size]
                assert turned(small, turns, flip) == pytest.approx(expected, abs=1e-6)
                kinds.add((turns, flip))
        assert len(kinds) == 8

    def test_a_batch_depends_on_seed_and_step_alone(self) -> None:
        slices = slices_of(smooth_noise(32, 32), smooth_noise(40, 24, 1))
        config = config_of(methods=("thesis", "kspace"), noise=0.1)
        first, again = CropStream(slices, config), CropStream(slices, config)
        again.batch(9)
        for ours, theirs in zip(first.batch(4), again.batch(4), strict=True):
            assert np.array_equal(ours, theirs)
        assert not np.array_equal(first.batch(4)[0], first.batch(5)[0])
        other = CropStream(slices, replace(config, seed=1))
        assert not np.array_equal(first.batch(4)[1], other.batch(4)[1])

    def test_every_slice_and_place_is_drawn(self) -> None:
        images = [smooth_noise(32, 36, seed) for seed in range(3)]
        stream = CropStream(slices_of(*images), config_of())
        drawn, corners = set(), set()
        for step in range(80):
            for crop in stream.batch(step)[1][..., 0]:
                for index, image in enumerate(images):
                    for row, column, *_ in found_in(image, crop):
                        drawn.add(index)
                        corners.add((row, column))
        assert drawn == {0, 1, 2}
        assert {row for row, _ in corners} == set(range(0, 17, 2))
        assert {column for _, column in corners} == set(range(0, 21, 2))

    def test_empty_background_is_avoided(self) -> None:
        image = np.zeros((96, 96), np.float32)
        image[64:, 64:] = smooth_noise(32, 32)
        stream = CropStream(slices_of(image), config_of())
        filled = [
            np.mean(crop > 0.05) >= 0.5
            for step in range(30)
            for crop in stream.batch(step)[1][..., 0]
        ]
        # One place in eight is body: without a choice, so many crops would be.
        assert np.mean(filled) > 0.6

    def test_a_slice_that_is_all_background_still_gives_crops(self) -> None:
        dark = np.full((32, 32), 0.01, np.float32)
        low, high = CropStream(slices_of(dark), config_of()).batch(0)
        assert low == pytest.approx(np.full((3, 8, 8, 1), 0.01))
        assert high.shape == (3, 16, 16, 1)

    def test_brightness_changes_both_alike(self) -> None:
        level = np.full((32, 32), 0.5, np.float32)
        stream = CropStream(slices_of(level), config_of(intensity=(0.6, 1.1)))
        gains = []
        for step in range(40):
            low, high = stream.batch(step)
            assert low.mean(axis=(1, 2, 3)) == pytest.approx(high.mean(axis=(1, 2, 3)))
            gains += list(high[:, 0, 0, 0] / 0.5)
        assert 0.6 <= min(gains) < 0.65
        assert 1.05 < max(gains) <= 1.1

    def test_half_of_the_crops_are_magnified(self) -> None:
        """On a ramp the slope tells by how much; low and high resolution agree on it."""
        ramp = np.broadcast_to(0.3 + 0.005 * np.arange(120, dtype=np.float32), (96, 120))
        stream = CropStream(slices_of(ramp), config_of(zoom=4.0))
        zooms = []
        for step in range(40):
            low, high = (side[..., 0] for side in stream.batch(step))
            for small, large in zip(low, high, strict=True):
                slope = max(abs(float(np.median(np.diff(large, axis=at)))) for at in (0, 1))
                low_slope = max(abs(float(np.median(np.diff(small, axis=at)))) for at in (0, 1))
                assert low_slope == pytest.approx(2 * slope, rel=1e-3)
                assert small.mean() == pytest.approx(large.mean(), abs=1e-3)
                zooms.append(0.005 / slope)
        magnified = [zoom for zoom in zooms if zoom > 1.001]
        assert len(magnified) / len(zooms) == pytest.approx(0.5, abs=0.12)
        assert 1.0 < min(magnified) < 1.2
        assert 3.5 < max(magnified) <= 4.05
        assert min(zooms) > 0.999

    def test_magnified_parts_show_the_body_where_there_is_one(self) -> None:
        image = np.zeros((96, 96), np.float32)
        image[48:, 48:] = 1.0
        stream = CropStream(slices_of(image), config_of(zoom=3.0))
        bright = [np.mean(stream.batch(step)[1] > 0.05) for step in range(30)]
        assert np.mean(bright) > 0.6

    def test_noise_is_on_the_low_side_and_of_any_strength_up_to_the_given(self) -> None:
        level = np.full((64, 64), 1.0, np.float32)
        config = config_of(noise=0.1, crop=32)
        stream = CropStream(slices_of(level), config)
        strengths = []
        for step in range(60):
            low, high = stream.batch(step)
            assert np.ptp(high) == 0
            strengths += list(low.std(axis=(1, 2, 3)))
        noisy = [strength for strength in strengths if strength > 0]
        assert len(noisy) / len(strengths) == pytest.approx(0.5, abs=0.12)
        assert 0.09 < max(noisy) < 0.12
        assert min(noisy) < 0.01
        assert np.mean(noisy) == pytest.approx(0.05, rel=0.2)

    def test_every_method_is_drawn(self) -> None:
        image = smooth_noise(16, 16)
        config = config_of(methods=("bicubic", "thesis"))
        stream = CropStream(slices_of(image), config)
        sharpness = {
            round(float(crop.std()), 5) for step in range(10) for crop in stream.batch(step)[0]
        }
        expected = {
            round(float(Degradation(method, 2).apply(image).std()), 5)
            for method in ("bicubic", "thesis")
        }
        assert sharpness == expected

    def test_without_variation_the_draws_are_these(self) -> None:
        """Written out: what is off draws nothing, so old runs resume to the same crops."""
        images = [smooth_noise(32, 40, seed) for seed in range(3)]
        config = config_of(methods=("bicubic", "thesis"), intensity=(0.5, 2.0))
        for step in range(4):
            draw = np.random.default_rng([0, step])
            low, high = (
                side[..., 0] for side in CropStream(slices_of(*images), config).batch(step)
            )
            for small, large in zip(low, high, strict=True):
                image = images[draw.integers(3)]
                recipe = Degradation(("bicubic", "thesis")[draw.integers(2)], 2)
                row, column = draw.integers(0, 9), draw.integers(0, 13)
                gain = np.float32(draw.uniform(0.5, 2.0))
                turns, flip = int(draw.integers(4)), bool(draw.integers(2))
                at = np.s_[2 * row : 2 * row + 16, 2 * column : 2 * column + 16]
                assert np.array_equal(large, turned(image[at] * gain, turns, flip))
                at = np.s_[row : row + 8, column : column + 8]
                assert np.array_equal(small, turned(recipe.apply(image)[at] * gain, turns, flip))


class TestVariation:
    def test_half_of_the_pictures_get_another_contrast(self) -> None:
        """A picture of one level tells the power: 0.5 becomes 0.5 to the power p."""
        level = np.full((32, 32), 0.5, np.float32)
        stream = CropStream(slices_of(level), config_of(contrast=1.5))
        powers = []
        for step in range(60):
            low, high = stream.batch(step)
            assert low.mean(axis=(1, 2, 3)) == pytest.approx(high.mean(axis=(1, 2, 3)), rel=1e-5)
            powers += list(np.log2(high[:, 0, 0, 0]) / np.log2(0.5))
        varied = [power for power in powers if abs(power - 1) > 1e-5]
        assert len(varied) / len(powers) == pytest.approx(0.5, abs=0.12)
        assert 1 / 1.5 - 1e-5 < min(varied) < 0.72
        assert 1.4 < max(varied) < 1.5 + 1e-5
        # As many get darker as brighter.
        assert np.median(varied) == pytest.approx(1.0, abs=0.15)

    def test_contrast_bears_values_below_zero(self) -> None:
        image = smooth_noise(32, 32) - np.float32(0.4)
        stream = CropStream(slices_of(image), config_of(contrast=2.0))
        for step in range(5):
            for side in stream.batch(step):
                assert np.isfinite(side).all()

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_so_many_crops_are_synthetic(
        self, share: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(CropStream, "SYNTHETIC_IMAGES", 2)
        level = np.full((33, 36), 0.5, np.float32)
        stream = CropStream(slices_of(level), config_of(synthetic=share, scale=3, crop=18))
        flat = [np.ptp(crop) == 0 for step in range(60) for crop in stream.batch(step)[1]]
        assert np.mean(flat) == pytest.approx(1 - share, abs=0.09)

    def test_synthetic_pictures_come_from_the_seed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(CropStream, "SYNTHETIC_IMAGES", 1)
        config = config_of(synthetic=1.0)
        streams = [
            CropStream(slices_of(smooth_noise(32, 32)), replace(config, seed=seed))
            for seed in (5, 5, 6)
        ]
        first, again, other = (stream.batch(1) for stream in streams)
        assert all(map(np.array_equal, first, again))
        assert not np.array_equal(first[1], other[1])
        picture = dead_leaves(np.random.default_rng([5, 1]), 256)
        assert len(found_in(picture, first[1][0, ..., 0])) == 1

    def test_a_quarter_of_the_low_crops_is_blurred_each_axis_by_its_own(self) -> None:
        """A blur by sigma takes exp(-(sigma w)^2 / 2) of a wave; the high side stays as it is."""
        rows, columns = np.mgrid[:192, :192].astype(np.float32)
        wave = np.float32(2 * np.pi / 16)
        image = 1.0 + 0.2 * np.cos(wave * rows) + 0.2 * np.cos(wave * columns)
        plain = CropStream(slices_of(image), config_of(crop=160))
        stream = CropStream(slices_of(image), config_of(crop=160, blur=1.2))
        expected = amplitudes(plain.batch(0)[0][0, ..., 0])
        sigmas = []
        for step in range(30):
            low, high = (side[..., 0] for side in stream.batch(step))
            for small, large in zip(low, high, strict=True):
                assert amplitudes(large, every=16) == pytest.approx([0.2, 0.2], abs=1e-5)
                loss = np.log(np.divide(expected, amplitudes(small)))
                sigmas.append(np.sqrt(2 * np.maximum(loss, 0)) / (2 * wave))
        blurred = np.array([pair for pair in sigmas if max(pair) > 0.1])
        assert len(blurred) / len(sigmas) == pytest.approx(0.25, abs=0.12)
        assert 1.0 < blurred.max() < 1.25
        assert np.abs(blurred[:, 0] - blurred[:, 1]).max() > 0.4


def amplitudes(image: np.ndarray, every: int = 8) -> list[float]:
    """Of the waves down and across that come back after so many pixels."""
    spectrum = np.abs(np.fft.fft2(image.astype(np.float64))) * 2 / image.size
    return [
        float(spectrum[image.shape[0] // every, 0]),
        float(spectrum[0, image.shape[1] // every]),
    ]
