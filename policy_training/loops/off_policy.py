"""The off-policy loop: act, update while the environments step, store, log, validate, save."""

import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import track
from torch import Tensor

from policy_training.algorithms import resolve
from policy_training.checkpoint import State, load, save
from policy_training.experience.environments import EnvironmentFaultError
from policy_training.experience.replay import Memory
from policy_training.experience.spaces import environment_spaces
from policy_training.experience.workers import EnvPool
from policy_training.files import locked
from policy_training.interruption import InterruptedTrainingError, interruptible, stopping
from policy_training.loops.collect import Collector, record_prior
from policy_training.loops.progress_bar import Progress, progress_of
from policy_training.loops.run_log import RunLog
from policy_training.loops.validation import ValidationScore, Validator
from policy_training.networks.filtered import acting
from policy_training.networks.squashed import Actor, SafetyCritic
from policy_training.networks.state import copy_state
from policy_training.optimizers.adam import copy_into, follow, slow_copy
from policy_training.runs.config import RunConfig

logger = logging.getLogger(__name__)


class Algorithm(Protocol):
    """The loop's interface to an algorithm."""

    actor: Actor

    def update(self, memory: Memory, lr_scale: float = 1.0) -> dict[str, Tensor | float]:
        """One gradient step of everything; figures for the log."""

    def pretrain(self, memory: Memory) -> dict[str, Tensor | float]:
        """One update on prior episodes alone."""

    def safety_critic(self) -> SafetyCritic | None:
        """The aggregated safety critic, if there is one."""

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""


class Trainer:
    """One run in memory."""

    def __init__(self, config: RunConfig, run: Path) -> None:
        loop = config.off_policy
        self.config, self.run = config, run
        self.spaces = environment_spaces(config.env, loop.training_env)
        self.algorithm: Algorithm = resolve(config.algo).algorithm(self.spaces, config.algorithm, config.seed)
        prior = loop.prior_episodes * 1000 if loop.prior_episodes else 0
        obs_size, action_size, costs = self.spaces.obs_size, self.spaces.action_size, config.costs()
        self.memory = Memory(obs_size, action_size, config.seed, config.memory, prior, max(len(costs) - 1, 0))
        self.pool = EnvPool(
            config.env, loop.envs, processes=loop.env_processes, options=loop.training_env, costs=costs
        )
        self.collector = Collector(config, self.pool, self.memory)
        self.validator = Validator(
            config.env, loop.eval_episodes, process=loop.eval_process, options=loop.training_env
        )
        self.average = slow_copy(self.algorithm.actor)
        # What acts in training may be more than the actor.
        self.behaviour = getattr(self.algorithm, "behaviour", self.algorithm.actor)
        self.step, self.due = 0, 0.0
        self.pretrained = 0  # updates
        self.owed = False  # whether a validation of this step is pending
        self.best = (-1.0, -math.inf)
        self.figures: dict[str, float] = {}

    def shown_actor(self) -> Actor:
        """The policy that is validated and exported."""
        return self.average if self.config.off_policy.ema_decay > 0.0 else self.algorithm.actor

    def learn(self) -> None:
        """Do the updates that one round of environment steps calls for."""
        loop = self.config.off_policy
        self.due += loop.utd * loop.envs
        lr_scale = 1.0 - (1.0 - loop.policy_lr_final) * min(self.step / loop.steps, 1.0)
        while self.due >= 1.0:
            self.due -= 1.0
            figures = self.algorithm.update(self.memory, lr_scale)
            for name, value in figures.items():
                self.figures[name] = number = float(value)
                if not math.isfinite(number):
                    raise FloatingPointError(
                        f"step {self.step}: {name} is {number}; the last checkpoint is intact"
                    )
            if loop.ema_decay > 0.0:
                follow(self.average, self.algorithm.actor, 1.0 - loop.ema_decay)

    def networks(self) -> State:
        """For evaluation and export: the policy, the safety critic, and their origin."""
        critic = self.algorithm.safety_critic()
        return {
            "algo": self.config.algo, "env": self.config.env, "seed": self.config.seed, "step": self.step,
            "config": self.config.to_json(), "action_size": self.spaces.action_size,
            "action_bounds": self.spaces.action_bounds,
            "policy": copy_state(self.shown_actor()),
            "safety_critic": None if critic is None else copy_state(critic),
        }  # fmt: skip

    def validate(self) -> ValidationScore | None:
        """Collect the running validation, then start one of the current policy. It is owed until then: after
        an interruption the resumed run does it."""
        verdict = self.settle()
        shown = acting(self.config.algorithm, self.shown_actor(), self.algorithm.safety_critic())
        self.validator.start(self.step, shown, self.networks())
        self.owed = False
        return verdict if self.config.off_policy.eval_process else self.settle()

    def settle(self) -> ValidationScore | None:
        """Collect the running validation; keep its networks if they are the best so far."""
        verdict = self.validator.collect()
        if verdict is not None and verdict.episodes.score() > self.best:
            self.best = verdict.episodes.score()
            save(self.run / "best.pt", verdict.networks | {"validation": verdict.figures()})
        return verdict

    def save(self) -> None:
        """Checkpoint: everything that an exact resume needs."""
        save(self.run / "checkpoint.pt", {
            "step": self.step, "due": self.due, "best": list(self.best), "figures": dict(self.figures),
            "algorithm": self.algorithm.state_dict(), "memory": self.memory.state_dict(),
            "collector": self.collector.state_dict(), "average": self.average.mlp.flat,
            "networks": self.networks(), "validating": self.validator.under_way(), "owed": self.owed,
            "pretrained": self.pretrained,
        })  # fmt: skip

    def restore(self) -> None:
        """Restore the run's checkpoint."""
        state = load(self.run / "checkpoint.pt", mapped=True)
        self.step, self.due, self.best = state["step"], state["due"], tuple(state["best"])
        self.figures = state["figures"]
        # older checkpoints were written after the last update on prior episodes, and after a validation
        self.pretrained = state.get("pretrained", self.config.off_policy.pretrain)
        self.owed = state.get("owed", False)
        self.algorithm.load_state_dict(state["algorithm"])
        self.memory.load_state_dict(state["memory"])
        self.collector.load_state_dict(state["collector"])
        copy_into(self.average.mlp.flat, state["average"])
        if (networks := state.get("validating")) is not None:
            actor = Actor(self.spaces, self.config.algorithm.hidden)
            actor.load_state_dict(networks["policy"])
            self.validator.start(networks["step"], actor, networks)

    def close(self) -> None:
        """End worker processes."""
        self.pool.close()
        self.validator.close()


