"""N environments, in this process or one worker process each, so that physics overlaps with gradients.

Episodes are reset with seeds the caller names, and an environment's state is its seed and the actions since:
a checkpoint stores those and replays them.
"""

import multiprocessing as mp
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from policy_training.costs import SCALAR, costs_of
from policy_training.episodes import Array, make_env


@dataclass(frozen=True)
class Step:
    """What N environments answered."""

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


Row = tuple[Array, Array, float, list[float], bool, bool, bool]


class EnvHandle(Protocol):
    """One environment, here or elsewhere."""

    def begin(self, seed: int, actions: Array) -> Array:
        """Reset, replay actions (T, A), return the observation (O,)."""

    def send(self, action: Array, next_seed: int) -> None:
        """Start one step; `next_seed` is for the episode that follows if this one ends."""

    def receive(self) -> Row:
        """The step's outcome."""

    def close(self) -> None:
        """End it."""


class LocalEnv:
    """In this process: the step happens on receive."""

    def __init__(self, env_id: str, options: Mapping[str, float], costs: Sequence[str]) -> None:
        self.env, self.costs = make_env(env_id, options), costs
        self.pending: tuple[Array, int] | None = None

    def begin(self, seed: int, actions: Array) -> Array:
        """Reset, replay, return the observation (O,)."""
        obs, _ = self.env.reset(seed=seed)
        for action in actions:
            obs = self.env.step(action)[0]
        return obs

    def send(self, action: Array, next_seed: int) -> None:
        """Keep the action for `receive`."""
        self.pending = (action, next_seed)

    def receive(self) -> Row:
        """Step; reset when the episode ended."""
        if self.pending is None:
            raise RuntimeError("receive without send")
        action, next_seed = self.pending
        self.pending = None
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


class RemoteEnv:
    """In a worker process: the step happens while the caller does something else."""

    def __init__(self, env_id: str, options: Mapping[str, float], costs: Sequence[str]) -> None:
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, env_id, options, costs), daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, seed: int, actions: Array) -> Array:
        """Reset, replay, return the observation (O,)."""
        self.pipe.send(("begin", seed, actions))
        return self._answer()

    def send(self, action: Array, next_seed: int) -> None:
        """Start the step."""
        self.pipe.send(("step", action, next_seed))

    def receive(self) -> Row:
        """Wait for its end."""
        return self._answer()

    def close(self) -> None:
        """Hang up; the worker ends by itself."""
        self.pipe.close()
        self.process.join(timeout=5.0)

    def _answer(self) -> Any:
        try:
            answer = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise RuntimeError(f"the environment's worker ended with code {self.process.exitcode}") from error
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(pipe: Connection, env_id: str, options: Mapping[str, float], costs: Sequence[str]) -> None:
    """Body of a worker process. Ctrl-C is the trainer's business; a closed pipe is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    env = LocalEnv(env_id, options, costs)
    try:
        while True:
            order, first, second = pipe.recv()
            try:
                if order == "begin":
                    pipe.send(env.begin(first, second))
                else:
                    env.send(first, second)
                    pipe.send(env.receive())
            except (ValueError, RuntimeError, ArithmeticError) as error:
                pipe.send(error)
    except (EOFError, BrokenPipeError):
        env.close()


class EnvPool:
    """N environments side by side."""

    def __init__(
        self, env_id: str, count: int, *, processes: bool, options: Mapping[str, float] | None = None,
        costs: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """`costs`: names that every step must tell, the scalar one first; with none it is 0 where missing."""
        make = RemoteEnv if processes else LocalEnv
        self.envs: list[EnvHandle] = [make(env_id, options or {}, costs) for _ in range(count)]

    def begin(self, seeds: Sequence[int], actions: Sequence[Array]) -> Array:
        """Reset each to its seed and replay its actions (T_i, A). Observations (N, O)."""
        return np.stack([e.begin(s, a) for e, s, a in zip(self.envs, seeds, actions, strict=True)])

    def send(self, actions: Array, next_seeds: Sequence[int]) -> None:
        """Start a step everywhere. actions (N, A)."""
        for env, action, seed in zip(self.envs, actions, next_seeds, strict=True):
            env.send(action, seed)

    def receive(self) -> Step:
        """Wait for all."""
        columns = zip(*(env.receive() for env in self.envs), strict=True)
        return Step(*(np.stack(c) if i < 2 else np.array(c) for i, c in enumerate(columns)))

    def close(self) -> None:
        """End all."""
        for env in self.envs:
            env.close()
