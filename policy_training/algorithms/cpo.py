"""CPO: the best step within a KL divergence whose linearised cost keeps to the limit.

Achiam, Held, Tamar, Abbeel 2017, arXiv:1705.10528.

    (1)  max g^T x   with   c + b^T x <= 0   and   x^T F x / 2 <= d_KL
    (2)  q = g^T F^-1 g,   r = g^T F^-1 b,   s = b^T F^-1 b
    (3)  x = sqrt(2 d_KL / q) F^-1 g                                              where that keeps the limit
         x = -c/s F^-1 b + sqrt((2 d_KL - c^2/s) / a) F^-1 h                      elsewhere
           h = g - r/s b,   a = h^T F^-1 h = q - r^2/s
    (4)  where no x meets both:  x = -sqrt(2 d_KL / s) F^-1 b      recovery
    (5)  x is shortened until E KL <= d_KL, E[rho A_c] has not grown by more than [ -c ]_+, and, unless c > 0,
         E[rho A_r] has not fallen

Symbols: g = grad E[rho A_r], b = grad E[rho A_c] in cost / step, rho = pi(a|s) / pi_old(a|s), F Fisher
matrix, c = (J_c - d + m) / L [cost / step], J_c mean undiscounted episode cost, d its limit, L mean length
[steps], m a margin (`Margin`, 0 unless margin_rate says more), d_KL [nat].

Where (3) comes from. The paper finds x by the minimum of a dual in two parts. Written out it is a point of
the plane c + b^T x = 0: -c/s F^-1 b is where that plane is nearest to the old policy, h the part of g along
it, and the root how far it is from there to the rim. a is computed from h, not as q - r^2/s: where g and b
are nearly parallel that difference is made of rounding errors.

Units of c. b is the slope of a mean over steps, so b^T x predicts by how much the cost of a step changes. An
episode has L steps, so J_c changes by L b^T x, and J_c + L b^T x <= d is c + b^T x <= 0 with c as above. With
c = J_c - d a distance to the limit looks L times as long as it is: above the limit (4) is taken even where
(3) has a solution, and below it the limit is ignored until it is reached. A_c is centred and keeps its scale
for the same reason.

Differs from the paper: J_c and d are undiscounted, as benchmarks measure them, where the paper has discounted
ones, with c = J_c - d and 1 / (1 - gamma) instead of L; A_c stays discounted, so that b^T x predicts less
than the whole change; the margin m. Damping on F. Value functions are fitted by Adam. Differs from others:
code that came after the paper divides by L as here, OmniSafe does not any more (read at 15603dd), and there r
enters the limit's multiplier with the sign of a g of the loss, not of the reward.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

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
    surrogate_gradients,
)

Case = Literal["free", "bound", "recovery"]
CASES: tuple[Case, ...] = ("free", "bound", "recovery")


@dataclass(frozen=True)
class CpoConfig(OneLimitConfig):
    """Constrained trust-region steps; the settings are the trust region's."""


def solve_quadratic(
    g: Tensor, b: Tensor, to_g: Tensor, to_b: Tensor, c: float, target_kl: float
) -> tuple[Tensor, Case]:
    """(3) or (4). g, b, F^-1 g, F^-1 b (P,) -> x (P,), and how the limit cuts the trust region.

    free: all of the region keeps the limit; bound: a part; recovery: none.
    """
    region, q, s = 2.0 * target_kl, float(g @ to_g), float(b @ to_b)
    still = torch.zeros_like(g)
    free = math.sqrt(region / q) * to_g if q > 0.0 else still
    if not s > 0.0:  # the policy has no effect on the cost
        return (free, "free") if c <= 0.0 else (still, "recovery")
    room = region - c * c / s
    if not room > 0.0:
        return (free, "free") if c < 0.0 else (-math.sqrt(region / s) * to_b, "recovery")
    if c + float(b @ free) <= 0.0:
        return free, "bound"
    h, to_h = g, to_g
    for _ in range(2):  # the second time removes the part along b that rounding left
        share = float(b @ to_h) / s
        h, to_h = h - share * b, to_h - share * to_b
    a, nearest = float(h @ to_h), (-c / s) * to_b
    if a > q * (16.0 * torch.finfo(g.dtype).eps) ** 2:
        return nearest + math.sqrt(room / a) * to_h, "bound"
    return nearest, "bound"  # g lies along b: h is a rounding error, its direction meaningless


class Cpo:
    """Networks, counts of cases and the update."""

    def __init__(self, spaces: Spaces, config: CpoConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        self.margin = Margin(config.margin_rate)
        self.cases = dict.fromkeys(CASES, 0)

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1) to (5), then the value functions."""
        cfg, actor = self.config, self.actor
        c = self.margin.excess(rollout, cfg.cost_limits[0][1])
        reward, cost = rollout.advantage
        advantage = torch.stack((standardised(reward), centred(cost)))
        old = OldPolicy.of(actor, rollout.obs, rollout.action)
        g, b = surrogate_gradients(actor, old, advantage)
        product = fisher_product(actor, old.inputs[:: cfg.fisher_every], cfg.damping)
        to_g, to_b = (natural_direction(product, v, cfg) for v in (g, b))
        step, case = solve_quadratic(g, b, to_g, to_b, c, cfg.target_kl)
        self.cases[case] += 1
        search = Search(actor, old, advantage)
        share = line_search(  # (5)
            actor,
            actor.vector(),
            step,
            lambda: search.keeps_limit(cfg.target_kl, c),
            cfg.backtracks,
            cfg.shrink,
        )
        counts = {f"case/{name}": float(count) for name, count in self.cases.items()}
        told = {"margin": self.margin.value, "loss_v": self.judge.learn(rollout)}
        return search.figures(share) | counts | told

    def samples(self, base: int) -> int:
        """The same in every iteration."""
        return base

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "actor": self.actor.vector(), "judge": self.judge.state_dict(), "cases": dict(self.cases),
            "margin": self.margin.value,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.judge.load_state_dict(state["judge"])
        self.cases = dict(state["cases"])
        self.margin.value = float(state.get("margin", 0.0))  # older checkpoints have none
