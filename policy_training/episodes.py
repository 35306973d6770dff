"""Deterministic episodes of a policy: numpy only, so that a worker process starts without torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
ActionRule = Callable[[Array], Array]  # obs (O,) -> action (A,) in [-1, 1]

TRAINING_SEEDS = 0  # first seed of each range; a range is a million long
VALIDATION_SEEDS = 1_000_000
HELD_OUT_SEEDS = 2_000_000


def make_env(env_id: str, options: Mapping[str, float] | None = None) -> gymnasium.Env[Array, Array]:
    """An environment by its id, with keyword arguments of its own, without Gymnasium's per-step checks."""
    if env_id.startswith("spillguard/"):
        from sim.registration import ensure_registered

        ensure_registered()
    try:
        keywords: dict[str, Any] = dict(options or {})
        return gymnasium.make(env_id, disable_env_checker=True, **keywords)
    except gymnasium.error.UnregisteredEnv as error:
        known = ", ".join(sorted(k for k in gymnasium.registry if k.startswith("spillguard/")))
        raise ValueError(f"unknown environment {env_id!r}; ours are {known}") from error
    except TypeError as error:
        raise ValueError(f"{env_id} does not take {dict(options or {})}: {error}") from error


@dataclass(frozen=True)
class MlpPolicy:
    """The deterministic actor as plain arrays: scaling, ReLU layers, tanh at the end."""

    shift: Array  # (O,)
    scale: Array  # (O,)
    layers: tuple[tuple[Array, Array], ...]  # weight (out, in), bias (out,); the last gives A means

    def __call__(self, obs: Array) -> Array:
        """obs (O,) -> action (A,)."""
        x = (obs - self.shift) / self.scale
        for weight, bias in self.layers[:-1]:
            x = np.maximum(weight @ x + bias, 0.0)
        weight, bias = self.layers[-1]
        return np.tanh(weight @ x + bias)


@dataclass(frozen=True)
class MeanPolicy:
    """The mean of a Gaussian actor as plain arrays: scaling, tanh layers, nothing at the end."""

    shift: Array  # (O,)
    scale: Array  # (O,)
    farthest: float  # scaled observations are cut to plus and minus this
    layers: tuple[tuple[Array, Array], ...]  # weight (out, in), bias (out,)

    def __call__(self, obs: Array) -> Array:
        """obs (O,) -> mean action (A,), unbounded."""
        x = (obs.astype(np.float32) - self.shift) / self.scale
        x = np.minimum(np.maximum(x, -self.farthest), self.farthest)
        for weight, bias in self.layers[:-1]:
            x = np.tanh(weight.dot(x) + bias)
        weight, bias = self.layers[-1]
        return weight.dot(x) + bias


@dataclass(frozen=True)
class Episodes:
    """Outcomes of K episodes."""

    seeds: NDArray[np.int64]  # (K,)
    returns: NDArray[np.float64]  # (K,)
    costs: NDArray[np.float64]  # (K,)
    success: NDArray[np.bool_]  # (K,)
    lengths: NDArray[np.int64]  # (K,) [steps]

    def score(self) -> tuple[float, float]:
        """Success rate, then mean return: what `best` is chosen by."""
        return float(self.success.mean()), float(self.returns.mean())


def run_episodes(
    env_id: str, policy: ActionRule, seeds: Sequence[int], options: Mapping[str, float] | None = None
) -> Episodes:
    """One episode per seed."""
    env = make_env(env_id, options)
    rows = [run_episode(env, policy, seed) for seed in seeds]
    env.close()
    returns, costs, success, lengths = zip(*rows, strict=True)
    return Episodes(
        np.asarray(seeds, dtype=np.int64),
        np.array(returns),
        np.array(costs),
        np.array(success),
        np.array(lengths),
    )


def run_episode(
    env: gymnasium.Env[Array, Array], policy: ActionRule, seed: int
) -> tuple[float, float, bool, int]:
    """Return, cost, success and length [steps] of one episode."""
    obs, _ = env.reset(seed=seed)
    total = cost = 0.0
    steps, success, ended = 0, False, False
    while not ended:
        obs, reward, terminated, truncated, info = env.step(policy(obs))
        total, cost, steps = total + float(reward), cost + float(info.get("cost", 0.0)), steps + 1
        success, ended = bool(info.get("success", False)), terminated or truncated
    return total, cost, success, steps