def train(config: RunConfig, run: Path, *, resume: bool = False, until: int | None = None) -> bool:
    """Run to the end, to an interruption, or to step `until`. True if the run is complete."""
    loop = config.off_policy
    torch.set_num_threads(1)
    with locked(run), interruptible() as stop:
        trainer = Trainer(config, run)
        try:
            take_up(trainer, run, resume)
            if trainer.step >= loop.steps:
                logger.info("the run is complete at step %d; a larger --steps continues it", trainer.step)
            log = RunLog(run, trainer.step)
            # An interruption does not wait for a validation: the checkpoint holds it.
            with progress_of(config) as bar, suppress(InterruptedTrainingError):
                prepare(trainer, log)
                trainer.collector.begin()
                validate_if_owed(trainer, log, bar)
                end = loop.steps if until is None else min(until, loop.steps)
                while trainer.step < end and not stop.is_set():
                    advance(trainer, log, bar)
                if trainer.step >= loop.steps:
                    report(trainer.settle(), log, bar)
            trainer.save()
            log.close()
        finally:
            trainer.close()
    return trainer.step >= loop.steps


class Resumable(Protocol):
    """Anything with a checkpoint."""

    def restore(self) -> None:
        """Restore the run's checkpoint."""


def take_up(trainer: Resumable, run: Path, resume: bool) -> None:
    """Restore the checkpoint, or start: a run may have ended before its first checkpoint."""
    checkpoint, progress = run / "checkpoint.pt", run / "progress.csv"
    if not (resume and checkpoint.is_file()):
        if resume and (checkpoint.is_symlink() or checkpoint.exists()):
            raise FileNotFoundError(f"{checkpoint} is no file, so the run cannot go on; bring it back")
        for file in (progress, run / "best.pt") if resume else ():
            if file.exists():
                kept = file.with_suffix(f".before{file.suffix}")
                file.replace(kept)
                logger.warning(
                    "there is no checkpoint: the run starts again; %s is kept as %s", file, kept.name
                )
        progress.unlink(missing_ok=True)
        return
    try:
        trainer.restore()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{run / 'checkpoint.pt'} is of another configuration or version: {error}"
        ) from error


def prepare(trainer: Trainer, log: RunLog) -> None:
    """Before the first step: prior episodes, and updates on them alone. Continues from a checkpoint;
    `InterruptedTrainingError` if it was interrupted."""
    loop = trainer.config.off_policy
    if loop.prior_episodes and not trainer.memory.prior.size:
        logger.info("recording %d prior episodes", loop.prior_episodes)
        log.write(0, record_prior(trainer.config, trainer.memory))
    if trainer.pretrained < loop.pretrain:
        pretrain(trainer, log)
    if stopping():
        raise InterruptedTrainingError


def pretrain(trainer: Trainer, log: RunLog) -> None:
    """Updates on the prior episodes, before the first step."""
    loop = trainer.config.off_policy
    left = range(trainer.pretrained, loop.pretrain)
    for _ in track(left, "pretraining", disable=not loop.progress):
        if stopping():
            raise InterruptedTrainingError
        figures = trainer.algorithm.pretrain(trainer.memory)
        trainer.pretrained += 1
    log.write(0, {name: float(value) for name, value in figures.items()})
    trainer.average = slow_copy(trainer.algorithm.actor)


def validate_if_owed(trainer: Trainer, log: RunLog, bar: Progress) -> None:
    """Start the validation of this step if it is pending."""
    if trainer.owed:
        report(trainer.validate(), log, bar)


def advance(trainer: Trainer, log: RunLog, bar: Progress) -> None:
    """One step of every environment and the updates that go with it."""
    loop, before = trainer.config.off_policy, trainer.step
    warm = before < loop.warmup
    trainer.collector.send(None if warm else trainer.behaviour)
    if before >= loop.warmup // 2 and trainer.memory.all.size:
        trainer.learn()
    try:
        trainer.collector.receive()
    except (FloatingPointError, EnvironmentFaultError) as error:
        kind = FloatingPointError if isinstance(error, FloatingPointError) else EnvironmentFaultError
        raise kind(f"step {before}: {error}; the last checkpoint is intact") from error
    trainer.step += loop.envs

    def passed(every: int) -> bool:
        return trainer.step // every > before // every

    bar.show(trainer.step, trainer.collector.figures() | trainer.figures)
    if passed(loop.log_every):
        log.write(trainer.step, trainer.collector.figures() | trainer.figures)
    trainer.owed = passed(loop.eval_every)
    validate_if_owed(trainer, log, bar)
    if passed(loop.checkpoint_every):
        trainer.save()


def report(verdict: ValidationScore | None, log: RunLog, bar: Progress) -> None:
    """Log a validation's figures, if there is one."""
    if verdict is not None:
        bar.note(verdict.step, verdict.figures())
        log.write(verdict.step, verdict.figures())
