"""Optim4RL: an update rule with the structure of an adaptive optimizer, its two moments learned.

Lan, Mahmood, Yan, Xu: Learning to Optimize for Reinforcement Learning, RLC 2024, arXiv:2302.01470v3.

    (1)  h1 <- GRU1(h1, g)        o1 = w1 h1 + b1
    (2)  h2 <- GRU2(h2, g^2)      o2 = w2 h2 + b2
    (3)  m = sign(g) exp(o1)      v = exp(o2)
    (4)  direction = -m / sqrt(v + e),  e = 1e-8

The same 514 meta-parameters for every coordinate of every network; h1 and h2 are 0 at an agent's start. The
caller cuts g at plus and minus 1 first. An untrained rule is close to sign descent; a coordinate whose
gradient is 0 does not move, and every other moves against the sign of its last gradient.

Differs from the paper: none known; the first preprint has other inputs, heads and constants.
"""

import torch
from torch import Tensor

from policy_training.optimizers.gated_unit import GatedUnits, H
from policy_training.optimizers.rules import Place

EPS = 1e-8


class Optim4RL:
    """(1) to (4)."""

    name = "optim4rl"
    cells = GatedUnits(units=2, inputs=1, outputs=1)
    size = cells.size
    width = 2 * H
    separable = True

    def initial(self, rng: torch.Generator) -> Tensor:
        """Untrained meta-parameters (514,)."""
        return self.cells.initial(rng)

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """State: h1, then h2."""
        inputs = torch.stack((grad, grad * grad))[:, None]
        hidden, out = self.cells.step(phi, state.view(2, H, -1), inputs)
        o1, o2 = out[:, 0]
        return hidden.reshape(self.width, -1), -torch.sign(grad) * torch.exp(o1) * torch.rsqrt(
            torch.exp(o2) + EPS
        )
