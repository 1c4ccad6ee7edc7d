"""What optimisers do to their variables on torch: to all at once, in place.

Keras goes from variable to variable, and makes a new one of each. Here variables of one shape are
multiplied as one batch of matrices, and the rest is done to lists. Nothing is read back from the
device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Tensors = Sequence[Any]


@dataclass(frozen=True)
class Adam:
    """Steps of Adam (Kingma and Ba, ICLR 2015).

    Args:
        betas: Share of a mean, and of a mean square, that stays from step to step.
        epsilon: Added to the root of the mean square.
    """

    betas: tuple[float, float]
    epsilon: float

    def step(
        self, values: Tensors, gradients: Tensors, moments: tuple[Tensors, Tensors], length: Any
    ) -> None:
        """Moves variables.

        Args:
            values: To move.
            gradients: Of each.
            moments: Mean and mean square of each, which move too.
            length: Of the step, corrected for the moments' start at zero; a number or a tensor.
        """
        import torch

        means, squares = moments
        torch._foreach_lerp_(means, gradients, 1 - self.betas[0])
        torch._foreach_mul_(squares, self.betas[1])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self.betas[1])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, self.epsilon)
        directions = torch._foreach_div(means, roots)
        torch._foreach_mul_(directions, length)
        torch._foreach_sub_(values, directions)


@dataclass(frozen=True)
class Muon:
    """Steps of Muon, with Nesterov's momentum; see `cinesr.learning.optimizers`.

    Args:
        momentum: Share of the sum of gradients that stays from step to step.
        coefficients: Of the odd polynomial that a round of Newton and Schulz applies to the
            singular values.
        rounds: How many.
        size: Root mean square of a step of length 1.
        dtype: In which matrices are multiplied.
    """

    momentum: float
    coefficients: tuple[float, float, float]
    rounds: int
    size: float
    dtype: Any

    def step(self, values: Tensors, gradients: Tensors, sums: Tensors, length: Any) -> None:
        """Moves kernels.

        Args:
            values: (row, column, in, out) each, to move.
            gradients: Of each.
            sums: Of the gradients so far, which move too.
            length: Of the step, a number or a tensor.
        """
        import torch

        torch._foreach_mul_(sums, self.momentum)
        torch._foreach_add_(sums, gradients)
        ahead = torch._foreach_add(gradients, sums, alpha=self.momentum)
        alike: dict[Any, list[int]] = {}
        for index, value in enumerate(values):
            alike.setdefault(value.shape, []).append(index)
        for shape, places in alike.items():
            filters = shape[3]
            flat = [ahead[place].permute(3, 0, 1, 2).reshape(filters, -1) for place in places]
            steps = self.balanced(torch.stack(flat))
            steps *= length * (self.size * math.sqrt(max(steps.shape[1:])))
            rows, columns, channels, _ = shape
            kernels = steps.reshape(-1, filters, rows, columns, channels).permute(0, 2, 3, 4, 1)
            torch._foreach_sub_([values[place] for place in places], kernels.unbind())

    def balanced(self, matrices: Any) -> Any:
        """The same singular vectors, with singular values near 1.

        Args:
            matrices: (matrix, row, column), float32.
        """
        import torch

        first, third, fifth = self.coefficients
        wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
        lengths = torch.linalg.vector_norm(wide, dim=(1, 2), keepdim=True)
        found = (wide / (lengths + 1e-7)).to(self.dtype)
        for _ in range(self.rounds):
            gram = torch.bmm(found, found.mT)
            even = torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth)
            found = torch.baddbmm(found, even, found, beta=first)
        found = found.to(matrices.dtype)
        return found if wide is matrices else found.mT


def follow(averages: Tensors, values: Tensors, share: Any) -> None:
    """Moves averages towards values.

    Args:
        averages: To move.
        values: Of the same shapes.
        share: Of the way, a tensor with one number.
    """
    import torch

    torch._foreach_lerp_(averages, values, [share] * len(averages))
