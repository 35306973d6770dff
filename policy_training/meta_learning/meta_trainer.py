"""Pipeline training of an optimizer: units of different age in every task, and one meta-update for all.

In meta-iteration t the units of this slot are reset; every unit makes K updates; the meta-gradient is
the mean over tasks of the mean over units of d loss / d phi (`meta_gradient`, or `evolution`); phi moves by
Adam.
"""

import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from policy_training.checkpoint import State, load, save
from policy_training.interruption import interruptible
from policy_training.loops.progress_bar import Progress
from policy_training.loops.run_log import RunLog
from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.evolution import Persistent
from policy_training.meta_learning.meta_gradient import Seen, Truncated
from policy_training.meta_learning.tasks import find_tasks
from policy_training.meta_learning.units import DivergedError, reset_slots
from policy_training.optimizers.adam import copy_into
from policy_training.optimizers.learned import Learned, save_optimizer
from policy_training.optimizers.registry import LEARNED
from policy_training.runs.folder import provenance

Herd = Truncated | Persistent
logger = logging.getLogger(__name__)
LONGEST, LARGEST = 0.5, 1.0  # clipping of the meta-gradient: its norm, or elementwise
OPTIMIZER = "optimizer.pt"


class MetaTrainer:
    """One meta-training run in memory."""

    def __init__(self, config: MetaConfig, run: Path) -> None:
        self.config, self.run = config, run
        self.rule, tasks = LEARNED[config.rule], find_tasks(config.tasks)
        self.start = self.rule.initial(torch.Generator().manual_seed(config.seed))
        self.phi = torch.nn.Parameter(self.start.clone())
        self.adam = torch.optim.Adam([self.phi], lr=config.meta_lr)
        seeds = [np.random.SeedSequence((config.seed, number)) for number in range(len(tasks))]
        estimator = Persistent if config.estimator == "persistent" else Truncated
        self.herds: list[Herd] = [
            estimator(config, task, self.rule, int(seed.generate_state(1)[0]))
            for task, seed in zip(tasks, seeds, strict=True)
        ]
        self.slots = reset_slots(config.units, config.reset_interval)
        self.good = self.start.clone()  # the last meta-parameters under which every unit stayed finite
        self.iteration = 0
        self.seconds = self.cpu_seconds = 0.0

    def iterate(self) -> dict[str, float]:
        """One meta-iteration. FloatingPointError if a unit or the meta-parameters become non-finite."""
        began, busy = time.monotonic(), time.process_time()
        phi, figures = self.phi.detach().clone(), dict[str, float]()
        gradients = []
        for herd in self.herds:
            if self.config.pipeline and self.iteration:
                herd.restart(np.flatnonzero(self.slots == self.iteration % self.config.reset_interval))
            try:
                slope, seen = herd.gradient(phi)
            except DivergedError as diverged:
                raise FloatingPointError(self._diverged(f"task {herd.task.name}, {diverged}")) from diverged
            gradients.append(self._bounded(slope))
            figures |= _figures(herd.task.name, seen)
        gradient = torch.stack(gradients).mean(dim=0)
        norm = float(gradient.norm())
        self.phi.grad = self._cut(gradient, norm)
        self.adam.step()
        if not bool(torch.isfinite(self.phi).all()):
            raise FloatingPointError(self._diverged(f"the meta-gradient has length {norm}"))
        self.good = phi
        self.iteration += 1
        self.seconds += time.monotonic() - began
        self.cpu_seconds += time.process_time() - busy
        return figures | {
            "meta_gradient": norm, "moved": float((self.phi.detach() - self.start).norm()),
            "seconds": self.seconds, "cpu_seconds": self.cpu_seconds,
        }  # fmt: skip

    def _bounded(self, gradient: Tensor) -> Tensor:
        length = self.config.rescale
        return gradient if length == 0.0 else gradient * (length / (gradient.norm() + 1e-12))

    def _cut(self, gradient: Tensor, norm: float) -> Tensor:
        match self.config.clip:
            case "norm":
                return gradient * min(1.0, LONGEST / (norm + 1e-12))
            case "elementwise":
                return gradient.clamp(-LARGEST, LARGEST)
        return gradient

    def _diverged(self, what: str) -> str:
        """Save the last finite meta-parameters, and log it."""
        self.save_optimizer(self.good)
        return (
            f"meta-iteration {self.iteration}: {what}; the last optimizer under which all units stayed "
            f"finite is in {OPTIMIZER} of the run, its checkpoint is intact; a lower --meta-lr may help"
        )

    def save_optimizer(self, phi: Tensor) -> None:
        """The optimizer for `--optimizer NAME:PATH`."""
        where = {"iteration": self.iteration, "config": self.config.to_json(), **provenance()}
        save_optimizer(
            self.run / OPTIMIZER, Learned(self.config.rule, phi.detach().clone(), self._clip(), where)
        )

    def _clip(self) -> float:
        """The clipping of gradients in meta-training; the smallest over the tasks."""
        clips = [herd.task.grad_clip for herd in self.herds if herd.task.grad_clip > 0.0]
        return min(clips, default=0.0)

    def save(self) -> None:
        """Checkpoint and optimizer."""
        save(self.run / "checkpoint.pt", self.state_dict())
        self.save_optimizer(self.phi)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "iteration": self.iteration, "phi": self.phi.detach().clone(), "good": self.good,
            "adam": self.adam.state_dict(), "agents": [herd.state_dict() for herd in self.herds],
            "seconds": self.seconds, "cpu_seconds": self.cpu_seconds,
        }  # fmt: skip

    def restore(self) -> None:
        """Restore the run's checkpoint."""
        state = load(self.run / "checkpoint.pt")
        self.iteration, self.seconds, self.cpu_seconds = (
            state[k] for k in ("iteration", "seconds", "cpu_seconds")
        )
        copy_into(self.phi, state["phi"])
        copy_into(self.good, state["good"])
        self.adam.load_state_dict(state["adam"])
        for herd, saved in zip(self.herds, state["agents"], strict=True):
            herd.load_state_dict(saved)


def _figures(task: str, seen: Seen) -> dict[str, float]:
    return {f"reward/{task}": float(seen.reward.mean()), f"loss/{task}": float(seen.loss.mean())}


def meta_train(config: MetaConfig, run: Path, *, resume: bool = False, until: int | None = None) -> bool:
    """Run to the end, to an interruption, or to meta-iteration `until`. True if the run is complete."""
    torch.set_num_threads(1)
    trainer = MetaTrainer(config, run)
    if resume and (run / "checkpoint.pt").exists():
        trainer.restore()
    log = RunLog(run, trainer.iteration)
    end = config.iterations if until is None else min(until, config.iterations)
    shown = [f"reward/{herd.task.name}" for herd in trainer.herds]
    bar = Progress(
        f"{config.rule} s{config.seed}", config.iterations, show=config.progress, figures=(*shown, "moved"),
        unit="iterations",
    )  # fmt: skip
    with interruptible() as stop, bar:
        while trainer.iteration < end and not stop.is_set():
            figures = trainer.iterate()
            log.write(trainer.iteration, figures)
            bar.show(trainer.iteration, figures)
            if trainer.iteration % config.checkpoint_every == 0:
                trainer.save()
        trainer.save()
    log.close()
    return trainer.iteration >= config.iterations
