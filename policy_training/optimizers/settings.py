"""Settings of the algorithms that support layouts."""

import math
from dataclasses import dataclass
from typing import Literal

from policy_training.optimizers.layouts import ClipScope, Plan


@dataclass(frozen=True)
class LayoutSettings:
    """Which optimizer moves what. By default every network has an optimizer and a loss of its own."""

    layout: Literal["separate", "single", "grouped", "isolated", "shared"] = "separate"
    "Separate: networks of their own, the fastest. The others: policy_training/optimizers/layouts.py."
    trunk: Literal["disjoint", "shared"] = "disjoint"
    "Shared: all but the last layers are common, in any layout but separate."
    trunk_owner: str = ""
    "In isolated, the loss that moves a shared trunk: actor (the default), reward_critic, cost_critic."
    clip_scope: ClipScope = "global"
    "Whether gradients are clipped together or per loss, in any layout but separate."
    cost_critic_lr: float | None = None
    "Adam's rate for the cost critics; none means that of the reward critic."
    target_norm: Literal["none", "popart"] = "none"
    "PopArt: the value functions learn normalised targets, in any layout but separate."
    popart_rate: float = 0.1
    "Share of the newest targets in their running mean and deviation, in (0, 1]."

    def check_layout(self) -> None:
        """ValueError where a setting would have no effect."""
        said = {
            "trunk shared": self.trunk == "shared", "a cost_critic_lr": self.cost_critic_lr is not None,
            "target_norm popart": self.target_norm == "popart",
            "clip_scope loss": self.clip_scope == "loss",
        }  # fmt: skip
        idle = ", ".join(name for name, given in said.items() if given)
        if self.layout == "separate" and idle:
            raise ValueError(f"{idle}: of no effect in layout separate; say --layout isolated or another")
        if self.layout == "single" and self.cost_critic_lr is not None:
            raise ValueError("layout single has one rate for all; for a cost_critic_lr say --layout grouped")
        if self.trunk_owner and not (self.layout == "isolated" and self.trunk == "shared"):
            raise ValueError("trunk_owner is for layout isolated with trunk shared")
        if self.cost_critic_lr is not None and not self.cost_critic_lr > 0.0:
            raise ValueError(f"cost_critic_lr is {self.cost_critic_lr}; it must be above 0")

    def plan(self, longest: float = math.inf) -> Plan:
        """The layout; ValueError for separate, which has none."""
        return Plan(self.layout, self.clip_scope, longest, self.trunk_owner)  # type: ignore[arg-type]
