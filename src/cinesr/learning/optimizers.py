"""Optimisers, with their schedule and the moving average of the weights."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from cinesr.learning.config import OptimisationConfig

SMALLEST_MATRIX = 16
"""Kernels with fewer inputs or outputs have no directions to balance."""


def build_optimizer(plan: OptimisationConfig) -> keras.optimizers.Optimizer:
    """The optimiser that a configuration names, with warm-up, schedule and moving average."""
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
        return ConvolutionMuon(rate, **average)
    return keras.optimizers.Adam(rate, **average)


class ConvolutionMuon(keras.optimizers.Muon):  # type: ignore[misc]
    """Muon for the kernels of convolutions, Adam for everything else.

    Muon (Jordan et al. 2024; scaled as by Liu et al., "Muon is scalable for LLM training", 2025)
    makes each step equally long in all directions of a matrix. Keras's own takes matrices alone; a
    kernel is one, from all taps of all input channels to the output channels.

    Args:
        learning_rate: A number or a schedule; steps are as long as Adam's at the same rate.
        options: Of `keras.optimizers.Optimizer`.
    """

    def __init__(self, learning_rate: Any = 1e-3, **options: Any) -> None:
        super().__init__(learning_rate, weight_decay=None, adam_weight_decay=None, **options)

    def _should_use_adamw(self, variable: Any) -> bool:
        shape = variable.shape
        return len(shape) != 4 or min(math.prod(shape[:3]), shape[3]) < SMALLEST_MATRIX

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        lookahead = ops.add(gradient, self.momentum * m)
        matrix = ops.reshape(lookahead, (-1, variable.shape[3]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))
