"""The off-policy loop: act, learn while the environments step, remember, log, validate, save."""

import logging
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import track
from torch import Tensor, nn

from policy_training.algorithms import ALGORITHMS
from policy_training.buffers import Memory
from policy_training.checkpoint import State, load, save
from policy_training.collect import Collector, record_prior
from policy_training.episodes import make_env
from policy_training.networks import Actor, SafetyCritic, Spaces
from policy_training.optim import copy_into, follow, slow_copy
from policy_training.progress import Progress, progress_of
from policy_training.runlog import RunLog
from policy_training.runs import RunConfig
from policy_training.validation import Validator, Verdict
from policy_training.workers import EnvPool

logger = logging.getLogger(__name__)


class Algorithm(Protocol):
    """What the loop asks of an algorithm."""

    actor: Actor

    def update(self, memory: Memory, lr_scale: float = 1.0) -> dict[str, Tensor | float]:
        """One gradient step of everything; figures for the log."""

    def pretrain(self, memory: Memory) -> dict[str, Tensor | float]:
        """One update on prior episodes alone."""

    def safety_critic(self) -> SafetyCritic | None:
        """The aggregated safety critic, if there is one."""

    def state_dict(self) -> State:
        """Everything that an exact continuation needs."""

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`."""


def environment_spaces(env_id: str) -> Spaces:
    """Sizes and scaling; an environment that names no scaling gets none."""
    env = make_env(env_id)
    obs, action = env.observation_space.shape, env.action_space.shape
    scaling = getattr(env.unwrapped, "observation_scaling", None)
    env.close()
    if obs is None or action is None or len(obs) != 1 or len(action) != 1:
        raise ValueError(f"{env_id} has spaces {obs} and {action}; both must be vectors")
    return Spaces(obs[0], action[0], *scaling) if scaling else Spaces.unscaled(obs[0], action[0])


class Trainer:
    """One run in memory."""

    def __init__(self, config: RunConfig, run: Path) -> None:
        loop = config.off_policy
        self.config, self.run = config, run
        self.spaces = environment_spaces(config.env)
        self.algorithm: Algorithm = ALGORITHMS[config.algo](self.spaces, config.algorithm, config.seed)
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
        self.step, self.due = 0, 0.0
        self.best = (-1.0, -math.inf)
        self.figures: dict[str, float] = {}

    def shown_actor(self) -> Actor:
        """The policy that is validated and exported."""
        return self.average if self.config.off_policy.ema_decay > 0.0 else self.algorithm.actor

    def learn(self) -> None:
        """The updates that are due for one round of environment steps."""
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
        """What evaluation and export need: the policy, the safety critic, and where they come from."""
        critic = self.algorithm.safety_critic()
        return {
            "algo": self.config.algo, "env": self.config.env, "seed": self.config.seed, "step": self.step,
            "config": self.config.to_json(), "action_size": self.spaces.action_size,
            "policy": copy_state(self.shown_actor()),
            "safety_critic": None if critic is None else copy_state(critic),
        }  # fmt: skip

    def validate(self) -> Verdict | None:
        """Collect the validation under way, then start one of the policy as it is now."""
        verdict = self.settle()
        self.validator.start(self.step, self.shown_actor(), self.networks())
        return verdict if self.config.off_policy.eval_process else self.settle()

    def settle(self) -> Verdict | None:
        """Collect the validation under way; keep its networks if they are the best so far."""
        verdict = self.validator.collect()
        if verdict is not None and verdict.episodes.score() > self.best:
            self.best = verdict.episodes.score()
            save(self.run / "best.pt", verdict.networks | {"validation": verdict.figures()})
        return verdict

    def save(self) -> None:
        """Checkpoint: everything that an exact continuation needs."""
        save(self.run / "checkpoint.pt", {
            "step": self.step, "due": self.due, "best": list(self.best), "figures": dict(self.figures),
            "algorithm": self.algorithm.state_dict(), "memory": self.memory.state_dict(),
            "collector": self.collector.state_dict(), "average": self.average.mlp.flat,
            "networks": self.networks(), "validating": self.validator.under_way(),
        })  # fmt: skip

    def restore(self) -> None:
        """Continue where the run's checkpoint stands."""
        state = load(self.run / "checkpoint.pt")
        self.step, self.due, self.best = state["step"], state["due"], tuple(state["best"])
        self.figures = state["figures"]
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


def copy_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, detached from what training does next."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Set on Ctrl-C or SIGTERM, so that the loop can finish its step and save."""
    stop = threading.Event()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            before[name] = signal.signal(name, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def train(config: RunConfig, run: Path, *, resume: bool = False, until: int | None = None) -> bool:
    """Run to the end, or to an interruption, or to step `until`. True if it came to the end."""
    loop = config.off_policy
    torch.set_num_threads(1)
    trainer = Trainer(config, run)
    try:
        if resume:
            trainer.restore()
        log = RunLog(run, trainer.step)
        if not resume and loop.prior_episodes:
            logger.info("recording %d prior episodes", loop.prior_episodes)
            log.write(0, record_prior(config, trainer.memory))
            pretrain(trainer, log)
        trainer.collector.begin()
        with interruptible() as stop, progress_of(config) as bar:
            end = loop.steps if until is None else min(until, loop.steps)
            while trainer.step < end and not stop.is_set():
                advance(trainer, log, bar)
            # An interruption does not wait for a validation: the checkpoint remembers it.
            if trainer.step >= loop.steps:
                report(trainer.settle(), log, bar)
            trainer.save()
        log.close()
    finally:
        trainer.close()
    return trainer.step >= loop.steps


def pretrain(trainer: Trainer, log: RunLog) -> None:
    """Updates on the prior episodes, before the first step."""
    loop = trainer.config.off_policy
    for _ in track(range(loop.pretrain), "pretraining", disable=not (loop.progress and loop.pretrain)):
        figures = trainer.algorithm.pretrain(trainer.memory)
    if loop.pretrain:
        log.write(0, {name: float(value) for name, value in figures.items()})
        trainer.average = slow_copy(trainer.algorithm.actor)


def advance(trainer: Trainer, log: RunLog, bar: Progress) -> None:
    """One step of every environment and the updates that go with it."""
    loop, before = trainer.config.off_policy, trainer.step
    warm = before < loop.warmup
    trainer.collector.send(None if warm else trainer.algorithm.actor)
    if before >= loop.warmup // 2 and trainer.memory.all.size:
        trainer.learn()
    try:
        trainer.collector.receive()
    except FloatingPointError as error:
        raise FloatingPointError(f"step {before}: {error}; the last checkpoint is intact") from error
    trainer.step += loop.envs

    def passed(every: int) -> bool:
        return trainer.step // every > before // every

    bar.show(trainer.step, trainer.collector.figures() | trainer.figures)
    if passed(loop.log_every):
        log.write(trainer.step, trainer.collector.figures() | trainer.figures)
    if passed(loop.eval_every):
        report(trainer.validate(), log, bar)
    if passed(loop.checkpoint_every):
        trainer.save()


def report(verdict: Verdict | None, log: RunLog, bar: Progress) -> None:
    """A validation's figures, if there is one."""
    if verdict is not None:
        bar.note(verdict.step, verdict.figures())
        log.write(verdict.step, verdict.figures())
