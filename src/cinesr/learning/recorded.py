"""On torch, a training step that is recorded once and then replayed.

Keras finds its way through every layer anew in each step: shapes, types, masks and scopes, which on
a processor took longer than multiplying. The step's operations, forwards and backwards, are
recorded the first time and replayed from then on, as if they had been written down by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from cinesr.learning.kernels import on_torch

Replay = Callable[..., list[Any]]


def quick_to_train(network: keras.Model) -> keras.Model:
    """The same network, with the same variables, as it trains fastest.

    Args:
        network: A functional model. On torch its kernels are laid out anew in memory.
    """
    if not on_torch():
        return network
    lay_out(network.variables)
    return RecordedModel(network._inputs_struct, network._outputs_struct, name=network.name)


def lay_out(variables: Iterable[Any]) -> None:
    """Puts kernels into memory output by output, as torch convolves images with channels last.

    Their shapes and numbers stay. What is made from them, rounded or differentiated, comes out in
    the same order, so that nothing is ever turned around. On other backends nothing is done.

    Args:
        variables: Keras variables; those with four axes, (row, column, in, out), are kernels.
    """
    if not on_torch():
        return
    for variable in variables:
        if len(variable.shape) == 4:
            tensor = variable.value
            tensor.data = tensor.data.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)


class RecordedModel(keras.Model):  # type: ignore[misc]
    """A model whose `fit` replays the first step with the numbers of each step.

    What a step does must not depend on the numbers; shapes may differ, and each gets a recording.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of `fit` on torch.

        Args:
            data: Inputs and targets; each a tensor or a structure of them.
        """
        import torch

        tensors = keras.tree.flatten(data)
        key = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        recordings: dict[Any, tuple[Replay, list[Any]]] = self.__dict__.setdefault("_replays", {})
        trained = self.trainable_variables
        state = [variable.value for variable in (*trained, *self.non_trainable_variables)]
        with torch.no_grad():
            if key not in recordings:
                recordings[key] = self._record(data, state)
            replay, moving = recordings[key]
            loss, *found = replay(*state, *tensors)
            for variable, value in zip(moving, found[len(trained) :], strict=True):
                variable.assign(value)
            self.optimizer.apply(found[: len(trained)], trained)
            self._loss_tracker.update_state(loss, sample_weight=len(tensors[0]))
        metrics: dict[str, Any] = self.get_metrics_result()
        return metrics

    def _record(self, data: Any, state: list[Any]) -> tuple[Replay, list[Any]]:
        """The step as one function of variables and batch, and what it moves besides weights.

        The function gives the loss, the gradient of each trainable variable, and the new values of
        those other variables, such as a batch norm's averages.
        """
        import torch
        from torch.fx.experimental.proxy_tensor import make_fx

        count, others = len(self.trainable_variables), self.non_trainable_variables
        moving: list[Any] = []

        def step(*tensors: Any) -> list[Any]:
            weights = [tensor.detach().requires_grad_() for tensor in tensors[:count]]
            still = list(tensors[count : len(state)])
            inputs, targets = keras.tree.pack_sequence_as(data, tensors[len(state) :])
            with torch.enable_grad():
                outputs, moved = self.stateless_call(weights, still, inputs, training=True)
                loss = self.compute_loss(x=inputs, y=targets, y_pred=outputs)
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            changes = [new is not old for new, old in zip(moved, still, strict=True)]
            moving[:] = [it for it, change in zip(others, changes, strict=True) if change]
            values = [value for value, change in zip(moved, changes, strict=True) if change]
            return [loss.detach(), *gradients, *(value.detach() for value in values)]

        recording = make_fx(step)(*state, *keras.tree.flatten(data))
        for node in list(recording.graph.nodes):
            if node.target is torch.ops.aten.detach.default:
                node.replace_all_uses_with(node.args[0])
        recording.graph.eliminate_dead_code()
        recording.recompile()
        return recording.forward, moving
