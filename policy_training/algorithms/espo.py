"""ESPO: efficient safe policy optimisation, whose iterations are longer where reward and cost disagree.

Gu, Shi, Ding, Knoll, Spanos, Wierman, Jin 2024 (NeurIPS), arXiv:2405.20860. Numbers are the paper's.

    (2)  J > b + h+:             follow g_c
    (3)  b + h- <= J <= b + h+,  g_r . g_c < 0:  follow x_r P(g_r, g_c) + x_c P(g_c, g_r)
    (4)                          else:           follow x_r g_r + x_c g_c
    (5)  J < b + h-:             follow g_r
    (6)  after (3):              the next iteration has X + X zeta+ steps
    (7)  after (2), (4), (5):    the next iteration has X + X zeta- steps

Symbols: J mean undiscounted episode cost, b its limit, h+ >= 0 and h- <= 0 slacks, all in the cost's unit;
g_r, g_c ascent directions of the reward and of minus the cost; P(u, v) = u - (u.v / |v|^2) v; x_r + x_c = 1
[-]; X base size [steps], always the same; zeta+ >= 0 and -1 < zeta- <= 0 [-].

Differs from the paper, or is not stated there: Algorithm 1 has (3) and (4) the wrong way round, sec. 4.1 is
followed; the first iterations, on reward alone, have the size of (7), without which the paper's total for
Reacher is out of reach [derived]; x_r = 1/2 and which slacks and zetas shrink [not found], by default none;
directions are natural-gradient displacements as in the first author's later code, `raw` combines plain
gradients [not found]; at 180 degrees the directions cancel, the policy is not moved and `opposite` counts it
[ours]. Value functions are fitted by Adam, both in every iteration, not by L-BFGS in the branch that needs
them.
"""

from dataclasses import dataclass

import torch

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout
from policy_training.estimates.on_policy import Judge
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor
from policy_training.steps.gradient_manipulation import Schedule, sample_size
from policy_training.steps.switching import Decay, Switch, SwitchConfig, check_slacks, follow


@dataclass(frozen=True)
class EspoConfig(SwitchConfig):
    """A soft switch around the limit, and a sample size by conflict."""

    slack_above: float = 20.0
    "How far above the limit reward and cost both still count [cost], >= 0; inf is allowed."
    slack_below: float = -20.0
    "How far below the limit reward and cost both already count [cost], <= 0; -inf is allowed."
    slack_decay: Schedule = "constant"
    "Schedule of the slacks; geometric is that of the paper's Algorithm 1."
    zeta_more: float = 0.1
    "Share by which the next iteration is longer where reward and cost disagree, >= 0."
    zeta_fewer: float = -0.4
    "Share by which the next iteration is longer where they do not, above -1, at most 0."
    zeta_decay: Schedule = "constant"
    "Schedule of both zetas; geometric is that of the paper's Algorithm 1."

    def __post_init__(self) -> None:
        super().__post_init__()
        check_slacks(self.slack_above, self.slack_below)


class Espo:
    """Networks, the switch and the update."""

    def __init__(self, spaces: Spaces, config: EspoConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        self.switch = Switch(config, config.slack_above, config.slack_below, config.slack_decay)
        self.zetas = Decay(config.zeta_decay)

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(2) to (5), then the value functions."""
        mode = self.switch.choose(rollout.episode_costs[0], progress)
        self.zetas.advance(progress)
        found, figures = follow(self.actor, rollout, mode, self.config)
        return self.switch.count(mode, found) | figures | {"loss_v": self.judge.learn(rollout)}

    def samples(self, base: int) -> int:
        """(6) or (7), by the last iteration; (7) before the first."""
        cfg, factor = self.config, self.zetas.factor
        return sample_size(base, self.switch.conflict, cfg.zeta_more * factor, cfg.zeta_fewer * factor)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "actor": self.actor.vector(), "judge": self.judge.state_dict(),
            "switch": self.switch.state_dict(), "zetas": self.zetas.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.judge.load_state_dict(state["judge"])
        self.switch.load_state_dict(state["switch"])
        self.zetas.load_state_dict(state["zetas"])
