"""An actor whose actions have to pass its safety critic before they are taken: the masked policy of SQRL.

Srinivasan et al. 2020, arXiv:2010.14603: draw from pi, keep what the critic allows, take one of those; where
it allows none, take the least risky. Shapes: B batch, O observation, A action, K candidates.
"""

from typing import Any

import torch
from torch import Tensor, nn

from policy_training.networks.squashed import Actor, SafetyCritic

SEED = 0  # of the noise behind a deterministic choice, the same in every run and export


class FilteredActor(nn.Module):
    """The actor's action if Q_c(s, a) <= eps, else the first such of K - 1 more draws, else the least risky.

    Actor and critic are shared, not copied.
    """

    fixed: Tensor

    def __init__(
        self, actor: Actor, critic: SafetyCritic, eps: float, candidates: int,
        rng: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        """Without `rng` it can only choose deterministically."""
        super().__init__()
        self.actor, self.critic, self.eps, self.rng = actor, critic, eps, rng
        fixed = torch.Generator().manual_seed(SEED)
        self.register_buffer(
            "fixed", torch.randn((candidates - 1, 1, actor.action_size), generator=fixed), persistent=False
        )

    def forward(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal noise (K, B, A), in the order in which it is tried -> action (B, A) in [-1, 1] and
        its log-density (B,) under the actor."""
        count, rows, _ = noise.shape
        repeated = obs.repeat(count, 1)
        action, log_prob = self.actor(repeated, noise.reshape(count * rows, -1))
        risk = self.critic(repeated, action).reshape(count, rows)
        risk = torch.nan_to_num(risk, nan=torch.inf)
        order = torch.arange(count, dtype=risk.dtype).unsqueeze(1)
        allowed = risk <= self.eps
        first = torch.where(allowed, order, count).argmin(dim=0)
        chosen = torch.where(allowed.any(dim=0), first, risk.argmin(dim=0))  # (B,)
        index = chosen * rows + torch.arange(rows)
        return action[index], log_prob[index]

    @torch.no_grad()
    def fused(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with noise (B, A) first and fresh noise after it; without gradients."""
        assert self.rng is not None
        more = torch.randn((len(self.fixed), *noise.shape), generator=self.rng)
        return self(obs, torch.cat((noise.unsqueeze(0), more)))  # type: ignore[no-any-return]

    def mode(self, obs: Tensor) -> Tensor:
        """Deterministic action (B, A): of the mean, which is tried first, and of fixed draws around it."""
        width = self.fixed.shape[-1]
        mean = torch.zeros_like(obs[:, :1]).expand(-1, width).unsqueeze(0)
        action: Tensor = self(obs, torch.cat((mean, self.fixed + mean)))[0]
        return action


def acting(settings: Any, actor: nn.Module, critic: SafetyCritic | None) -> Any:
    """What is shown and exported: the actor, behind its critic where the settings have `candidates`."""
    if critic is None or not hasattr(settings, "candidates"):
        return actor
    assert isinstance(actor, Actor)
    return FilteredActor(actor, critic, settings.eps, settings.candidates)
