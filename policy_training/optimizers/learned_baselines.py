"""Learned optimizers that Optim4RL is compared to.

L2LGD2 (Andrychowicz et al. 2016, arXiv:1606.04474): a gated unit of log-scaled gradients scales the gradient.

    (1)  x = (log|g| / p, sign g) where log|g| >= -p, else (-1, exp(p) g),  p = 10
    (2)  h <- GRU(h, x)    o = w h + b    direction = -exp(o) g

LinearOptim (Lan et al. 2024, the ablation of Optim4RL without a division): no structure of moments.

    (3)  h <- GRU(h, g)    o = W h + b    direction = -(exp(o1) g + exp(o2) o3)

Differs from the papers: in (2) a gated unit of 8 for two layers of 20 LSTM cells, as Lan et al. have it.
"""

import torch
from torch import Tensor

from policy_training.optimizers.gated_unit import GatedUnits, H
from policy_training.optimizers.rules import Place

P = 10.0


class L2lgd2:
    """(1) and (2)."""

    name = "l2lgd2"
    cells = GatedUnits(units=1, inputs=2, outputs=1)
    size, width, separable = cells.size, H, True

    def initial(self, rng: torch.Generator) -> Tensor:
        """Untrained meta-parameters (M,)."""
        return self.cells.initial(rng)

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """State: h."""
        logarithm = torch.log(grad.abs()) / P  # of 0 it is -inf, which the other branch takes
        large = logarithm >= -1.0
        first = torch.where(large, logarithm, -1.0)
        second = torch.where(large, torch.sign(grad), torch.exp(torch.tensor(P, dtype=grad.dtype)) * grad)
        hidden, out = self.cells.step(phi, state[None], torch.stack((first, second))[None])
        return hidden[0], -torch.exp(out[0, 0]) * grad


class LinearOptim:
    """(3)."""

    name = "linear"
    cells = GatedUnits(units=1, inputs=1, outputs=3)
    size, width, separable = cells.size, H, True

    def initial(self, rng: torch.Generator) -> Tensor:
        """Untrained meta-parameters (M,)."""
        return self.cells.initial(rng)

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """State: h."""
        hidden, out = self.cells.step(phi, state[None], grad[None, None])
        o1, o2, o3 = out[0]
        return hidden[0], -(torch.exp(o1) * grad + torch.exp(o2) * o3)
