"""Catch as published: 64 units, 78 meta-iterations, a sweep over meta-rate and reset interval, alpha 1e-3.

The point of the sweep is chosen by agents of tuning seeds; the chosen one plays fresh seeds. The trials of
the hand-made rules and of the untrained one are spread over their rates; so are those of the chosen one,
which was learned at one rate, under a label of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.tasks import TASKS
from studies.optim4rl.contestants import Contestant, complete_meta, hand_made, trained, untrained
from studies.optim4rl.grid_study import grid_study, play_rows, tuning_rows
from studies.optim4rl.meta_test import MetaTestBudget
from studies.optim4rl.study_rows import Rows

META_RATES, INTERVALS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (32, 64)
CATCH, CATCH_GAMES = "catch", 64  # games that share an agent in a meta-test


def sweep(base: MetaConfig, iterations: int) -> list[MetaConfig]:
    """Every point, one meta-seed each as in the paper."""
    return [
        replace(
            base, tasks=CATCH, rule="optim4rl", units=64, iterations=iterations, reset_interval=interval,
            meta_lr=rate, pipeline=True, clip="none",
        )
        for interval in INTERVALS for rate in META_RATES
    ]  # fmt: skip


def catch_study(
    rows: Rows, root: Path, base: MetaConfig, budget: MetaTestBudget, *, iterations: int, trials: int,
    seeds: int, stop: Callable[[], bool],
) -> None:  # fmt: skip
    """Sweep, choose a point, and play."""
    others = [*hand_made(), *untrained((base.seed,), root)]
    grid_study(rows, CATCH, (CATCH,), others, budget, trials=trials, seeds=seeds, stop=stop)
    points = []
    for config in sweep(base, iterations):
        if stop() or complete_meta(config, root) is None:
            return
        one = trained(config, root)
        assert one is not None
        points.append(one)
    chosen = _best(rows, points, budget, trials)
    play_rows(rows, CATCH, CATCH, chosen, TASKS[CATCH].alone, budget, seeds)
    tuned = replace(chosen, label=f"{chosen.label}, rate tuned as well")
    grid_study(rows, CATCH, (CATCH,), [tuned], budget, trials=trials, seeds=seeds, stop=stop)


def _best(rows: Rows, points: Sequence[Contestant], budget: MetaTestBudget, trials: int) -> Contestant:
    alpha = TASKS[CATCH].alone
    means = []
    for one in points:
        found = tuning_rows(rows, CATCH, CATCH, one, (alpha,), budget, trials)
        means.append(float(np.mean([row.score for row in found])))
    return points[int(np.nanargmax(means))]
