"""Steps against numpy: Muon for wide kernels, Adam for the rest; schedule and average as named."""

from typing import Any

import keras
import numpy as np
import pytest

from cinesr.learning.config import OptimisationConfig
from cinesr.learning.optimizers import SMALLEST_MATRIX, ConvolutionMuon, build_optimizer
from helpers.backends import repeat_on_torch

KERNEL = (3, 3, 16, 24)


def stepped(optimizer: Any, start: np.ndarray, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """Where a variable is after each step."""
    variable = keras.Variable(start)
    optimizer.build([variable])
    places = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        places.append(np.asarray(keras.ops.convert_to_numpy(variable)))
    return places


def arrays(shape: tuple[int, ...], count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(0, 1, (count, *shape)).astype(np.float32))


def balanced(matrix: np.ndarray) -> np.ndarray:
    """Newton-Schulz with the coefficients of Jordan et al., five rounds."""
    x = matrix.astype(np.float64) / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x.T @ x
        x = 3.4445 * x - 4.7750 * x @ gram + 2.0315 * x @ gram @ gram
    return x


def test_muon_steps_by_the_balanced_momentum() -> None:
    start, *gradients = arrays(KERNEL, 4)
    found = stepped(ConvolutionMuon(0.01), start, gradients)
    place, momentum = start.astype(np.float64), np.zeros(KERNEL)
    for gradient, after in zip(gradients, found, strict=True):
        momentum = 0.95 * momentum + gradient
        lookahead = gradient + 0.95 * momentum
        # 144 inputs and 24 outputs; 0.2 is the usual size of a step of Adam's.
        step = 0.01 * 0.2 * np.sqrt(144) * balanced(lookahead.reshape(144, 24))
        place = place - step.reshape(KERNEL)
        assert after == pytest.approx(place, abs=1e-5)


@pytest.mark.parametrize("kernel", [KERNEL, (1, 1, 16, 96), (5, 5, 1, 32)])
def test_a_step_is_about_as_long_in_every_direction(kernel: tuple[int, ...]) -> None:
    """The singular vectors are the gradient's; the values are near 1, whatever they were."""
    generator = np.random.default_rng(1)
    rows, columns = int(np.prod(kernel[:3])), kernel[3]
    u, _, v = np.linalg.svd(generator.normal(0, 1, (rows, columns)), full_matrices=False)
    gradient = (u * np.geomspace(1, 0.1, len(v)) @ v).astype(np.float32)
    (found,) = stepped(
        ConvolutionMuon(1.0), np.zeros(kernel, np.float32), [gradient.reshape(kernel)]
    )
    step = -found.reshape(rows, columns) / (0.2 * np.sqrt(max(rows, columns)))
    inner = u.T @ step @ v.T
    assert inner - np.diag(np.diag(inner)) == pytest.approx(np.zeros_like(inner), abs=1e-3)
    assert 0.6 < np.diag(inner).min() <= np.diag(inner).max() < 1.3


@pytest.mark.parametrize("shape", [(24,), (3, 3, 32, SMALLEST_MATRIX - 1), (3, 3, 1, 64), (64, 64)])
def test_everything_else_is_adams(shape: tuple[int, ...]) -> None:
    start, *gradients = arrays(shape, 4)
    ours = stepped(ConvolutionMuon(0.01), start, gradients)
    theirs = stepped(keras.optimizers.Adam(0.01), start, gradients)
    for found, expected in zip(ours, theirs, strict=True):
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", keras.optimizers.Adam), ("muon", ConvolutionMuon)]
)
def test_the_configuration_decides(name: str, kind: type) -> None:
    plan = OptimisationConfig(
        epochs=2,
        steps_per_epoch=50,
        optimizer=name,  # type: ignore[arg-type]
        learning_rate=2e-3,
        warmup_steps=20,
        ema=0.9,
    )
    optimizer = build_optimizer(plan)
    assert isinstance(optimizer, kind)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
    assert not optimizer.weight_decay
    schedule = optimizer._learning_rate
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 10, 20, 60, 100)]
    # Up in 20 steps, then half a cosine over the other 80.
    assert rates == pytest.approx([0, 1e-3, 2e-3, 1e-3, 0], abs=1e-8)


def test_without_warm_up_schedule_and_average() -> None:
    cosine = build_optimizer(OptimisationConfig(epochs=1, steps_per_epoch=10, warmup_steps=0))
    first = float(keras.ops.convert_to_numpy(cosine._learning_rate(0)))
    assert first == pytest.approx(5e-4)
    assert not cosine.use_ema
    constant = build_optimizer(OptimisationConfig(schedule="constant", learning_rate=0.25))
    assert float(keras.ops.convert_to_numpy(constant.learning_rate)) == 0.25


def test_a_warm_up_longer_than_the_run_takes_half_of_it() -> None:
    plan = OptimisationConfig(epochs=1, steps_per_epoch=10, warmup_steps=200, learning_rate=1.0)
    schedule = build_optimizer(plan)._learning_rate
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 5, 10)]
    assert rates == pytest.approx([0, 1, 0], abs=1e-6)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_the_average_follows_the_weights(name: str) -> None:
    plan = OptimisationConfig(schedule="constant", optimizer=name, ema=0.75)  # type: ignore[arg-type]
    start, *gradients = arrays(KERNEL, 3)
    optimizer = build_optimizer(plan)
    first, second, third = stepped(optimizer, start, [*gradients, gradients[0]])
    average = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
    found = keras.ops.convert_to_numpy(optimizer._model_variables_moving_average[0])
    assert np.asarray(found) == pytest.approx(average, abs=1e-6)


def test_all_of_this_holds_on_torch() -> None:
    repeat_on_torch(__file__)
