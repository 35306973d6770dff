"""The gradient of the loss after K updates with respect to the meta-parameters, in bounded memory.

    (1)  theta_K = theta_0 + alpha sum_k d_k,    (h_k, d_k) = rule.step(phi, h_(k-1), g_k),    k = 1 .. K
    (2)  J = mean over units of the agent's loss at theta_K on one more rollout

The gradients g_k are constants, so with v = d loss / d theta_K there is no second-order term:

    (3)  d J / d phi = d/d phi sum_i sum_k (alpha / U) v_i d_(k,i)(phi)

where i counts coordinates. Only the rule is run again, over chunks of coordinates. Backpropagation ends at
theta_0 and h_0. Shapes: N coordinates, U units, S state, M meta-parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.tasks import SmallTask
from policy_training.meta_learning.units import Agents, Update, agents_of
from policy_training.optimizers.rules import Place, UpdateRule

CHUNK = 10_000  # coordinates; larger chunks leave the cache


@dataclass(frozen=True)
class Unroll:
    """K updates of all units, and the loss's gradient after them."""

    state: Tensor  # (S, N) before the first
    updates: Sequence[Update]
    weight: Tensor  # (N,) alpha / U * v


@dataclass(frozen=True)
class Seen:
    """Figures of the unroll, per unit (U,)."""

    reward: Tensor  # mean per step, unscaled
    loss: Tensor  # after the updates, on the last rollout


def unroll(agents: Agents, phi: Tensor, updates: int) -> tuple[Unroll, Seen]:
    """K updates and the rollout after them; the agents keep their new parameters."""
    before, taken, rewards = agents.state, [], []
    for _ in range(updates):
        rollout = agents.rollout()
        taken.append(agents.update(phi, rollout))
        agents.check()
        rewards.append(rollout.reward)
    rollout = agents.rollout()
    ahead, loss = agents.ahead(rollout)
    rewards.append(rollout.reward)
    weight = ahead.view(agents.units, -1) * (agents.alpha / agents.units)[:, None]
    reward = torch.stack(rewards).mean(dim=(0, 1, 3)) / agents.scale
    return Unroll(before, taken, weight.view(-1)), Seen(reward, loss)


def meta_gradient(rule: UpdateRule, phi: Tensor, done: Unroll, chunk: int = CHUNK) -> Tensor:
    """(3), (M,). A rule that is not separable is run over whole units."""
    units = len(done.updates[0].place.loss)
    size = len(done.weight)
    step = chunk if rule.separable else max(1, chunk // (size // units)) * (size // units)
    total = torch.zeros_like(phi)
    for first in range(0, size, step):
        part = slice(first, first + step)
        leaf, state, along = phi.detach().requires_grad_(True), done.state[:, part], torch.zeros(())
        for update in done.updates:
            state, direction = rule.step(leaf, state, update.grad[part], _part(update.place, part, size))
            along = along + direction
        total += torch.autograd.grad(torch.dot(done.weight[part], along), leaf)[0]
    return total


def _part(place: Place, part: slice, size: int) -> Place:
    """The place of the units in a range of coordinates."""
    each = size // len(place.loss)
    units = slice(part.start // each, -(-part.stop // each))
    return Place(place.shapes, place.loss[units], place.fraction[units])


class Truncated:
    """The units of one task, and their gradient by (3)."""

    def __init__(self, config: MetaConfig, task: SmallTask, rule: UpdateRule, seed: int) -> None:
        self.task, self.rule, self.updates = task, rule, config.inner_updates
        self.agents = agents_of(config, task, rule, seed)

    def restart(self, which: NDArray[np.int64]) -> None:
        """New agents in these units."""
        self.agents.restart(which)

    def gradient(self, phi: Tensor) -> tuple[Tensor, Seen]:
        """(M,), and the figures of the unroll."""
        done, seen = unroll(self.agents, phi, self.updates)
        return meta_gradient(self.rule, phi, done), seen

    def state_dict(self) -> State:
        """Of the agents."""
        return self.agents.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.agents.load_state_dict(state)
