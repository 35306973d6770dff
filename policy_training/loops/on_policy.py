"""The on-policy loop: collect a rollout, estimate advantages, update, log, save."""

import logging
import math
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from policy_training.algorithms import resolve
from policy_training.checkpoint import State, load, save
from policy_training.estimates.on_policy import OnPolicyAlgorithm, OnPolicyConfig
from policy_training.experience.costs import BadSignalError
from policy_training.experience.environments import EnvironmentFaultError
from policy_training.experience.on_policy_sampling import Sampler
from policy_training.experience.spaces import environment_spaces
from policy_training.files import locked
from policy_training.interruption import InterruptedTrainingError, interruptible
from policy_training.loops.off_policy import take_up
from policy_training.loops.progress_bar import Progress, progress_of
from policy_training.loops.run_log import RunLog
from policy_training.networks.gaussian import ObservationMoments
from policy_training.networks.plain import mean_policy
from policy_training.networks.state import copy_state
from policy_training.runs.config import OnPolicyLoop, RunConfig

logger = logging.getLogger(__name__)


class OnPolicyTrainer:
    """One run in memory."""

    def __init__(self, config: RunConfig, run: Path) -> None:
        loop, settings = config.loop, config.algorithm
        assert isinstance(loop, OnPolicyLoop) and isinstance(settings, OnPolicyConfig)
        self.config, self.loop, self.run = config, loop, run
        self.spaces = environment_spaces(config.env, loop.training_env)
        self.algorithm: OnPolicyAlgorithm = resolve(config.algo).algorithm(self.spaces, settings, config.seed)
        self.moments = ObservationMoments.empty(self.spaces.obs_size)
        self.names = self.algorithm.judge.names
        self.sampler = Sampler(
            config.env, loop.training_env, config.seed, self.names, loop.envs, loop.processes
        )
        self.step = self.iteration = 0
        self.seconds = self.cpu_seconds = 0.0  # wall time, and processor time of this process alone
        self.figures: dict[str, float] = {}

    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        loop = self.loop
        parts = [self.step / loop.steps if loop.steps else 0.0]
        parts.append(self.iteration / loop.iterations if loop.iterations else 0.0)
        return min(max(parts), 1.0)

    def iterate(self) -> None:
        """One iteration: experience, update, normalisation for the next."""
        began, busy, actor = time.monotonic(), time.process_time(), self.algorithm.actor
        wanted = self.algorithm.samples(self.loop.samples)
        steps = -(-wanted // self.loop.envs)
        std = np.exp(actor.log_std.detach().numpy())
        try:
            shares = self.sampler.collect(mean_policy(actor), std, self.iteration, steps)
        except BadSignalError as bad:
            raise FloatingPointError(
                f"{self.config.env}, step {self.step + bad.step}: {bad.what}; the last checkpoint is intact"
            ) from bad
        except EnvironmentFaultError as fault:
            raise EnvironmentFaultError(f"{fault}; the last checkpoint is intact") from fault
        rollout = self.algorithm.judge.rollout(shares)
        figures = self.algorithm.update(rollout, self.progress())
        for name, value in figures.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"step {self.step}: {name} is {value}; the last checkpoint is intact"
                )
        if self.loop.normalise_obs:
            self.moments.take(rollout.obs.numpy())
            self.moments.write(actor.scaling, self.algorithm.judge.critics.scaling)
        self.step += steps * self.loop.envs
        self.iteration += 1
        self.seconds += time.monotonic() - began
        self.cpu_seconds += time.process_time() - busy
        costs = dict(zip(self.names, rollout.episode_costs, strict=True))
        success = np.concatenate([share.success for share in shares])
        self.figures = {
            "return": rollout.episode_return, "cost": next(iter(costs.values())),
            **({f"cost/{name}": value for name, value in costs.items()} if len(costs) > 1 else {}),
            "success": float(success.mean()), "episodes": float(rollout.episodes),
            "samples": float(steps * self.loop.envs), "iteration": float(self.iteration),
            **figures,
        }  # fmt: skip

    def networks(self) -> State:
        """For evaluation: the policy and its origin."""
        return {
            "algo": self.config.algo, "env": self.config.env, "seed": self.config.seed, "step": self.step,
            "config": self.config.to_json(), "action_size": self.spaces.action_size,
            "action_bounds": self.spaces.action_bounds,
            "policy": copy_state(self.algorithm.actor), "safety_critic": None,
        }  # fmt: skip

    def save(self) -> None:
        """Checkpoint: everything that an exact resume needs."""
        save(self.run / "checkpoint.pt", {
            "step": self.step, "iteration": self.iteration, "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds, "figures": dict(self.figures),
            "algorithm": self.algorithm.state_dict(),
            "moments": self.moments.state_dict(), "networks": self.networks(),
        })  # fmt: skip

    def restore(self) -> None:
        """Restore the run's checkpoint."""
        state = load(self.run / "checkpoint.pt")
        self.step, self.iteration = state["step"], state["iteration"]
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self.figures = state["figures"]
        self.algorithm.load_state_dict(state["algorithm"])
        self.moments.load_state_dict(state["moments"])
        if self.loop.normalise_obs and self.moments.count:
            self.moments.write(self.algorithm.actor.scaling, self.algorithm.judge.critics.scaling)

    def done(self) -> bool:
        """Whether the run is complete."""
        return self.progress() >= 1.0


def train_on_policy(config: RunConfig, run: Path, *, resume: bool = False, until: int | None = None) -> bool:
    """Run to the end, to an interruption, or to iteration `until`. True if the run is complete."""
    torch.set_num_threads(1)
    with locked(run), interruptible() as stop:
        trainer = OnPolicyTrainer(config, run)
        try:
            take_up(trainer, run, resume)
            if trainer.done():
                logger.info("the run is complete at step %d, iteration %d; a larger --steps or --iterations "
                            "continues it", trainer.step, trainer.iteration)  # fmt: skip
            log = RunLog(run, trainer.step)
            with progress_of(config) as bar, suppress(InterruptedTrainingError):
                while not (trainer.done() or stop.is_set() or trainer.iteration == until):
                    advance(trainer, log, bar)
            trainer.save()
            log.close()
        finally:
            trainer.sampler.close()
    return trainer.done()


def advance(trainer: OnPolicyTrainer, log: RunLog, bar: Progress) -> None:
    """One iteration and its row in the log."""
    trainer.iterate()
    bar.show(trainer.step, trainer.figures)
    clocks = {"seconds": trainer.seconds, "cpu_seconds": trainer.cpu_seconds}
    log.write(trainer.step, trainer.figures | clocks)
    if trainer.iteration % trainer.loop.checkpoint_every == 0:
        trainer.save()
