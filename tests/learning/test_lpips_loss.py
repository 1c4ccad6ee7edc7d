"""LPIPS as a loss: the metric's values, with a gradient, at every offset."""

import keras
import numpy as np
import pytest

from cinesr.evaluation.lpips import lpips
from cinesr.learning.config import LossConfig
from cinesr.learning.losses import build_loss
from cinesr.learning.lpips_loss import OFFSETS, LpipsLoss, perceptual_distance, periodic_error


def pair(seed: int, *, count: int = 1, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size]
    phase = generator.uniform(0, 6, (count, 1, 1))
    first = 0.5 + 0.4 * np.sin(row / 5 + phase) * np.cos(column / 7)
    second = np.clip(first + generator.normal(0, 0.05, first.shape), 0, 1)
    return first.astype(np.float32)[..., None], second.astype(np.float32)[..., None]


def numbers(values: object) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(values))


def test_the_published_known_answer() -> None:
    y, x = np.mgrid[0:128, 0:128]
    first = (np.sin(x / 7) + np.cos(y / 11) + 2) / 4
    second = np.clip(first + 0.1 * np.sin(x * y / 500), 0, 1)
    found = perceptual_distance(
        *(image.astype(np.float32)[None, ..., None] for image in (first, second))
    )
    assert numbers(found) == pytest.approx([0.065743], abs=1e-5)


@pytest.mark.parametrize("size", [40, 61])
def test_it_is_the_metric(size: int) -> None:
    first, second = pair(1, count=3, size=size)
    expected = [
        lpips(true[..., 0], other[..., 0], data_range=1.0)
        for true, other in zip(first, second, strict=True)
    ]
    assert numbers(perceptual_distance(first, second)) == pytest.approx(expected, rel=1e-4)


def test_each_fourth_of_a_batch_is_seen_at_another_offset() -> None:
    first, second = pair(2, count=4)
    error = np.abs(first - second)
    expected = np.mean(
        [
            lpips(
                first[index, row : 45 + row, column : 45 + column, 0],
                second[index, row : 45 + row, column : 45 + column, 0],
                data_range=1.0,
            )
            + 0.02 * 255 * error[index, row : 45 + row, column : 45 + column].mean()
            for index, (row, column) in enumerate(OFFSETS)
        ]
    )
    loss = build_loss(LossConfig(name="lpips", fidelity=0.02), scale=2)
    assert isinstance(loss, LpipsLoss)
    assert numbers(loss(first, second)) == pytest.approx(expected, rel=1e-4)
    # Rows and columns meet every pixel of AlexNet's stride of four.
    assert sorted(row for row, _ in OFFSETS) == sorted(column for _, column in OFFSETS)
    assert {row for row, _ in OFFSETS} == {0, 1, 2, 3}


def test_identical_images_are_at_no_distance() -> None:
    first, _ = pair(3, count=4)
    assert numbers(LpipsLoss(fidelity=1.0)(first, first)) == 0.0


class TestPeriodicError:
    true = np.full((1, 50, 61, 1), 0.5, np.float32)
    row, column = (axis[None, ..., None] for axis in np.mgrid[:50, :61])

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            pytest.param((-1.0) ** (row + column), 1.0, id="checkerboard of one pixel"),
            pytest.param((-1.0) ** (column // 2), 1.0, id="stripes of two pixels"),
            pytest.param(np.cos(np.pi / 2 * row), 0.5, id="a quarter cycle per pixel"),
        ],
    )
    def test_a_pattern_counts_with_its_mean_absolute_value(
        self, pattern: np.ndarray, expected: float
    ) -> None:
        other = (self.true + pattern / 255).astype(np.float32)
        assert numbers(periodic_error(self.true, other, period=4)) == pytest.approx(
            [expected], rel=1e-3
        )

    @pytest.mark.parametrize(
        "smooth",
        [
            pytest.param(np.ones_like(row), id="an offset"),
            pytest.param(np.cos(2 * np.pi / 3 * column), id="a third of a cycle per pixel"),
        ],
    )
    def test_what_does_not_repeat_every_four_pixels_hardly_counts(self, smooth: np.ndarray) -> None:
        other = (self.true + smooth / 255).astype(np.float32)
        assert numbers(periodic_error(self.true, other, period=4))[0] < 0.01

    def test_the_period_is_that_of_the_network(self) -> None:
        """Stripes of two pixels repeat every four, not every two; a checkerboard does both."""
        stripes, board = (
            (self.true + pattern / 255).astype(np.float32)
            for pattern in ((-1.0) ** (self.column // 2), (-1.0) ** (self.row + self.column))
        )
        assert numbers(periodic_error(self.true, stripes, period=2))[0] < 0.01
        assert numbers(periodic_error(self.true, board, period=2)) == pytest.approx([1.0], rel=1e-3)

    def test_it_is_added_with_its_weight(self) -> None:
        first, second = pair(5, count=4)
        plain, charged = (
            numbers(LpipsLoss(pattern=weight)(first, second)) for weight in (0.0, 2.0)
        )
        expected = 2.0 * numbers(periodic_error(first, second, period=4)).mean()
        assert charged - plain == pytest.approx(expected, rel=1e-3)


def test_descending_it_brings_an_image_nearer() -> None:
    true, noisy = pair(4, count=4)
    network = keras.Sequential(
        [keras.Input((48, 48, 1)), keras.layers.Conv2D(1, 5, padding="same")]
    )
    # Features of nothing have no length: the gradient must not be lost there.
    network.layers[0].set_weights([np.zeros((5, 5, 1, 1)), np.zeros(1)])
    network.compile(optimizer=keras.optimizers.Adam(0.01), loss=LpipsLoss(fidelity=0.01))
    before = network.evaluate(noisy, true, batch_size=4, verbose=0)
    network.fit(noisy, true, batch_size=4, epochs=30, verbose=0)
    after = network.evaluate(noisy, true, batch_size=4, verbose=0)
    assert np.isfinite(after)
    assert after < 0.8 * before


def test_it_is_rebuilt_from_its_configuration() -> None:
    loss = LpipsLoss.from_config(LpipsLoss(fidelity=0.5, pattern=0.1).get_config())
    assert (loss.name, loss.fidelity, loss.pattern) == ("lpips", 0.5, 0.1)
