"""Periodic deterministic episodes on the validation seeds, here or in a second process."""

import multiprocessing as mp
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import numpy as np
from torch import Tensor, nn

from policy_training.checkpoint import State
from policy_training.episodes import VALIDATION_SEEDS, Episodes, MeanPolicy, MlpPolicy, run_episodes
from policy_training.gaussian import FARTHEST, GaussianActor
from policy_training.networks import Actor


def plain_policy(actor: nn.Module) -> MlpPolicy | MeanPolicy:
    """The deterministic half of an actor of either family as arrays of its own."""
    if isinstance(actor, GaussianActor):
        return mean_policy(actor)
    if isinstance(actor, Actor):
        return _squashed_policy(actor)
    raise TypeError(f"{type(actor).__name__} is no actor")


def mean_policy(actor: GaussianActor) -> MeanPolicy:
    """The mean, which nothing squashes."""
    layers = tuple((_copy(w[0].T), _copy(b[0, 0])) for w, b in actor.mlp.layout.views(actor.mlp.flat))
    return MeanPolicy(_copy(actor.scaling.shift), _copy(actor.scaling.scale), FARTHEST, layers)


def _squashed_policy(actor: Actor) -> MlpPolicy:
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

    def __init__(
        self, env_id: str, episodes: int, *, process: bool, options: Mapping[str, float] | None = None
    ) -> None:
        self.task = (env_id, range(VALIDATION_SEEDS, VALIDATION_SEEDS + episodes), dict(options or {}))
        self.pending: tuple[int, State] | None = None
        self.found: Episodes | None = None
        self.process: SpawnProcess | None = None
        if process:
            context = mp.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs, *self.task), daemon=True)
            self.process.start()
            theirs.close()

    def start(self, step: int, actor: Actor, networks: State) -> None:
        """Validate this actor; `networks` is kept for the verdict."""
        if self.pending is not None:
            raise RuntimeError("a validation is under way; collect it first")
        policy, (env_id, seeds, options) = plain_policy(actor), self.task
        if self.process is None:
            self.found = run_episodes(env_id, policy, seeds, options)
        else:
            self.pipe.send(policy)
        self.pending = (step, networks)

    def under_way(self) -> State | None:
        """The networks of the validation that was started and not yet collected, to start it again from."""
        return None if self.pending is None else self.pending[1]

    def collect(self) -> Verdict | None:
        """The verdict under way, waiting for it; none if there is none."""
        if self.pending is None:
            return None
        step, networks = self.pending
        self.pending = None
        found = self.found if self.process is None else self._answer(self.process)
        assert found is not None  # of the validation that `start` ran
        return Verdict(step, found, networks)

    def _answer(self, process: SpawnProcess) -> Episodes:
        try:
            answer = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            process.join(timeout=5.0)
            raise RuntimeError(f"the validation's process ended with code {process.exitcode}") from error
        if isinstance(answer, Exception):
            raise answer
        episodes: Episodes = answer
        return episodes

    def close(self) -> None:
        """End the second process, whatever it is doing."""
        if self.process is not None:
            self.process.terminate()
            self.process.join(timeout=5.0)


def _serve(pipe: Connection, env_id: str, seeds: Sequence[int], options: Mapping[str, float]) -> None:
    """Body of the second process: policies in, episodes out. Ctrl-C is the trainer's business, and so is the
    processor; a closed pipe is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    try:
        while True:
            policy = pipe.recv()
            try:
                pipe.send(run_episodes(env_id, policy, seeds, options))
            except (ValueError, RuntimeError, ArithmeticError) as error:
                pipe.send(error)
    except (EOFError, BrokenPipeError):
        return
