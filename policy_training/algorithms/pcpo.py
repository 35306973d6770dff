"""PCPO: a trust-region step on the reward, then the nearest step whose linearised cost keeps to the limit.

Yang, Rosca, Narasimhan, Ramadge 2020, arXiv:2010.03152.

    (1)  x' = sqrt(2 d_KL / g^T F^-1 g) F^-1 g
    (2)  x  = x' - [ (b^T x' + c) / (b^T M b) ]_+ M b       M = F^-1: nearest by KL, or M = I: by distance
    (3)  x is shortened until E KL <= d_KL, E[rho A_c] has not grown by more than [ -c ]_+, and, unless c > 0,
         E[rho A_r] has not fallen

Symbols: g = grad E[rho A_r], b = grad E[rho A_c] in cost / step, rho = pi(a|s) / pi_old(a|s), F Fisher
matrix, c = (J_c - d + m) / L [cost / step], J_c mean undiscounted episode cost, d its limit, L mean length
[steps], m a margin (`Margin`, 0 unless margin_rate says more), d_KL [nat].

Units of c. b is the slope of a mean over steps and an episode has L of them, so J_c changes by L b^T x; the
limit J_c + L b^T x <= d is c + b^T x <= 0. A_c is centred and keeps its scale for the same reason.

The default is the projection by KL, which does not depend on how the network is parametrised.

Differs from the paper: (3), since (2) can leave the trust region; J_c and d undiscounted while A_c is
discounted; the margin m; damping on F; value functions are fitted by Adam. Differs from others: OmniSafe
(read at 15603dd) does not divide c by L, and takes F F^-1 g, which is nearly g itself, instead of F^-1 g in
(1).
"""

from dataclasses import dataclass
from typing import Literal

import torch

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout, centred, standardised
from policy_training.estimates.on_policy import Judge
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor
from policy_training.steps.trust_region import (
    Margin,
    OldPolicy,
    OneLimitConfig,
    Search,
    fisher_product,
    line_search,
    natural_direction,
    reach,
    surrogate_gradients,
)


@dataclass(frozen=True)
class PcpoConfig(OneLimitConfig):
    """Trust-region steps projected onto the limit."""

    projection: Literal["kl", "l2"] = "kl"
    "Which step within the limit counts as nearest: by KL divergence, or by the distance between parameters."

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection not in ("kl", "l2"):
            raise ValueError(f"projection is {self.projection!r}; allowed are kl and l2")


def projected(step: torch.Tensor, b: torch.Tensor, metric_b: torch.Tensor, c: float) -> torch.Tensor:
    """(2). step, b and M b (P,) -> (P,)."""
    beyond, length = float(b @ step) + c, float(b @ metric_b)
    return step - (beyond / length) * metric_b if beyond > 0.0 and length > 0.0 else step


class Pcpo:
    """Networks, a count of projections and the update."""

    def __init__(self, spaces: Spaces, config: PcpoConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        self.margin = Margin(config.margin_rate)
        self.projections = 0

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1) to (3), then the value functions."""
        cfg, actor = self.config, self.actor
        c = self.margin.excess(rollout, cfg.cost_limits[0][1])
        reward, cost = rollout.advantage
        advantage = torch.stack((standardised(reward), centred(cost)))
        old = OldPolicy.of(actor, rollout.obs, rollout.action)
        g, b = surrogate_gradients(actor, old, advantage)
        product = fisher_product(actor, old.inputs[:: cfg.fisher_every], cfg.damping)
        to_g = natural_direction(product, g, cfg)
        on_reward = reach(product, to_g, cfg.target_kl) * to_g  # (1)
        metric_b = natural_direction(product, b, cfg) if cfg.projection == "kl" else b
        step = projected(on_reward, b, metric_b, c)  # (2)
        self.projections += step is not on_reward
        search = Search(actor, old, advantage)
        share = line_search(  # (3)
            actor,
            actor.vector(),
            step,
            lambda: search.keeps_limit(cfg.target_kl, c),
            cfg.backtracks,
            cfg.shrink,
        )
        return search.figures(share) | {
            "projections": float(self.projections), "margin": self.margin.value,
            "loss_v": self.judge.learn(rollout)
        }  # fmt: skip

    def samples(self, base: int) -> int:
        """The same in every iteration."""
        return base

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "actor": self.actor.vector(), "judge": self.judge.state_dict(), "projections": self.projections,
            "margin": self.margin.value,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.judge.load_state_dict(state["judge"])
        self.projections = int(state["projections"])
        self.margin.value = float(state.get("margin", 0.0))  # older checkpoints have none
