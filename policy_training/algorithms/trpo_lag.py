"""TRPO-Lag: trust-region policy optimisation on the Lagrangian, one multiplier for each named cost.

Schulman, Levine, Moritz, Jordan, Abbeel 2015, arXiv:1502.05477;
the multipliers are in `multipliers`: Ray, Achiam, Amodei 2019, or PID control, Stooke, Achiam, Abbeel 2020.

    (1)  lambda_k <- [ lambda_k + Adam(J_k - d_k) ]_0^max, or PID, before the policy moves
    (2)  A = (A_r - sum_k lambda_k A_k) / (1 + sum_k lambda_k), A_r standardised, A_k centred
    (3)  x = F^-1 grad E[rho A]                                rho = pi(a|s) / pi_old(a|s)
    (4)  step = sqrt(2 d_KL / x^T F x) x, shortened until E KL(pi_old || pi) <= d_KL and E[rho A] has risen

Symbols: J_k mean undiscounted episode cost, d_k its limit, lambda_k multiplier [-], F Fisher matrix,
d_KL [nat].

Differs from the papers: several costs; damping on F; the value functions are fitted by Adam.
"""

from dataclasses import dataclass

import torch

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout
from policy_training.estimates.on_policy import Judge
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor
from policy_training.steps.multipliers import Multipliers, MultiplierSettings
from policy_training.steps.trust_region import OldPolicy, TrustRegionConfig, trpo_step


@dataclass(frozen=True)
class TrpoLagConfig(MultiplierSettings, TrustRegionConfig):
    """Trust-region steps on the Lagrangian."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_multipliers()


class TrpoLag:
    """Networks, multipliers and the update."""

    def __init__(self, spaces: Spaces, config: TrpoLagConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        self.multipliers = Multipliers(config.cost_limits, config)

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1) to (4), then the value functions."""
        self.multipliers.update(rollout.episode_costs)  # (1)
        advantage = self.multipliers.mixed(rollout.advantage)  # (2)
        old = OldPolicy.of(self.actor, rollout.obs, rollout.action)
        figures = trpo_step(self.actor, old, advantage, self.config)  # (3), (4)
        return figures | self.multipliers.figures() | {"loss_v": self.judge.learn(rollout)}

    def samples(self, base: int) -> int:
        """The same in every iteration."""
        return base

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "actor": self.actor.vector(), "judge": self.judge.state_dict(),
            "multipliers": self.multipliers.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.judge.load_state_dict(state["judge"])
        self.multipliers.load_state_dict(state["multipliers"])
