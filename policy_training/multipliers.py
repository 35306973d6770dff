"""Lagrange multipliers of named costs, one each, moved by how far the measured cost is from its limit."""

import math
from collections.abc import Sequence

from torch import Tensor

from policy_training.advantages import standardised
from policy_training.checkpoint import State
from policy_training.costs import Limits
from policy_training.meta import ScalarAdam


class Multipliers:
    """lambda_k >= 0, up by Adam where J_k > d_k and down where it is below (Ray et al. 2019, sec. 5.2)."""

    def __init__(self, limits: Limits, initial: float, lr: float, largest: float = math.inf) -> None:
        self.names, self.limits = zip(*limits, strict=True)
        self.values = [initial] * len(self.names)
        self.adams = [ScalarAdam(lr) for _ in self.names]
        self.largest = largest

    def update(self, costs: Sequence[float]) -> None:
        """costs (K,): mean undiscounted episode sums, in the order of the names."""
        for k, (cost, limit) in enumerate(zip(costs, self.limits, strict=True)):
            moved = self.values[k] + self.adams[k].step(limit - cost)
            self.values[k] = min(max(moved, 0.0), self.largest)

    def mixed(self, advantage: Tensor) -> Tensor:
        """(A_r - sum_k lambda_k A_k) / (1 + sum_k lambda_k). advantage (1 + K, T) -> (T,).

        Reward and costs are standardised each, so that a multiplier means the same for costs of any unit.
        """
        total = standardised(advantage[0])
        for value, row in zip(self.values, advantage[1:], strict=True):
            total = total - value * standardised(row)
        return total / (1.0 + sum(self.values))

    def figures(self) -> dict[str, float]:
        """For the log."""
        return {f"nu/{name}": value for name, value in zip(self.names, self.values, strict=True)}

    def state_dict(self) -> State:
        """Everything that an exact continuation needs."""
        return {"values": list(self.values), "adams": [adam.state_dict() for adam in self.adams]}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.values = [float(value) for value in state["values"]]
        for adam, saved in zip(self.adams, state["adams"], strict=True):
            adam.load_state_dict(saved)
