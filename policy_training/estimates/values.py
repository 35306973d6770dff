"""Fitting the value functions of the on-policy family."""

from collections.abc import Iterator

import torch
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.networks.gaussian import ValueCritics
from policy_training.optimizers.flat import trained_network


def minibatches(count: int, size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Indices (size,) that go once through `count` rows in random order; the last batch may be smaller."""
    return iter(torch.randperm(count, generator=rng).split(size))


class ValueFit:
    """Value functions (M) by squared error plus `l2` times their weights' squared length."""

    def __init__(self, critics: ValueCritics, lr: float, l2: float, optimizer: str = "adam") -> None:
        self.critics, self.l2 = critics, l2
        self.trained = trained_network(critics, lr, optimizer)

    def fit(self, obs: Tensor, target: Tensor, epochs: int, batch: int, rng: torch.Generator) -> float:
        """`epochs` passes over obs (T, O), target (M, T). Mean squared error over members before the last."""
        inputs, flat = self.critics.inputs(obs), self.critics.mlp.flat
        seen: list[Tensor] = []
        for _ in range(epochs):
            seen = []
            for rows in minibatches(len(obs), batch, rng):
                error = (self.critics.of_inputs(inputs[rows]) - target[:, rows]).square().mean(dim=1)
                seen.append(error.detach().mean())
                self.trained.descend(error.sum() + self.l2 * flat.square().sum())
        return float(torch.stack(seen).mean())

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return self.trained.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.trained.load_state_dict(state)
