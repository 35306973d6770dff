"""Bootstrap targets. `terminated` is 1 at a true terminal state only; after a time limit the target is
bootstrapped."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from policy_training.experience.replay import Batch


def reward_targets(batch: Batch, q_next: Tensor, log_prob: Tensor, alpha: float, gamma: float) -> Tensor:
    """r + (1 - d) gamma (Q_r' - alpha log pi'). q_next, log_prob (B,) -> (B,)."""
    return batch.reward + (1.0 - batch.terminated) * gamma * (q_next - alpha * log_prob)


def cost_targets(cost: Tensor, terminated: Tensor, q_next: Tensor, gamma: float) -> Tensor:
    """c + (1 - c)(1 - d) gamma_c Q_c', c = 1 where the cost is positive. All (B,), q_next in [0, 1]."""
    violated = (cost > 0.0).float()
    return violated + (1.0 - violated) * (1.0 - terminated) * gamma * q_next


def squared_error(q: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of the sum over members. q (E, B), target (B,) -> scalar."""
    return (q - target).square().sum(dim=0).mean()


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """The same for probabilities: its minimum is the mean target, as with the squared error, and it does not
    stall where the sigmoid is flat. logits (E, B), target (B,) in [0, 1], weight (B,) of mean 1 -> scalar."""
    return logits.shape[0] * F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), weight)


class SafetyRows(NamedTuple):
    """A training batch of the safety critics: B rows."""

    obs: Tensor  # (B, O)
    action: Tensor  # (B, A)
    target: Tensor  # (B,)
    violated: Tensor  # (B,) 1 or 0


def safety_rows(
    batch: Batch, cost: Tensor, targets: Tensor, violating_obs: Tensor, violating_action: Tensor
) -> SafetyRows:
    """Mix of a batch, with its cost and targets (B,), and violating transitions (V, O), (V, A) at equal size.

    The target of a violating transition is 1 whatever follows. Rows of the batch are dropped evenly, because
    it is sorted into prior and own transitions.
    """
    violated, extra = (cost > 0.0).to(targets.dtype), len(violating_obs)
    if not extra:
        return SafetyRows(batch.obs, batch.action, targets, violated)
    keep = evenly(len(targets), len(targets) - extra)
    ones = torch.ones(extra, dtype=targets.dtype)
    return SafetyRows(
        torch.cat((batch.obs[keep], violating_obs)),
        torch.cat((batch.action[keep], violating_action)),
        torch.cat((targets[keep], ones)),
        torch.cat((violated[keep], ones)),
    )


@lru_cache(maxsize=8)
def evenly(count: int, kept: int) -> Tensor:
    """`kept` indices spread over `count` rows."""
    return torch.linspace(0, count - 1, kept).long()


def natural_weights(violated: Tensor, rate: float) -> Tensor:
    """Weights (B,) of mean 1 that give violating rows the share `rate` they have in the replay, however many
    were drawn: rare events can then be sampled often without biasing the estimate."""
    drawn = float(violated.mean())
    if not 0.0 < drawn < 1.0:
        return torch.ones_like(violated)
    return violated * (rate / drawn) + (1.0 - violated) * ((1.0 - rate) / (1.0 - drawn))
