"""Periodic deterministic episodes on the validation seeds, here or in a second process."""

import multiprocessing as mp
import os
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from policy_training.checkpoint import State
from policy_training.episodes import VALIDATION_SEEDS, Episodes, MlpPolicy, run_episodes
from policy_training.networks import Actor


def plain_policy(actor: Actor) -> MlpPolicy:
    """The deterministic half of an actor as arrays of its own."""
    layers = [(_copy(w[0].T), _copy(b[0, 0])) for w, b in actor.mlp.layout.views(actor.mlp.flat)]
    weight, bias = layers[-1]  # means, then log standard deviations
    layers[-1] = (weight[: actor.action_size], bias[: actor.action_size])
    return MlpPolicy(_copy(actor.scaling.shift), _copy(actor.scaling.scale), tuple(layers))


def _copy(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy()).copy()


@dataclass(frozen=True)
class Verdict:
    """One validation: at which step, how it went, and the networks that were validated."""

    step: int
    episodes: Episodes
    networks: State

    def figures(self) -> dict[str, float]:
        """For the log."""
        e = self.episodes
        return {
            "validation/success": float(e.success.mean()), "validation/return": float(e.returns.mean()),
            "validation/violations": float((e.costs > 0.0).mean()),
            "validation/length": float(e.lengths.mean()),
        }  # fmt: skip


class Validator:
    """Starts validations and hands over their verdicts in order."""

    def __init__(self, env_id: str, episodes: int, *, process: bool) -> None:
        self.env_id, self.seeds = env_id, range(VALIDATION_SEEDS, VALIDATION_SEEDS + episodes)
        self.pending: tuple[int, Future[Episodes], State] | None = None
        self.pool: ProcessPoolExecutor | None = None
        if process:
            self.pool = ProcessPoolExecutor(1, mp_context=mp.get_context("spawn"), initializer=_be_polite)

    def start(self, step: int, actor: Actor, networks: State) -> None:
        """Validate this actor; `networks` is kept for the verdict."""
        if self.pending is not None:
            raise RuntimeError("a validation is under way; collect it first")
        policy = plain_policy(actor)
        if self.pool is None:
            future: Future[Episodes] = Future()
            future.set_result(run_episodes(self.env_id, policy, self.seeds))
        else:
            future = self.pool.submit(run_episodes, self.env_id, policy, self.seeds)
        self.pending = (step, future, networks)

    def collect(self) -> Verdict | None:
        """The verdict under way, waiting for it; none if there is none."""
        if self.pending is None:
            return None
        step, future, networks = self.pending
        self.pending = None
        return Verdict(step, future.result(), networks)

    def close(self) -> None:
        """End the second process."""
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)


def _be_polite() -> None:
    """Leave Ctrl-C to the trainer and the processor to the gradient steps."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
