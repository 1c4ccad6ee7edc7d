"""Replayed steps against Keras's own: the same weights, whatever the network."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from cinesr.learning.config import NetworkConfig, OptimisationConfig
from cinesr.learning.layers import Convolution
from cinesr.learning.networks import build_network
from cinesr.learning.optimizers import AveragedAdam, ConvolutionMuon, build_optimizer
from cinesr.learning.recorded import lay_out, quick_to_train
from helpers.backends import repeat_on_torch

on_torch_alone = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="only torch replays its steps"
)


class PlainMuon(ConvolutionMuon):
    """Variable by variable, as Keras goes, and as it stays on JAX."""

    _backend_update_step = keras.optimizers.Optimizer._backend_update_step
    _update_model_variables_moving_average = (
        keras.optimizers.Optimizer._update_model_variables_moving_average
    )


def seed() -> keras.Model:
    return build_network(NetworkConfig("seed", scale=2, filters=4, blocks=1))


def transposed() -> keras.Model:
    return build_network(NetworkConfig("seed", 2, filters=4, blocks=1, upsampling="transposed"))


def residual() -> keras.Model:
    return build_network(NetworkConfig("residual", scale=2, filters=16, blocks=2))


def wide() -> keras.Model:
    return build_network(NetworkConfig("wide", scale=2, filters=16, blocks=1))


def told(structure: Callable[[Any, Any], Any] = lambda low, told: (low, told)) -> keras.Model:
    """A network that is told numbers, which become a factor for each channel."""
    low, numbers = keras.Input((None, None, 1), name="low"), keras.Input((3,), name="told")
    factors = keras.layers.Dense(16)(keras.layers.Dense(8, activation="relu")(numbers))
    features = Convolution(16, 5, padding="same")(low)
    features = keras.layers.Multiply()([features, keras.layers.Reshape((1, 1, 16))(factors)])
    outputs = Convolution(4, 3, padding="same")(features)
    outputs = keras.layers.UpSampling2D(2)(outputs)
    return keras.Model(structure(low, numbers), Convolution(1, 3, padding="same")(outputs))


def told_by_name() -> keras.Model:
    return told(lambda low, told: {"low": low, "told": told})


def batches(network: keras.Model, count: int, *, size: int = 12) -> list[Any]:
    """What to train on, in the structure that a network takes."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(count):
        low = generator.random((2, size, size, 1), np.float32)
        high = generator.random((2, 2 * size, 2 * size, 1), np.float32)
        numbers = generator.random((2, 3), np.float32)
        inputs: Any = low
        if len(network.inputs) == 2:
            by_name = isinstance(network._inputs_struct, dict)
            inputs = {"low": low, "told": numbers} if by_name else (low, numbers)
        found.append((inputs, high))
    return found


def trained(
    network: keras.Model, optimizer: Any, data: list[Any]
) -> tuple[list[np.ndarray], float]:
    """All variables after a step with each batch, those of the optimiser too, and the loss."""
    network.compile(optimizer=optimizer, loss="mean_absolute_error")
    optimizer.build(network.trainable_variables)
    history = network.fit((it for it in data), steps_per_epoch=len(data), shuffle=False, verbose=0)
    variables = [*network.variables, *optimizer.variables]
    values = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables]
    return values, history.history["loss"][0]


@on_torch_alone
@pytest.mark.parametrize("build", [seed, transposed, residual, wide, told, told_by_name])
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_replayed_steps_lead_where_kerass_own_do(
    build: Callable[[], keras.Model], name: str
) -> None:
    plain, kind = build(), {"adam": keras.optimizers.Adam, "muon": PlainMuon}[name]
    start, data = plain.get_weights(), batches(plain, 4)
    plain_values, plain_loss = trained(plain, kind(1e-3, use_ema=True, ema_momentum=0.75), data)
    quick = quick_to_train(build())
    quick.set_weights(start)
    plan = OptimisationConfig(
        optimizer=name,  # type: ignore[arg-type]
        learning_rate=1e-3,
        schedule="constant",
        ema=0.75,
    )
    quick_values, quick_loss = trained(quick, build_optimizer(plan), data)
    assert type(quick.optimizer) in (AveragedAdam, ConvolutionMuon)
    assert quick_loss == pytest.approx(plain_loss, rel=1e-5)
    # Adam divides gradients by their own size, so that those near zero are mostly rounding.
    for found, expected in zip(quick_values, plain_values, strict=True):
        assert found == pytest.approx(expected, abs=2e-5, rel=1e-4)
    moved = zip(start, quick.get_weights(), strict=True)
    assert sum(not np.array_equal(before, after) for before, after in moved) >= len(
        quick.trainable_variables
    )


@on_torch_alone
def test_a_step_is_recorded_once_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = quick_to_train(residual())
    calls: list[tuple[int, ...]] = []
    record = type(quick)._record

    def counted(model: Any, data: Any, state: Any) -> Any:
        calls.append(tuple(data[0].shape))
        return record(model, data, state)

    monkeypatch.setattr(type(quick), "_record", counted)
    data = [*batches(quick, 3), *batches(quick, 2, size=16)]
    trained(quick, build_optimizer(OptimisationConfig()), [*data, *data])
    assert calls == [(2, 12, 12, 1), (2, 16, 16, 1)]


def test_what_is_laid_out_anew_keeps_its_shape_and_numbers() -> None:
    network = residual()
    before = network.get_weights()
    lay_out(network.variables)
    assert all(map(np.array_equal, before, network.get_weights()))
    network.set_weights([2 * weight for weight in before])
    assert all(
        np.array_equal(2 * old, new) for old, new in zip(before, network.get_weights(), strict=True)
    )
    if keras.backend.backend() == "torch":
        kernel = network.layers[3].kernel.value
        assert kernel.permute(3, 0, 1, 2).is_contiguous()
        rounded = kernel.bfloat16().permute(3, 2, 0, 1)
        assert rounded.stride()[1] == 1


def test_other_backends_train_the_network_as_it_is() -> None:
    network = residual()
    assert (quick_to_train(network) is network) == (keras.backend.backend() != "torch")


def test_all_of_this_holds_on_torch() -> None:
    repeat_on_torch(__file__)
