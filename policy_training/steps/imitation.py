"""Imitation of prior actions: a squared distance in the actor's objective where the critics prefer them.

The Q-filter of Nair et al. 2018, arXiv:1709.10089 (their behaviour-cloning loss with a filter by the critic),
with the safety critic in the comparison, which is ours. Shapes: B batch, N prior rows, A action.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from policy_training.estimates.critics import Critics, Values
from policy_training.experience.replay import Batch, Memory
from policy_training.networks.squashed import Actor


class Lesson(NamedTuple):
    """Imitation targets of the first N rows of a batch."""

    action: Tensor  # (N, A) of the prior episodes
    weight: Tensor  # (N,) [reward] per unit of squared distance

    def penalty(self, action: Tensor) -> Tensor:
        """Scalar, from the actor's actions (B, A)."""
        if not len(self.action):
            return action.new_zeros(())
        return (self.weight * (action[: len(self.action)] - self.action).square().sum(dim=-1)).mean()


def lesson(batch: Batch, own: Values, critics: Critics, nu: float, weight: float) -> Lesson:
    """Prior actions that the critics rate above the actor's own, with equal weight; the others have weight
    0."""
    rows = batch.prior if weight > 0.0 else 0
    action = batch.action[:rows]
    if not rows:
        return Lesson(action, action.new_zeros(0))
    with torch.no_grad():
        theirs = critics.judge(batch.obs[:rows], action)
        better = theirs.q_r - nu * theirs.q_c > (own.q_r - nu * own.q_c)[:rows]
    return Lesson(action, weight * better.float())


class Learner(Protocol):
    """What `pretrain` needs of a configuration."""

    @property
    def batch_size(self) -> int: ...
    @property
    def pos_fraction(self) -> float: ...
    @property
    def imitation(self) -> float: ...


def pretrain(
    actor: Actor, critics: Critics, memory: Memory, config: Learner, alpha: float, rng: torch.Generator,
    descend: Callable[[Tensor], None],
) -> dict[str, Tensor | float]:  # fmt: skip
    """One update on prior episodes alone: the critics learn, the actor imitates, eps, alpha and nu stay as
    they are.

    `descend` steps the actor down a scalar loss. The entropy term keeps the actor's spread from collapsing.
    """
    batch = memory.batch(config.batch_size)
    violations = memory.violations(round(config.pos_fraction * config.batch_size))
    noise = torch.randn((2, config.batch_size, actor.action_size), generator=rng)
    with torch.no_grad():
        next_action, next_log_prob = actor.fused(batch.next_obs, noise[0])
    loss_r, loss_c = critics.learn(batch, violations, next_action, next_log_prob, alpha)
    action, log_prob = actor.fused(batch.obs, noise[1])
    teacher = Lesson(batch.action, torch.full((config.batch_size,), config.imitation))
    loss = alpha * log_prob.mean() + teacher.penalty(action)
    descend(loss)
    critics.follow()
    return {"loss_q_r": loss_r, "loss_q_c": loss_c, "loss_imitation": loss.detach()}
