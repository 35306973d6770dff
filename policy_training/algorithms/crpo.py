"""CRPO: step on the reward while the cost is within its limit plus a tolerance, otherwise on the cost.

Xu, Liang, Lan 2021, arXiv:2011.05869.

    (1)  J_c <= d + eta:  a trust-region step up E[rho A_r]      rho = pi(a|s) / pi_old(a|s)
    (2)  otherwise:       a trust-region step down E[rho A_c]
    (3)  the step is natural, sqrt(2 d_KL / x^T F x) x with x = F^-1 gradient, shortened until
         E KL(pi_old || pi) <= d_KL and the objective has gained

Symbols: J_c mean undiscounted episode cost, d its limit, eta tolerance [cost], F Fisher matrix, d_KL [nat].

Differs from the paper: the last policy is kept and not one drawn at random among those of (1); (3) in the
place of a step of fixed size; advantages in the place of Q values; the tolerance does not fall with the
length of the run. `safety_start` iterations on reward alone are ESPO's experiments' [ESPO, D.2].
"""

from dataclasses import dataclass

import torch

from policy_training.advantages import Rollout, standardised
from policy_training.checkpoint import State
from policy_training.costs import check_limits
from policy_training.gaussian import GaussianActor
from policy_training.networks import Spaces
from policy_training.on_policy import Judge
from policy_training.trust_region import OldPolicy, TrustRegionConfig, trpo_step


@dataclass(frozen=True)
class CrpoConfig(TrustRegionConfig):
    """A hard switch between reward and cost."""

    tolerance: float = 0.0
    "eta: how far above its limit a cost still lets the reward step [cost / episode]; OmniSafe takes 2."
    safety_start: int = 0
    "Iterations on reward alone at the start."

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.cost_limits, most=1)
        if not 0.0 <= self.tolerance < float("inf"):
            raise ValueError(f"tolerance is {self.tolerance}; it must be at least 0 and finite")
        if self.safety_start < 0:
            raise ValueError(f"safety_start is {self.safety_start}; it must be at least 0")


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
        mode = "reward" if early or rollout.episode_costs[0] <= limit + allowed else "cost"  # no number: cost
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
        """Everything that an exact continuation needs."""
        return {"actor": self.actor.vector(), "judge": self.judge.state_dict(), "modes": dict(self.modes)}

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.judge.load_state_dict(state["judge"])
        self.modes = dict(state["modes"])
