"""PCRPO: projection constraint-rectified policy optimisation, a soft switch between reward and cost.

Gu, Sel, Ding, Wang, Lin, Jin, Knoll 2024 (AAAI), arXiv:2405.01677; the equations as ESPO (arXiv:2405.20860,
sec. 4.1) restates them.

    (1)  J > b + h+:             follow g_c
    (2)  b + h- <= J <= b + h+:  g_r . g_c < 0:  follow x_r P(g_r, g_c) + x_c P(g_c, g_r)
                                 else:           follow x_r g_r + x_c g_c
    (3)  J < b + h-:             follow g_r

Symbols: J mean undiscounted episode cost, b its limit, h+ >= 0 and h- <= 0 slacks, all in the cost's unit;
g_r, g_c ascent directions of the reward and of minus the cost; P(u, v) = u - (u.v / |v|^2) v; x_r + x_c = 1
[-].

    variant    h+      h-      over the run   updates in use
    2SR        +inf    0       constant       (2), (3): reward first
    4S-G       20      -20     to zero        all four
    4S         20      -20     constant       all four
    2S         0       -inf    constant       (1), (2): safety first

Differs from the paper, or is not stated there: x_r = 1/2 [second hand]; "to zero" is linear, ESPO's own rule
h <- h - h / T is `geometric` [not found]; the numbers of 4S [not found]; the name 2S, the mirror of 2SR,
which ESPO's Reacher uses [derived]; directions are natural-gradient displacements as in the first author's
later code, `raw` combines plain gradients [not found]; at 180 degrees the directions cancel, the policy is
not moved and `opposite` counts it [ours]. Value functions are fitted by Adam, both in every iteration, not by
L-BFGS in the branch that needs them. CRPO's hard switch is the limit case --slack-above 0 --slack-below 0.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch

from policy_training.checkpoint import State
from policy_training.estimates.advantages import Rollout
from policy_training.estimates.on_policy import Judge
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor
from policy_training.steps.gradient_manipulation import Schedule
from policy_training.steps.switching import Switch, SwitchConfig, check_slacks, follow

VARIANTS: dict[str, tuple[float, float, Schedule]] = {
    "2SR": (math.inf, 0.0, "constant"),
    "4S-G": (20.0, -20.0, "linear"),
    "4S": (20.0, -20.0, "constant"),
    "2S": (0.0, -math.inf, "constant"),
}


@dataclass(frozen=True)
class PcrpoConfig(SwitchConfig):
    """A soft switch around the limit."""

    variant: Literal["2SR", "4S-G", "4S", "2S"] = "4S-G"
    "Which slacks, and how they shrink."
    slack_above: float | None = None
    "Instead of the variant's: how far above the limit both objectives count [cost], >= 0; inf is allowed."
    slack_below: float | None = None
    "Instead of the variant's: how far below the limit both objectives count [cost], <= 0; -inf is allowed."
    slack_decay: Schedule | None = None
    "Schedule of the slacks instead of the variant's."

    def __post_init__(self) -> None:
        super().__post_init__()
        check_slacks(*self.slacks()[:2])

    def slacks(self) -> tuple[float, float, Schedule]:
        """h+, h- and their schedule."""
        above, below, schedule = VARIANTS[self.variant]
        return (
            above if self.slack_above is None else self.slack_above,
            below if self.slack_below is None else self.slack_below,
            self.slack_decay or schedule,
        )


class Pcrpo:
    """Networks, the switch and the update."""

    def __init__(self, spaces: Spaces, config: PcrpoConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.actor = GaussianActor(spaces, config.hidden, config.initial_std)
        self.judge = Judge(spaces, config, seed)
        self.switch = Switch(config, *config.slacks())

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """(1), (2) or (3), then the value functions."""
        mode = self.switch.choose(rollout.episode_costs[0], progress)
        found, figures = follow(self.actor, rollout, mode, self.config)
        return self.switch.count(mode, found) | figures | {"loss_v": self.judge.learn(rollout)}

    def samples(self, base: int) -> int:
        """The same in every iteration."""
        return base

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "actor": self.actor.vector(), "judge": self.judge.state_dict(),
            "switch": self.switch.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.actor.set_vector(state["actor"])
        self.judge.load_state_dict(state["judge"])
        self.switch.load_state_dict(state["switch"])
