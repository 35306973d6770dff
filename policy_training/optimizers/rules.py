"""Update rules: pure functions from a gradient and a state per coordinate to a direction.

    theta <- theta + alpha * direction,    (state, direction) = rule.step(phi, state, gradient)

Hand-made rules have no meta-parameters, so that they and learned ones run through the same code and are tuned
alike. Shapes: N coordinates of all agents together, S numbers of state for each, M meta-parameters.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Place:
    """How coordinates are arranged, for rules that look beyond a single one: U agents with equal tensors, in
    this order."""

    shapes: tuple[tuple[int, ...], ...]  # of one agent's tensors, P numbers together; N = U * P
    loss: Tensor  # (U,) the agent's loss at this update
    fraction: Tensor  # (U,) of its training that is done, in [0, 1]


class UpdateRule(Protocol):
    """The interface of a rule for training, meta-training and `torch.optim`."""

    name: str
    size: int  # M
    width: int  # S
    separable: bool  # whether coordinates are independent; if not, `step` needs a place

    def initial(self, rng: torch.Generator) -> Tensor:
        """Untrained meta-parameters (M,)."""

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """phi (M,), state (S, N) of zeros at an agent's start, grad (N,) -> state (S, N), direction (N,)."""


class HandMade:
    """A rule without meta-parameters."""

    name: str
    width: int
    size = 0
    separable = True

    def initial(self, rng: torch.Generator) -> Tensor:
        """Nothing to learn: (0,)."""
        return torch.zeros(0)


class Sign(HandMade):
    """Sign descent: the direction of Optim4RL without its magnitude."""

    name, width = "sign", 0

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """direction = -sign(g)."""
        return state, -torch.sign(grad)


class Adam(HandMade):
    """Kingma, Ba 2015: beta 0.9 and 0.999, e 1e-8, bias corrected."""

    name, width = "adam", 3

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """State: mean, mean square, count."""
        mean, square, count = state
        mean, square, count = torch.lerp(grad, mean, 0.9), torch.lerp(grad * grad, square, 0.999), count + 1.0
        root = torch.sqrt(square / (1.0 - 0.999**count))
        return torch.stack((mean, square, count)), -(mean / (1.0 - 0.9**count)) / (root + 1e-8)


class RmsProp(HandMade):
    """Mean square with decay 0.9, e 1e-8 under the root, no bias correction."""

    name, width = "rmsprop", 1

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """State: mean square."""
        square = torch.lerp(grad * grad, state[0], 0.9)
        return square[None], -grad * torch.rsqrt(square + 1e-8)
