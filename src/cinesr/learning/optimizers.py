"""Optimisers, with their schedule and the moving average of the weights."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from cinesr.learning import updates
from cinesr.learning.config import OptimisationConfig
from cinesr.learning.kernels import on_torch
from cinesr.learning.recorded import lay_out

SMALLEST_MATRIX = 16
"""Kernels with fewer inputs or outputs have no directions to balance."""


def build_optimizer(
    plan: OptimisationConfig, *, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """The optimiser that a configuration names, with warm-up, schedule and moving average.

    Args:
        plan: Which one.
        precision: Of the network's multiplications, "float32" or "bfloat16".
    """
    steps = plan.epochs * plan.steps_per_epoch
    rate: Any = plan.learning_rate
    if plan.schedule == "cosine":
        warmup = min(plan.warmup_steps, steps // 2)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else plan.learning_rate,
            decay_steps=max(1, steps - warmup),
            warmup_target=plan.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    average = {"use_ema": True, "ema_momentum": plan.ema} if plan.ema else {}
    if plan.optimizer == "muon":
        return ConvolutionMuon(rate, precision=precision, **average)
    return AveragedAdam(rate, **average)


class _Averaging:
    """An optimiser that on torch moves all averages of the weights at once.

    Its variables lie in memory as the weights do.
    """

    def build(self, variables: Any) -> None:
        """Makes the optimiser's own variables.

        Args:
            variables: That it is to move.
        """
        super().build(variables)  # type: ignore[misc]
        lay_out(self.variables)  # type: ignore[attr-defined]

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        if not on_torch():
            super()._update_model_variables_moving_average(trainable_variables)  # type: ignore[misc]
            return
        import torch

        averages = [average.value for average in self._model_variables_moving_average]  # type: ignore[attr-defined]
        values = [variable.value for variable in trainable_variables]
        # The first average is the weights after the first step.
        first = ops.cast(ops.equal(self.iterations, 0), "float32")  # type: ignore[attr-defined]
        share = ops.maximum(first, 1 - self.ema_momentum)  # type: ignore[attr-defined]
        with torch.no_grad():
            updates.follow(averages, values, share)


class AveragedAdam(_Averaging, keras.optimizers.Adam):  # type: ignore[misc]
    """Keras's own, with its moving average faster on torch."""


class ConvolutionMuon(_Averaging, keras.optimizers.Muon):  # type: ignore[misc]
    """Muon for the kernels of convolutions, Adam for everything else.

    Muon (Jordan et al. 2024; scaled as by Liu et al., "Muon is scalable for LLM training", 2025)
    makes each step equally long in all directions of a matrix. Keras's own takes matrices alone; a
    kernel is one, from all taps of all input channels to the output channels.

    Args:
        learning_rate: A number or a schedule; steps are as long as Adam's at the same rate.
        precision: In which matrices are multiplied on torch, "float32" or "bfloat16". Muon's
            authors use bfloat16: what is left of a direction's length is near 1 all the same.
        options: Of `keras.optimizers.Optimizer`.
    """

    def __init__(
        self, learning_rate: Any = 1e-3, *, precision: str = "float32", **options: Any
    ) -> None:
        super().__init__(learning_rate, weight_decay=None, adam_weight_decay=None, **options)
        self.precision = precision

    def _should_use_adamw(self, variable: Any) -> bool:
        shape = variable.shape
        return len(shape) != 4 or min(math.prod(shape[:3]), shape[3]) < SMALLEST_MATRIX

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        lookahead = ops.add(gradient, self.momentum * m)
        matrix = ops.reshape(lookahead, (-1, variable.shape[3]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        if not on_torch():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        import torch

        muon = updates.Muon(
            self.momentum,
            (self.muon_a, self.muon_b, self.muon_c),
            self.ns_steps,
            self.rms_rate,
            getattr(torch, self.precision),
        )
        adam = updates.Adam((self.adam_beta_1, self.adam_beta_2), self.epsilon)
        for_muon: list[list[Any]] = []
        for_adam: list[list[Any]] = []
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            moments = (self.momentums[index], self.adam_velocities[index])
            parts = [variable.value, gradient, *(it.value for it in moments if it is not None)]
            (for_adam if len(parts) == 4 else for_muon).append(parts)
        with torch.no_grad():
            if for_muon:
                values, gradients, sums = zip(*for_muon, strict=True)
                muon.step(values, gradients, sums, learning_rate)
            if for_adam:
                values, gradients, means, squares = zip(*for_adam, strict=True)
                length = self._adam_length(learning_rate)
                adam.step(values, gradients, (means, squares), length)

    def _adam_length(self, learning_rate: Any) -> Any:
        step = ops.cast(self.iterations + 1, "float32")
        grown, grown_square = (1 - beta**step for beta in (self.adam_beta_1, self.adam_beta_2))
        return learning_rate * ops.sqrt(grown_square) / grown
