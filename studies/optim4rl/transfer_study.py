"""Frozen optimizers on tasks that nothing was meta-trained on: PPO, and PPO-Lag where there are costs.

The same rate serves policy and value functions. It is chosen on a validation environment, with equal trials
for every contestant; the targets are run with the chosen one alone. Each run is a normal run folder: an
interrupted one is resumed, a complete one is not repeated.
"""

import csv
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from policy_training.algorithms.ppo_lag import PpoLagConfig
from policy_training.many_runs import complete, run_of
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.presets import preset
from studies.optim4rl.contestants import Contestant
from studies.optim4rl.meta_test import best_alpha
from studies.optim4rl.study_rows import Row, Rows, written

logger = logging.getLogger(__name__)
VALIDATION = "sim.tasks.costless:costless/InvertedPendulum-v0"
TARGETS = (
    "sim.tasks.costless:costless/Pendulum-v0", "sim.tasks.costless:costless/InvertedDoublePendulum-v0",
    "spillguard/Nav2D-v0", "spillguard/SafetyHopperVelocity-v0",
)  # fmt: skip
ALPHAS = (3e-3, 1e-3, 3e-4, 1e-4)
LAST = 0.2  # share of the iterations that a score is the mean over
TUNING_SEED = 100  # the first of those that rates are chosen with


@dataclass(frozen=True)
class TransferBudget:
    """The budget of every run of the transfer."""

    iterations: int
    samples: int  # environment steps of an iteration
    epochs: int  # passes over them

    def __str__(self) -> str:
        return f"{self.iterations} iterations of {self.samples} steps, {self.epochs} passes"


def transfer_config(env: str, optimizer: str, alpha: float, seed: int, budget: TransferBudget) -> RunConfig:
    """PPO-Lag as the environment's preset has it, with this optimizer and budget."""
    config = preset("ppo_lag", env, seed)
    assert isinstance(config.algorithm, PpoLagConfig)
    loop = OnPolicyLoop(
        steps=0, iterations=budget.iterations, samples=budget.samples, envs=2 if "Nav2D" in env else 1,
        progress=False,
    )  # fmt: skip
    settings = replace(
        config.algorithm, optimizer=optimizer, critic_lr=alpha, critic_epochs=budget.epochs,
        policy_lr=alpha, policy_epochs=budget.epochs,
    )  # fmt: skip
    return replace(config, loop=loop, algorithm=settings)


def transfer_study(
    rows: Rows, root: Path, contestants: Sequence[Contestant], budget: TransferBudget, *,
    targets: Sequence[str], trials: int, seeds: Sequence[int], stop: Callable[[], bool],
) -> None:  # fmt: skip
    """Train what is missing in the rows. Seeds come first, so that an unfinished study has complete
    comparisons."""
    for seed in seeds:
        for env in targets:
            for one in contestants:
                tuning = [
                    _run(rows, root, VALIDATION, one, "tune", alpha, TUNING_SEED + n, budget, stop)
                    for alpha in ALPHAS for n in range(trials)
                ]  # fmt: skip
                found = [row for row in tuning if row is not None]
                if len(found) < len(tuning):
                    return
                alpha = best_alpha([row.alpha for row in found], [row.score for row in found])
                if _run(rows, root, env, one, "test", alpha, seed, budget, stop) is None:
                    return


def _run(
    rows: Rows, root: Path, env: str, one: Contestant, stage: str, alpha: float, seed: int,
    budget: TransferBudget, stop: Callable[[], bool],
) -> Row | None:  # fmt: skip
    """The row, from the file or a run; None if that was interrupted."""
    row = Row(
        "transfer", env.split("/")[-1], one.label, one.meta_seed, stage, alpha, seed, float("nan"),
        budget=written(budget), origin=one.learned.digest[:12],
    )  # fmt: skip
    known = [r for r in rows.rows if r.key == row.key]
    if known:
        return known[0]
    config = transfer_config(env, one.text, alpha, seed, budget)
    try:
        if stop() or not complete(config, root):
            return None
        run = run_of(config, root)
        assert run is not None
        row = _scored(row, run)
    except FloatingPointError as error:
        logger.warning("%s, %s, alpha %g: %s", env, one.label, alpha, error)
    rows.add([row])
    logger.info(
        "%s, %s %d, %s, alpha %g, seed %d: %.3g",
        row.task,
        one.label,
        one.meta_seed,
        stage,
        alpha,
        seed,
        row.score,
    )
    return row


def _scored(row: Row, run: Path) -> Row:
    """Return and cost at the end, and the curve of returns."""
    with (run / "progress.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    returns, costs = (np.array([float(line[name]) for line in table]) for name in ("return", "cost"))
    last = max(1, round(LAST * len(returns)))
    return replace(
        row,
        score=float(returns[-last:].mean()),
        cost=float(costs[-last:].mean()),
        curve=tuple(returns.tolist()),
    )
