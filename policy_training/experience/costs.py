"""Named costs of an environment, and checks of the signals that it reports."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

SCALAR = "cost"  # the name that stands for info["cost"]; any other is one of info["cost_terms"]
Limits = Sequence[tuple[str, float]]  # name of a cost, its limit


class BadSignalError(FloatingPointError):
    """An environment reported an invalid reward or cost."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(step, what)
        self.step, self.what = step, what

    def __str__(self) -> str:
        return self.what


def costs_of(info: Mapping[str, Any], names: Sequence[str], step: int) -> list[float]:
    """The named costs of one step; `BadSignalError` where one is missing, negative or no number."""
    values = []
    for name in names:
        terms = info if name == SCALAR else info.get("cost_terms", {})
        if name not in terms:
            known = [SCALAR] if SCALAR in info else []
            known += list(info.get("cost_terms", {}))
            told = ", ".join(known) or "none"
            raise BadSignalError(step, f"no cost {name!r}; the environment reports {told}")
        value = float(terms[name])
        if not 0.0 <= value < math.inf:
            raise BadSignalError(step, f"cost {name!r} is {value}, it has to be finite and >= 0")
        values.append(value)
    return values


def check_limits(limits: Limits, most: int | None = None) -> None:
    """ValueError unless there are 1 to `most` limits and each can be met."""
    names = [name for name, _ in limits]
    for name, limit in limits:
        if not 0.0 <= limit < math.inf:
            raise ValueError(f"the limit of cost {name!r} is {limit}; it must be finite and >= 0")
    if not limits:
        raise ValueError("no cost limit; say --cost-limits NAME LIMIT, for example --cost-limits cost 25")
    if len(set(names)) < len(names):
        raise ValueError(f"limits for {', '.join(names)}: a cost has one limit")
    if most is not None and len(names) > most:
        raise ValueError(
            f"limits for {', '.join(names)}: allowed is {most}; ppo_lag and trpo_lag take several"
        )
