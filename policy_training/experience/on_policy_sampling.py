"""On-policy rollouts: every environment follows the policy for its share of an iteration's steps.

A share depends only on the policy, the run's seed, the environment's number and the iteration. So it is
bit-equal whether environments step in this process or in workers, and a checkpoint needs no state of
unfinished episodes: each iteration begins with a reset. Numpy only, so that a worker starts without torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_training.experience.costs import BadSignalError, costs_of
from policy_training.experience.environments import Array, make_env
from policy_training.experience.episodes import TRAINING_SEEDS, MeanPolicy
from policy_training.interruption import InterruptedTrainingError, stopping
from policy_training.worker_processes import LocalWorker, ProcessWorker, Worker

SEED_RANGE = 1_000_000
NOISE, EPISODES = 2, 3  # tags of the random number streams


@dataclass(frozen=True)
class Share:
    """One environment's part of a rollout. T steps, K costs, F finished episodes, S segments, each of one
    episode."""

    obs: Array  # (T, O) float32
    action: Array  # (T, A) float32
    signals: NDArray[np.float64]  # (1 + K, T) reward, then costs
    ends: NDArray[np.int64]  # (S,) index after the last step of each segment
    final_obs: Array  # (S, O) observation after each segment
    terminated: NDArray[np.bool_]  # (S,) the segment ended in a terminal state, so nothing is bootstrapped
    sums: NDArray[np.float64]  # (1 + K, F) of the finished episodes
    success: NDArray[np.bool_]  # (F,)


class Walker:
    """One environment and its random number streams."""

    def __init__(
        self,
        env_id: str,
        options: Mapping[str, float | str | bool],
        run_seed: int,
        number: int,
        names: Sequence[str],
    ) -> None:
        self.env = make_env(env_id, options)
        self.run_seed, self.number, self.names = run_seed, number, names

    def walk(self, policy: MeanPolicy, std: Array, iteration: int, steps: int) -> Share:
        """T = `steps` steps from a reset, noise of standard deviation (A,) on the policy's mean.

        `InterruptedTrainingError` if the stop flag is set: an incomplete iteration is repeated on resume.
        """
        rng = np.random.default_rng((self.run_seed, NOISE, self.number, iteration))
        noise = (std * rng.standard_normal((steps, len(std)))).astype(np.float32)
        env, names = self.env, self.names
        current = env.reset(seed=self._seed(iteration, 0))[0]
        obs = np.empty((steps, current.shape[0]), dtype=np.float32)
        action, signals = noise, np.empty((1 + len(names), steps))
        ends, final, terminations, sums, success, first = [], [], [], [], [], 0
        for t in range(steps):
            if stopping():
                raise InterruptedTrainingError
            obs[t] = current
            action[t] += policy(obs[t])
            current, reward, terminated, truncated, info = env.step(action[t])
            if not math.isfinite(reward):
                raise BadSignalError(t, f"the reward is {reward}")
            signals[0, t] = reward
            signals[1:, t] = costs_of(info, names, t)
            ended = terminated or truncated
            if ended or t == steps - 1:
                ends.append(t + 1)
                final.append(current)
                terminations.append(bool(terminated))
            if ended:
                sums.append(signals[:, first : t + 1].sum(axis=1))
                success.append(bool(info.get("success", False)))
                current, first = env.reset(seed=self._seed(iteration, len(sums)))[0], t + 1
        return Share(
            obs, action, signals, np.array(ends), np.array(final), np.array(terminations),
            np.array(sums).reshape(-1, 1 + len(names)).T, np.array(success, dtype=bool),
        )  # fmt: skip

    def _seed(self, iteration: int, episode: int) -> int:
        words = np.random.SeedSequence((self.run_seed, EPISODES, self.number, iteration, episode))
        return TRAINING_SEEDS + int(words.generate_state(1)[0]) % SEED_RANGE

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class Walkers:
    """Several environments, stepped one after the other."""

    def __init__(
        self, env_id: str, options: Mapping[str, float | str | bool], run_seed: int, numbers: Sequence[int],
        names: Sequence[str],
    ) -> None:  # fmt: skip
        self.walkers = [Walker(env_id, options, run_seed, number, names) for number in numbers]

    def walk(self, policy: MeanPolicy, std: Array, iteration: int, steps: int) -> list[Share]:
        """The share of each."""
        return [walker.walk(policy, std, iteration, steps) for walker in self.walkers]

    def close(self) -> None:
        """Close the environments."""
        for walker in self.walkers:
            walker.close()


class Sampler:
    """N environments, in this process or spread over worker processes, one policy for all."""

    def __init__(
        self, env_id: str, options: Mapping[str, float | str | bool], seed: int, names: Sequence[str],
        envs: int, processes: int,
    ) -> None:  # fmt: skip
        def task(numbers: range) -> tuple[Any, ...]:
            return env_id, dict(options), seed, tuple(numbers), tuple(names)

        self.workers: list[Worker] = [LocalWorker(Walkers(*task(range(envs))))] if processes == 0 else []
        for w in range(processes):
            numbers = range(w * envs // processes, (w + 1) * envs // processes)
            self.workers.append(ProcessWorker("the environments", Walkers, *task(numbers)))

    def collect(self, policy: MeanPolicy, std: Array, iteration: int, steps: int) -> list[Share]:
        """`steps` steps of every environment, in the order of their numbers."""
        for worker in self.workers:
            worker.ask("walk", policy, std, iteration, steps)
        return [share for worker in self.workers for share in worker.answer(give_up=True)]

    def close(self) -> None:
        """Close all workers."""
        for worker in self.workers:
            worker.close()
