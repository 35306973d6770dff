"""Adapters between our ``step`` and Safety-Gymnasium's, which returns the cost as a separate value:

observation, reward, cost, terminated, truncated, info.
"""

from typing import Any

import gymnasium

SixValues = tuple[Any, float, float, bool, bool, dict[str, Any]]
_PREFIX, _SUM = "cost_", "cost_sum"  # prefix of Safety-Gymnasium's costs in info, and its sum


class SixValueEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One of our environments for a program written for Safety-Gymnasium."""

    def step(self, action: Any) -> SixValues:  # type: ignore[override]
        """Moves the cost from info to the third value, its terms to ``cost_*`` entries."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        cost = float(info["cost"])
        kept = {name: value for name, value in info.items() if name not in ("cost", "cost_terms")}
        terms = {_PREFIX + name: value for name, value in info["cost_terms"].items()}
        return obs, float(reward), cost, terminated, truncated, {**kept, **terms, _SUM: cost}


class FiveValueEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A Safety-Gymnasium environment with our interface.

    ``info["cost_terms"]`` holds its ``cost_*`` entries without the prefix, or ``{"cost": cost}`` if it has
    none. Those names are known from the first step on: the info of an earlier reset has only the sum. Raises
    ValueError for a cost that is negative or not a number.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._names: tuple[str, ...] = ()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """A reset has cost 0."""
        obs, info = self.env.reset(seed=seed, options=options)
        return obs, {**info, "cost": 0.0, "cost_terms": dict.fromkeys(self._names, 0.0)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Moves the cost from the third value to info."""
        values: Any = self.env.step(action)
        if len(values) != 6:
            raise ValueError(f"step returned {len(values)} values; Safety-Gymnasium's returns 6, cost third")
        obs, reward, cost, terminated, truncated, info = values
        if not cost >= 0.0:
            raise ValueError(f"cost is {cost!r} after action {action!r}; it must be 0 or more")
        terms = {
            name.removeprefix(_PREFIX): float(value)
            for name, value in info.items()
            if name.startswith(_PREFIX) and name != _SUM
        } or {"cost": float(cost)}
        self._names = tuple(terms)
        return obs, float(reward), terminated, truncated, {**info, "cost": float(cost), "cost_terms": terms}


def to_six(env: gymnasium.Env[Any, Any]) -> SixValueEnv:
    """Our interface to Safety-Gymnasium's."""
    return SixValueEnv(env)


def from_six(env: gymnasium.Env[Any, Any]) -> FiveValueEnv:
    """Safety-Gymnasium's interface to ours."""
    return FiveValueEnv(env)
