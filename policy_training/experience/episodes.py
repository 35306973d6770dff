"""Deterministic episodes of a policy: numpy only, so that a worker process starts without torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, SupportsFloat

import gymnasium
import numpy as np
from numpy.typing import NDArray

from policy_training.experience.environments import Array, make_env
from policy_training.interruption import InterruptedTrainingError, stopping

ActionRule = Callable[[Array], Array]  # obs (O,) -> action (A,) in [-1, 1]

TRAINING_SEEDS = 0  # first seed of each range; a range is a million long
VALIDATION_SEEDS = 1_000_000
HELD_OUT_SEEDS = 2_000_000


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
    """The mean of a Gaussian actor as plain arrays: scaling, tanh layers, no activation at the end."""

    shift: Array  # (O,)
    scale: Array  # (O,)
    farthest: float  # scaled observations are clipped to plus and minus this
    layers: tuple[tuple[Array, Array], ...]  # weight (out, in), bias (out,)

    def __call__(self, obs: Array) -> Array:
        """obs (O,) -> mean action (A,), unbounded."""
        x = (obs.astype(np.float32) - self.shift) / self.scale
        x = np.minimum(np.maximum(x, -self.farthest), self.farthest)
        for weight, bias in self.layers[:-1]:
            x = np.tanh(weight.dot(x) + bias)
        weight, bias = self.layers[-1]
        return weight.dot(x) + bias


class Transition(NamedTuple):
    """One step of an environment."""

    obs: Array  # (O,) that the action answers
    action: Array  # (A,)
    next_obs: Array  # (O,) where the action led
    reward: SupportsFloat
    terminated: bool
    truncated: bool
    info: dict[str, Any]


@dataclass(frozen=True)
class Episodes:
    """Outcomes of K episodes."""

    seeds: NDArray[np.int64]  # (K,)
    returns: NDArray[np.float64]  # (K,)
    costs: NDArray[np.float64]  # (K,)
    success: NDArray[np.bool_]  # (K,)
    lengths: NDArray[np.int64]  # (K,) [steps]

    def score(self) -> tuple[float, float]:
        """Success rate, then mean return: the order by which the best checkpoint is chosen."""
        return float(self.success.mean()), float(self.returns.mean())


def run_episodes(
    env_id: str,
    policy: ActionRule,
    seeds: Sequence[int],
    options: Mapping[str, float | str | bool] | None = None,
) -> Episodes:
    """One episode per seed. `InterruptedTrainingError` if the stop flag is set before the last one has
    ended."""
    env = make_env(env_id, options)
    try:
        rows = [run_episode(env, policy, seed) for seed in seeds]
    finally:
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
    total = cost = 0.0
    steps, success = 0, False
    for step in transitions(env, policy, seed):
        total += float(step.reward)
        cost += float(step.info.get("cost", 0.0))
        success, steps = bool(step.info.get("success", False)), steps + 1
    return total, cost, success, steps


def transitions(env: gymnasium.Env[Array, Array], policy: ActionRule, seed: int) -> Iterator[Transition]:
    """One episode, from a reset with this seed until it is terminated or truncated.

    `InterruptedTrainingError` before the next step if the stop flag is set.
    """
    obs, _ = env.reset(seed=seed)
    ended = False
    while not ended:
        if stopping():
            raise InterruptedTrainingError
        action = policy(obs)
        next_obs, reward, terminated, truncated, info = env.step(action)
        yield Transition(obs, action, next_obs, reward, terminated, truncated, info)
        obs, ended = next_obs, terminated or truncated
