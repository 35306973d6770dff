"""Lagrange multipliers of named costs, one each, moved by how far the measured cost is from its limit.

By integral control, Ray, Achiam, Amodei 2019, sec. 5.2:

    (1)  lambda <- [ lambda + Adam(J - d) ]_0^max

or by PID control, Stooke, Achiam, Abbeel 2020, arXiv:2007.03964, Algorithm 2, which reacts to a cost above
its limit at once, and before that to a rising one:

    (2)  I <- [ I + K_I (J - d) ]_0^max
    (3)  lambda = [ K_P S(J - d) + I + K_D [ S(J) - S(J before) ]_+ ]_0^max

Symbols: J mean undiscounted episode cost, d its limit, S an exponential mean over iterations, `before` is
`pid_delay` iterations ago, [ ]_+ the larger of it and 0, max the cap `nu_max`. Either way

    (4)  A = (A_r - sum_k lambda_k A_k) / (1 + sum_k lambda_k)

whose scale does not grow with the multipliers. A_r is standardised over the iteration; A_k is centred alone,
as in the Safety Starter Agents (4151a28), OmniSafe (15603dd) and SafePO (8d0fa76), whose rates are the
defaults. So a multiplier is a price per unit of its cost, and a rate that suits costs of 0 or 1 a step is too
high for a cost of hundreds.

Differs from the papers: several costs; a cap. In (1) Adam's mean is dropped where the multiplier rests on an
end of its range: it would go on pushing there for some iterations after the cost has crossed its limit. In
(2) the cap holds for the integral too, which would otherwise wind up. S and the delay of (3) are
of Stooke's code (rlpyt f04f23d); ours is that S is bias-corrected and that there is no derivative before a
second iteration: both begin at 0 there, so that the first costs count little and then look like a rise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from policy_training.checkpoint import State
from policy_training.estimates.advantages import centred, standardised
from policy_training.experience.costs import Limits
from policy_training.optimizers.smoothing import Smoothed
from policy_training.steps.scalar_adam import ScalarAdam

Per = Literal["unit", "deviation"]  # scaling of A_k in (4)


@dataclass(frozen=True)
class MultiplierSettings:
    """How multipliers move."""

    initial_nu: float = 0.001
    "Every multiplier at the start."
    nu_max: float = math.inf
    "Cap of every multiplier; inf is none."
    nu_rule: Literal["adam", "pid"] = "adam"
    "What moves multipliers: Adam on the excess over the limit, or a PID controller."
    nu_lr: float = 0.035
    "Adam's rate for the multipliers."
    pid_kp: float = 0.1
    "PID: multiplier per excess over the limit, smoothed. The gains are OmniSafe's."
    pid_ki: float = 0.01
    "PID: multiplier per excess over the limit and iteration."
    pid_kd: float = 0.01
    "PID: multiplier per rise of the cost, smoothed."
    pid_smoothing: float = 0.95
    "PID: weight of an iteration's cost relative to that of the next one, in [0, 1)."
    pid_delay: int = 10
    "PID: the iterations over which a rise is taken."

    def check_multipliers(self) -> None:
        """ValueError for an invalid setting."""
        if not 0.0 <= self.initial_nu <= self.nu_max or not self.nu_max > 0.0:
            raise ValueError(
                f"initial_nu is {self.initial_nu}, nu_max {self.nu_max}; allowed is "
                "0 <= initial_nu <= nu_max, nu_max above 0, inf for no cap"
            )
        if self.nu_rule not in ("adam", "pid"):
            raise ValueError(f"nu_rule is {self.nu_rule!r}; allowed are adam and pid")
        gains = (self.pid_kp, self.pid_ki, self.pid_kd)
        if not all(0.0 <= gain < math.inf for gain in gains):
            raise ValueError(f"pid_kp, pid_ki, pid_kd are {gains}; they must be at least 0 and finite")
        if not (0.0 <= self.pid_smoothing < 1.0 and self.pid_delay >= 1):
            raise ValueError(
                f"pid_smoothing is {self.pid_smoothing}, pid_delay {self.pid_delay}; "
                "allowed are [0, 1) and at least 1"
            )


class Integral:
    """(1), of one multiplier."""

    def __init__(self, lr: float, largest: float) -> None:
        self.adam, self.largest = ScalarAdam(lr), largest

    def moved(self, value: float, cost: float, limit: float) -> float:
        """The multiplier after an iteration."""
        return self.adam.moved(value, limit - cost, 0.0, self.largest)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return dict(self.adam.state_dict())

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.adam.load_state_dict(state)


class Pid:
    """(2) and (3), of one multiplier."""

    def __init__(self, settings: MultiplierSettings) -> None:
        self.settings, self.integral = settings, settings.initial_nu
        self.excess, self.cost = Smoothed(settings.pid_smoothing), Smoothed(settings.pid_smoothing)
        self.before: list[float] = []  # S(J) of the last `pid_delay` iterations, the oldest first

    def moved(self, value: float, cost: float, limit: float) -> float:
        """The multiplier after an iteration, whatever it was before."""
        cfg = self.settings
        self.integral = _cut(self.integral + cfg.pid_ki * (cost - limit), cfg.nu_max)  # (2)
        excess, smooth = self.excess.take(cost - limit), self.cost.take(cost)
        rise = max(smooth - self.before[0], 0.0) if self.before else 0.0
        self.before = [*self.before, smooth][-cfg.pid_delay :]
        return _cut(cfg.pid_kp * excess + self.integral + cfg.pid_kd * rise, cfg.nu_max)  # (3)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "integral": self.integral, "before": list(self.before),
            "excess": self.excess.state_dict(), "cost": self.cost.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""
        self.integral, self.before = float(state["integral"]), list(state["before"])
        self.excess.load_state_dict(state["excess"])
        self.cost.load_state_dict(state["cost"])


class Multipliers:
    """The multipliers of all limits."""

    def __init__(self, limits: Limits, settings: MultiplierSettings, per: Per = "unit") -> None:
        self.per = per
        self.names, self.limits = zip(*limits, strict=True)
        self.values = [settings.initial_nu] * len(self.names)
        self.rules: list[Integral | Pid] = [
            Pid(settings) if settings.nu_rule == "pid" else Integral(settings.nu_lr, settings.nu_max)
            for _ in self.names
        ]

    def update(self, costs: Sequence[float]) -> None:
        """costs (K,): mean undiscounted episode sums, in the order of the names."""
        self.values = [
            rule.moved(value, cost, limit)
            for rule, value, cost, limit in zip(self.rules, self.values, costs, self.limits, strict=True)
        ]

    def mixed(self, advantage: Tensor) -> Tensor:
        """(4). advantage (1 + K, T) -> (T,)."""
        total = standardised(advantage[0])
        for value, row in zip(self.values, advantage[1:], strict=True):
            total = total - value * centred(row)
        return total / (1.0 + sum(self.values))

    def figures(self) -> dict[str, float]:
        """For the log."""
        return {f"nu/{name}": value for name, value in zip(self.names, self.values, strict=True)}

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "values": list(self.values), "rules": [rule.state_dict() for rule in self.rules],
            "per": self.per,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`. ValueError for multipliers that price something else."""
        saved_per = state.get("per", "deviation")  # older checkpoints do not say
        if saved_per != self.per:
            raise ValueError(
                f"this checkpoint's multipliers are a price per {saved_per} of the cost advantages; here "
                f"they are one per {self.per}, and would mean something else. Its policy can be evaluated "
                "and exported; to train on, start a new run"
            )
        self.values = [float(value) for value in state["values"]]
        for rule, saved in zip(
            self.rules, state["rules"] if "rules" in state else state["adams"], strict=True
        ):
            rule.load_state_dict(saved)


def _cut(value: float, largest: float) -> float:
    """Clipped to [0, largest]; NaN stays NaN, which stops the run."""
    return min(max(value, 0.0), largest)
