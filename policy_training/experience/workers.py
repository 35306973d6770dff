"""N environments, in this process or one worker process each, so that physics overlaps with gradients.

Episodes are reset with seeds that the caller chooses, and an environment's state is its seed and the actions
since: a checkpoint stores those and replays them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_training.experience.costs import SCALAR, costs_of
from policy_training.experience.environments import Array, make_env
from policy_training.worker_processes import LocalWorker, ProcessWorker, Worker


@dataclass(frozen=True)
class Step:
    """The results of a step of N environments."""

    obs: Array  # (N, O) where the next action starts: after a reset, if the episode ended
    next_obs: Array  # (N, O) where the action led
    reward: NDArray[np.float64]  # (N,)
    costs: NDArray[np.float64]  # (N, 1 + K) the scalar cost, then the named ones that were asked for
    terminated: NDArray[np.bool_]  # (N,)
    truncated: NDArray[np.bool_]  # (N,)
    success: NDArray[np.bool_]  # (N,)

    @property
    def cost(self) -> NDArray[np.float64]:
        """(N,) the scalar cost."""
        return self.costs[:, 0]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """(N,) terminated or truncated."""
        return self.terminated | self.truncated


Row = tuple[Array, Array, float, list[float], bool, bool, bool]  # one environment's part of a `Step`


class EpisodeStepper:
    """Steps one environment, one episode after the other."""

    def __init__(self, env_id: str, options: Mapping[str, float | str | bool], costs: Sequence[str]) -> None:
        self.env, self.costs = make_env(env_id, options), costs

    def begin(self, seed: int, actions: Array | tuple[()] = ()) -> Array:
        """Reset, replay actions (T, A), return the observation (O,)."""
        obs, _ = self.env.reset(seed=seed)
        for action in actions:
            obs = self.env.step(action)[0]
        return obs

    def step(self, action: Array, next_seed: int) -> Row:
        """One step; `next_seed` is for the episode that follows if this one ends."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        start = self.env.reset(seed=next_seed)[0] if terminated or truncated else obs
        costs = costs_of(info, self.costs, 0) or [float(info.get(SCALAR, 0.0))]
        return (
            start,
            obs,
            float(reward),
            costs,
            bool(terminated),
            bool(truncated),
            bool(info.get("success", False)),
        )

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class EnvPool:
    """N environments side by side."""

    def __init__(
        self, env_id: str, count: int, *, processes: bool,
        options: Mapping[str, float | str | bool] | None = None, costs: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """`costs`: names that every step must report, the scalar cost first; without names a missing cost is
        0."""
        task = (env_id, options or {}, costs)
        self.workers: list[Worker] = [
            ProcessWorker("an environment", EpisodeStepper, *task)
            if processes
            else LocalWorker(EpisodeStepper(*task))
            for _ in range(count)
        ]

    def begin(self, seeds: Sequence[int], actions: Sequence[Array]) -> Array:
        """Reset each to its seed and replay its actions (T_i, A). Observations (N, O)."""
        for worker, seed, past in zip(self.workers, seeds, actions, strict=True):
            worker.ask("begin", seed, past)
        return np.stack([worker.answer() for worker in self.workers])

    def begin_one(self, i: int, seed: int) -> Array:
        """Reset environment `i` to this seed. Observation (O,)."""
        self.workers[i].ask("begin", seed)
        obs: Array = self.workers[i].answer()
        return obs

    def send(self, actions: Array, next_seeds: Sequence[int]) -> None:
        """Start a step everywhere. actions (N, A)."""
        for worker, action, seed in zip(self.workers, actions, next_seeds, strict=True):
            worker.ask("step", action, seed)

    def receive(self) -> Step:
        """Wait until every environment has stepped."""
        columns = zip(*(worker.answer() for worker in self.workers), strict=True)
        return Step(*(np.stack(c) if i < 2 else np.array(c) for i, c in enumerate(columns)))

    def close(self) -> None:
        """Close all workers."""
        for worker in self.workers:
            worker.close()
