"""CRPO: step on the reward while the cost is within its limit plus a tolerance, otherwise on the cost.

Xu, Liang, Lan 2021, arXiv:2011.05869.

    (1)  J_c <= d + eta:  a trust-region step up E[rho A_r]      rho = pi(a|s) / pi_old(a|s)
    (2)  otherwise:       a trust-region step down E[rho A_c]
    (3)  the step is natural, sqrt(2 d_KL / x^T F x) x with x = F^-1 gradient, shortened until
         E KL(pi_old || pi) <= d_KL and the objective has gained

Symbols: J_c mean undiscounted episode cost, d its limit, eta tolerance [cost], F Fisher matrix, d_KL [nat].

Differs from the paper: the last policy is kept, not one drawn at random among those of (1); (3) instead of a
step of fixed size; advantages instead of Q values, and standardised, which does not change (3), so that it is
the same as OmniSafe's, which centres A_c (read at 15603dd); the tolerance does not fall with the length of
the run. `safety_start` iterations on reward alone are ESPO's experiments' [ESPO, D.2].
"""

from dataclasses import dataclass

import torch

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout, standardised
from policy_training.estimates.on_policy import Judge
from policy_training.experience.costs import check_limits
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor
from policy_training.steps.trust_region import OldPolicy, TrustRegionConfig, trpo_step


@dataclass(frozen=True)
class CrpoConfig(TrustRegionConfig):
    """A hard switch between reward and cost."""

    tolerance: float = 0.0
    "Tolerance above the limit up to which the step is on the reward [cost / episode]; OmniSafe takes 2."
    safety_start: int = 0
    "Iterations on reward alone at the start."

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.cost_limits, most=1)


class Crpo:
    """Networks, counts of modes and the update."""

    def __init__(self, spaces: Spaces, config: CrpoConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        self.modes = {"reward": 0, "cost": 0}

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1) or (2), then the value functions."""
        limit, allowed = self.config.cost_limits[0][1], self.config.tolerance
        early = sum(self.modes.values()) < self.config.safety_start
        mode = "reward" if early or rollout.episode_costs[0] <= limit + allowed else "cost"  # NaN: cost
        self.modes[mode] += 1
        advantage = rollout.advantage[0] if mode == "reward" else -rollout.advantage[1]
        old = OldPolicy.of(self.actor, rollout.obs, rollout.action)
        figures = trpo_step(self.actor, old, standardised(advantage), self.config)  # (3)
        counts = {f"mode/{name}": float(count) for name, count in self.modes.items()}
        return figures | counts | {"loss_v": self.judge.learn(rollout)}

    def samples(self, base: int) -> int:
        """The same in every iteration."""
        return base

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {"actor": self.actor.vector(), "judge": self.judge.state_dict(), "modes": dict(self.modes)}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.judge.load_state_dict(state["judge"])
        self.modes = dict(state["modes"])
