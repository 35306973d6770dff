"""Meta-tests of all contestants on the small tasks: rates chosen on validation tasks, then fresh seeds.

Every contestant, each meta-seed a contestant of its own, has the same trials: every rate with every tuning
seed on the validation task. The rate of the best mean is used on the test task, on which nothing is chosen.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from policy_training.meta_learning.tasks import TASKS
from studies.optim4rl.contestants import Contestant
from studies.optim4rl.meta_test import ALPHAS, MetaTestBudget, best_alpha, play
from studies.optim4rl.study_rows import Row, Rows, written

logger = logging.getLogger(__name__)
VALIDATION = {"small_dense_short": "small_sparse_short", "small_dense_long": "small_sparse_long"}
TUNING_SEED, TEST_SEED = 1_000, 2_000  # random streams of this stage alone


def validation_of(task: str) -> str:
    """The task on which rates are chosen: one without training; else the task itself, with other seeds."""
    return VALIDATION.get(task, task)


def grid_study(
    rows: Rows, part: str, tasks: Sequence[str], contestants: Sequence[Contestant], budget: MetaTestBudget, *,
    trials: int, seeds: int, stop: Callable[[], bool],
) -> None:  # fmt: skip
    """Play what is missing in the rows."""
    for task in tasks:
        for one in contestants:
            if stop():
                return
            found = tuning_rows(rows, part, validation_of(task), one, ALPHAS, budget, trials)
            alpha = best_alpha([row.alpha for row in found], [row.score for row in found])
            play_rows(rows, part, task, one, alpha, budget, seeds)


def tuning_rows(
    rows: Rows,
    part: str,
    task: str,
    one: Contestant,
    alphas: Sequence[float],
    budget: MetaTestBudget,
    trials: int,
) -> list[Row]:
    """Every rate with every tuning seed, from the file or played now."""
    want = [
        _row(part, task, one, "tune", alpha, number, budget) for alpha in alphas for number in range(trials)
    ]
    return _played(rows, want, one, TUNING_SEED, budget)


def play_rows(
    rows: Rows, part: str, task: str, one: Contestant, alpha: float, budget: MetaTestBudget, seeds: int
) -> list[Row]:
    """Fresh seeds at one rate, from the file or played now."""
    want = [_row(part, task, one, "test", alpha, number, budget) for number in range(seeds)]
    return _played(rows, want, one, TEST_SEED, budget)


def _played(rows: Rows, want: list[Row], one: Contestant, seed: int, budget: MetaTestBudget) -> list[Row]:
    if not rows.has(want):
        outcome = play(TASKS[want[0].task], one.learned, [row.alpha for row in want], seed, budget)
        done = [
            replace(row, score=float(score), curve=tuple(np.round(curve, 6).tolist()))
            for row, score, curve in zip(want, outcome.scores, outcome.curves, strict=True)
        ]
        rows.add(done)
        told = " ".join(f"{row.alpha:g}: {row.score:.4f}" for row in done)
        logger.info("%s, %s %d, %s: %s", want[0].task, one.label, one.meta_seed, want[0].stage, told)
    keys = {row.key for row in want}
    return [row for row in rows.rows if row.key in keys]


def _row(
    part: str, task: str, one: Contestant, stage: str, alpha: float, seed: int, budget: MetaTestBudget
) -> Row:
    return Row(
        part, task, one.label, one.meta_seed, stage, alpha, seed, float("nan"), budget=written(budget),
        origin=one.learned.digest[:12],
    )  # fmt: skip
