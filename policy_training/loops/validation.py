"""Periodic deterministic episodes on the validation seeds, here or in a second process."""

from collections.abc import Mapping
from dataclasses import dataclass

from policy_training.checkpoint import State
from policy_training.experience.episodes import (
    VALIDATION_SEEDS,
    ActionRule,
    Episodes,
    run_episodes,
)
from policy_training.networks.plain import plain_policy
from policy_training.networks.squashed import Actor
from policy_training.worker_processes import LocalWorker, ProcessWorker, Worker


@dataclass(frozen=True)
class ValidationScore:
    """One validation: its step, its episodes, and the networks that were validated."""

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


class ValidationEpisodes:
    """Deterministic episodes on the validation seeds."""

    def __init__(self, env_id: str, episodes: int, options: Mapping[str, float | str | bool]) -> None:
        self.env_id, self.options = env_id, options
        self.seeds = range(VALIDATION_SEEDS, VALIDATION_SEEDS + episodes)

    def run(self, policy: ActionRule) -> Episodes:
        """One episode per seed."""
        return run_episodes(self.env_id, policy, self.seeds, self.options)

    def close(self) -> None:
        """Nothing is open between validations."""


class Validator:
    """Starts validations and returns their scores in order."""

    def __init__(
        self,
        env_id: str,
        episodes: int,
        *,
        process: bool,
        options: Mapping[str, float | str | bool] | None = None,
    ) -> None:
        task = (env_id, episodes, dict(options or {}))
        self.pending: tuple[int, State] | None = None
        self.found: Episodes | None = None
        self.process = process
        # training has priority over validation
        self.worker: Worker = (
            ProcessWorker("the validation", ValidationEpisodes, *task, niceness=5)
            if process
            else LocalWorker(ValidationEpisodes(*task))
        )

    def start(self, step: int, actor: Actor, networks: State) -> None:
        """Validate this actor; `networks` is kept for the score. Without a second process the episodes run
        here, or `InterruptedTrainingError` is raised and nothing has been started."""
        if self.pending is not None:
            raise RuntimeError("a validation is under way; collect it first")
        self.worker.ask("run", plain_policy(actor))
        self.found = None if self.process else self.worker.answer()
        self.pending = (step, networks)

    def under_way(self) -> State | None:
        """The networks of the running validation, from which it can be started again."""
        return None if self.pending is None else self.pending[1]

    def collect(self) -> ValidationScore | None:
        """Wait for the running validation and return its score; None if there is none. On an interruption
        `InterruptedTrainingError`, and the validation stays pending."""
        if self.pending is None:
            return None
        step, networks = self.pending
        found = self.worker.answer(give_up=True) if self.process else self.found
        self.pending = None
        assert found is not None  # of the validation that `start` ran
        return ValidationScore(step, found, networks)

    def close(self) -> None:
        """End the second process."""
        self.worker.close()
