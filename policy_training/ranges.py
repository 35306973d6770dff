"""The allowed range of every number in a configuration, by name, for all algorithms and loops. A number
without a range is not checked; a test verifies that all have one.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, get_type_hints

from typeguard import TypeCheckError, check_type


@dataclass(frozen=True)
class Range:
    """An interval of allowed values. Infinity is allowed only where an end is infinite and closed."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Whether the value is allowed; NaN never is."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            finite = " and finite" if self.open_high else ""
            return f"{'above' if self.open_low else 'at least'} {self.low:g}{finite}"
        return (
            f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"
        )


COUNT, WHOLE = Range(1), Range(0)  # of whole numbers
SHARE, BELOW_ONE = Range(0.0, 1.0), Range(0.0, 1.0, open_high=True)
PART = Range(0.0, 1.0, open_low=True)  # greater than 0
POSITIVE = Range(0.0, open_low=True, open_high=True)
NOT_NEGATIVE = Range(0.0, open_high=True)
FINITE = Range(open_low=True, open_high=True)
RANGES = {
    # networks and batches
    "hidden": COUNT, "critic_members": Range(1, 2), "batch_size": COUNT, "meta_batch_size": COUNT,
    "critic_batch": COUNT, "policy_batch": COUNT, "critic_epochs": COUNT, "policy_epochs": COUNT,
    "candidates": COUNT, "meta_interval": COUNT,
    "pos_fraction": SHARE, "prior_fraction": SHARE, "capacity": COUNT, "violation_capacity": COUNT,
    "initial_capacity": COUNT,
    # discounts and averages
    "gamma": SHARE, "gamma_c": SHARE, "lam": SHARE, "lam_c": SHARE, "tau": PART, "policy_rho": BELOW_ONE,
    "popart_rate": PART, "ema_decay": BELOW_ONE,
    # rates
    "policy_lr": POSITIVE, "critic_lr": POSITIVE, "cost_critic_lr": POSITIVE, "meta_lr": POSITIVE,
    "nu_lr": NOT_NEGATIVE, "pid_kp": NOT_NEGATIVE, "pid_ki": NOT_NEGATIVE, "pid_kd": NOT_NEGATIVE,
    "pid_smoothing": BELOW_ONE, "pid_delay": COUNT, "alpha_lr": NOT_NEGATIVE, "eps_lr": NOT_NEGATIVE,
    "violations_rate": PART,
    "policy_lr_final": SHARE,
    "max_grad_norm": Range(0.0, open_low=True),
    # measured violations
    "violations": Range(1e-3, 1.0, open_high=True), "violations_wait": WHOLE,
    # multipliers and weights
    "initial_nu": NOT_NEGATIVE, "nu_max": Range(0.0, open_low=True), "nu_min": POSITIVE,
    "initial_alpha": POSITIVE,
    "alpha_max": POSITIVE, "initial_eps": Range(1e-9, 1.0), "eps_max": PART, "eps": SHARE,
    "eps_limits": SHARE, "cost_limits": NOT_NEGATIVE, "critic_l2": NOT_NEGATIVE,
    "critic_weight": NOT_NEGATIVE, "entropy_weight": NOT_NEGATIVE, "imitation": NOT_NEGATIVE,
    "target_entropy": FINITE, "tolerance": NOT_NEGATIVE,
    # steps of a policy
    "initial_std": POSITIVE, "clip": POSITIVE, "target_kl": Range(0.0, open_low=True),
    "cg_iterations": COUNT, "cg_residual": NOT_NEGATIVE, "damping": NOT_NEGATIVE, "fisher_every": COUNT,
    "backtracks": COUNT, "shrink": Range(0.0, 1.0, open_low=True, open_high=True), "margin_rate": SHARE,
    "accept_ratio": BELOW_ONE, "x_r": SHARE, "safety_start": WHOLE, "slack_above": Range(0.0),
    "slack_below": Range(high=0.0), "zeta_more": NOT_NEGATIVE,
    "zeta_fewer": Range(-1.0, 0.0, open_low=True),
    # loops
    "seed": WHOLE, "steps": WHOLE, "iterations": WHOLE, "samples": COUNT, "warmup": WHOLE, "envs": COUNT,
    "processes": WHOLE, "utd": NOT_NEGATIVE, "noise_correlation": BELOW_ONE, "prior_episodes": WHOLE,
    "prior_noise": NOT_NEGATIVE, "pretrain": WHOLE, "shaping": NOT_NEGATIVE, "training_env": FINITE,
    "eval_every": COUNT, "eval_episodes": COUNT, "checkpoint_every": COUNT, "log_every": COUNT,
    # learned optimizers
    "units": COUNT, "reset_interval": COUNT, "inner_updates": COUNT, "rollout": COUNT, "unit_games": COUNT,
    "std": POSITIVE, "rescale": NOT_NEGATIVE,
}  # fmt: skip


def check_ranges(config: Any, **own: Range) -> None:
    """ValueError, with the range, if a number of this dataclass is outside it. None is not checked. `own`
    holds ranges, by name, that are narrower for this dataclass.
    """
    ranges = RANGES | own
    for field in dataclasses.fields(config):
        for value in _numbers(getattr(config, field.name)) if field.name in ranges else ():
            if not ranges[field.name].holds(value):
                raise ValueError(f"{field.name} is {value}; it must be {ranges[field.name]}")


def _numbers(value: Any) -> list[float]:
    """The numbers in a field: itself, those of a tuple, of (name, number) pairs, or of a dictionary."""
    if isinstance(value, dict):
        return [number for number in value.values() if not isinstance(number, str)]
    if isinstance(value, tuple):
        return [one[1] if isinstance(one, tuple) else one for one in value]
    return [] if value is None or isinstance(value, str | bool) else [value]


def check_types(config: Any) -> None:
    """ValueError if a field is not of its annotated type, as in a file edited by hand."""
    for name, kind in get_type_hints(type(config)).items():
        try:
            check_type(getattr(config, name), kind)
        except TypeCheckError as error:
            raise ValueError(f"{name} is {getattr(config, name)!r}: {error}") from None
