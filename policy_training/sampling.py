"""On-policy experience: every environment follows the policy for its share of the iteration.

An environment's share depends on the policy, the run's seed, its own number and the iteration, and on nothing
else. So it is the same to the bit whether environments step in this process or in workers, and a run that
goes on needs no memory of episodes under way: each iteration begins with a reset. Numpy only, so that a
worker starts without torch.
"""

import math
import multiprocessing as mp
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_training.costs import BadSignalError, costs_of
from policy_training.episodes import TRAINING_SEEDS, Array, MeanPolicy, make_env

SEED_RANGE = 1_000_000
NOISE, EPISODES = 2, 3  # tags of the streams of random numbers


@dataclass(frozen=True)
class Share:
    """What one environment contributed. T steps, K costs, S unbroken stretches, F finished episodes."""

    obs: Array  # (T, O) float32
    action: Array  # (T, A) float32
    signals: NDArray[np.float64]  # (1 + K, T) reward, then costs
    ends: NDArray[np.int64]  # (S,) one behind the last step of each stretch
    final_obs: Array  # (S, O) where each stretch led
    terminated: NDArray[np.bool_]  # (S,) no value lies behind the end
    sums: NDArray[np.float64]  # (1 + K, F) of the finished episodes
    success: NDArray[np.bool_]  # (F,)


class Walker:
    """One environment and its streams of random numbers."""

    def __init__(
        self, env_id: str, options: Mapping[str, float], run_seed: int, number: int, names: Sequence[str]
    ) -> None:
        self.env = make_env(env_id, options)
        self.run_seed, self.number, self.names = run_seed, number, names

    def walk(self, policy: MeanPolicy, std: Array, iteration: int, steps: int) -> Share:
        """T = `steps` steps from a reset, noise of standard deviation (A,) on the policy's mean."""
        rng = np.random.default_rng((self.run_seed, NOISE, self.number, iteration))
        noise = (std * rng.standard_normal((steps, len(std)))).astype(np.float32)
        env, names = self.env, self.names
        current = env.reset(seed=self._seed(iteration, 0))[0]
        obs = np.empty((steps, current.shape[0]), dtype=np.float32)
        action, signals = noise, np.empty((1 + len(names), steps))
        ends, final, terminations, sums, success, first = [], [], [], [], [], 0
        for t in range(steps):
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
                final.append(np.asarray(current, dtype=np.float32))
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


Numbers = Sequence[int]
Order = tuple[MeanPolicy, Array, int, int]


class Sampler:
    """N environments, in this process or spread over worker processes, one policy for all."""

    def __init__(
        self, env_id: str, options: Mapping[str, float], seed: int, names: Sequence[str],
        envs: int, processes: int,
    ) -> None:  # fmt: skip
        self.walkers: list[Walker] = []
        self.workers: list[tuple[Any, Connection]] = []
        if processes == 0:
            self.walkers = [Walker(env_id, options, seed, i, names) for i in range(envs)]
            return
        context = mp.get_context("spawn")
        for w in range(processes):
            numbers = range(w * envs // processes, (w + 1) * envs // processes)
            ours, theirs = context.Pipe()
            arguments = (theirs, env_id, dict(options), seed, tuple(numbers), tuple(names))
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self.workers.append((process, ours))

    def collect(self, policy: MeanPolicy, std: Array, iteration: int, steps: int) -> list[Share]:
        """`steps` steps of every environment, in the order of their numbers."""
        order: Order = (policy, std, iteration, steps)
        if self.walkers:
            return [walker.walk(*order) for walker in self.walkers]
        for process, pipe in self.workers:
            try:
                pipe.send(order)
            except BrokenPipeError as error:
                raise _ended(process) from error
        return [share for process, pipe in self.workers for share in _answer(process, pipe)]

    def close(self) -> None:
        """End all."""
        for walker in self.walkers:
            walker.close()
        for process, pipe in self.workers:
            pipe.close()
            process.join(timeout=5.0)


def _answer(process: Any, pipe: Connection) -> list[Share]:
    try:
        answer = pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        raise _ended(process) from error
    if isinstance(answer, Exception):
        raise answer
    shares: list[Share] = answer
    return shares


def _ended(process: Any) -> RuntimeError:
    process.join(timeout=5.0)
    return RuntimeError(f"a worker of the environments ended with code {process.exitcode}")


def _serve(
    pipe: Connection, env_id: str, options: Mapping[str, float], seed: int, numbers: Numbers,
    names: Sequence[str],
) -> None:  # fmt: skip
    """Body of a worker process. Ctrl-C is the trainer's business; a closed pipe is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    walkers = [Walker(env_id, options, seed, number, names) for number in numbers]
    try:
        while True:
            order = pipe.recv()
            try:
                pipe.send([walker.walk(*order) for walker in walkers])
            except (ValueError, RuntimeError, ArithmeticError) as error:
                pipe.send(error)
    except (EOFError, BrokenPipeError):
        for walker in walkers:
            walker.close()
