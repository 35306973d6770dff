"""Persistent evolution strategies: a meta-gradient that is not truncated.

Vicol, Metz, Sohl-Dickstein: Unbiased Gradient Estimation in Unrolled Computation Graphs with Persistent
Evolution Strategies, ICML 2021, Algorithm 2 and its antithetic form.

    (1)  e_u ~ N(0, s^2 I),    xi_u <- xi_u + e_u    in every meta-iteration; xi_u = 0 at unit u's start
    (2)  g = mean over u of xi_u (L_u(phi + e_u) - L_u(phi - e_u)) / (2 s^2)

L_u is the rule's objective, minus the mean reward per step of the window, so no derivative passes through
an agent's loss. Both sides of a pair draw the same random numbers for as long as they need equally many.
Shapes: U units, M meta-parameters.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.meta_gradient import Seen
from policy_training.meta_learning.tasks import SmallTask
from policy_training.meta_learning.units import Agents, agents_of
from policy_training.optimizers.adam import copy_into
from policy_training.optimizers.rules import Place, UpdateRule


class EachItsOwn:
    """A rule with a row of meta-parameters for every unit: phi (U, M)."""

    separable = False

    def __init__(self, rule: UpdateRule) -> None:
        self.rule, self.name, self.size, self.width = rule, rule.name, rule.size, rule.width

    def initial(self, rng: torch.Generator) -> Tensor:
        """Of one unit."""
        return self.rule.initial(rng)

    def step(
        self, phi: Tensor, state: Tensor, grad: Tensor, place: Place | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `UpdateRule.step`, with each unit's own row."""
        assert place is not None
        units = len(phi)
        states, directions = [], []
        parts = zip(phi, state.chunk(units, dim=1), grad.chunk(units), strict=True)
        for unit, (own, before, slope) in enumerate(parts):
            alone = slice(unit, unit + 1)
            here = Place(place.shapes, place.loss[alone], place.fraction[alone])
            after, direction = self.rule.step(own, before, slope, here)
            states.append(after)
            directions.append(direction)
        return torch.cat(states, dim=1), torch.cat(directions)


def estimate(drift: Tensor, plus: Tensor, minus: Tensor, std: float) -> Tensor:
    """(2): drift xi (U, M), losses of the two sides (U,) -> (M,)."""
    return (drift * (plus - minus)[:, None]).mean(dim=0) / (2.0 * std**2)


class Persistent:
    """Pairs of agents of one task, one on either side of the meta-parameters."""

    def __init__(self, config: MetaConfig, task: SmallTask, rule: UpdateRule, seed: int) -> None:
        self.task, self.std, self.updates = task, config.std, config.inner_updates
        own = EachItsOwn(rule)
        self.sides = tuple(agents_of(config, task, own, seed) for _ in range(2))
        self.drift = torch.zeros(config.units, rule.size)
        self.rng = torch.Generator().manual_seed(seed)

    def restart(self, which: NDArray[np.int64]) -> None:
        """New agents, the same on both sides, without accumulated noise."""
        for agents in self.sides:
            agents.restart(which)
        self.drift[torch.from_numpy(which)] = 0.0

    def gradient(self, phi: Tensor) -> tuple[Tensor, Seen]:
        """(M,) of the loss, and what happened, the mean of both sides."""
        noise = self.std * torch.randn(self.drift.shape, generator=self.rng)
        self.drift += noise
        plus, minus = (
            self._reward(agents, phi + sign * noise)
            for sign, agents in zip((1.0, -1.0), self.sides, strict=True)
        )
        mean = (plus + minus) / 2.0
        return estimate(self.drift, -plus, -minus, self.std), Seen(mean, -mean)

    def _reward(self, agents: Agents, phi: Tensor) -> Tensor:
        """Mean reward per step of the window, unscaled. (U,)."""
        rewards = []
        for _ in range(self.updates):
            rollout = agents.rollout()
            agents.update(phi, rollout)
            agents.check()
            rewards.append(rollout.reward)
        return torch.stack(rewards).mean(dim=(0, 1, 3)) / agents.scale

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        sides = [agents.state_dict() for agents in self.sides]
        return {"sides": sides, "drift": self.drift.clone(), "rng": self.rng.get_state()}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        for agents, saved in zip(self.sides, state["sides"], strict=True):
            agents.load_state_dict(saved)
        copy_into(self.drift, state["drift"])
        self.rng.set_state(state["rng"])
