"""Scores of a run: return and costs at its end, samples, wall time, and counts of its updates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policy_training.evaluation.run_data import Array, RunData
from policy_training.evaluation.seed_statistics import window_mean


@dataclass(frozen=True)
class RunScore:
    """The scores of one run."""

    run: RunData
    end: float  # step up to which it is scored
    score: float
    costs: Mapping[str, float]  # mean episode cost by name; NaN where none was recorded

    @property
    def within(self) -> bool:
        """Whether every cost is within its limit. A cost that was not recorded is not."""
        return all(self.costs[name] <= limit for name, limit in self.run.limits.items())

    @property
    def samples(self) -> float:
        """Environment steps of the whole run."""
        return self.run.last("step")

    @property
    def batch(self) -> float:
        """Mean samples of an iteration; NaN where the algorithm has none."""
        return float(np.nanmean(self.run.columns["samples"])) if self.run.has("samples") else math.nan

    @property
    def iterations(self) -> float:
        """Iterations of the whole run; NaN where the algorithm has none."""
        return self.run.last("iteration")

    @property
    def minutes(self) -> float:
        """Wall time of the whole run; NaN where it was not recorded."""
        return self.run.last("seconds") / 60.0

    @property
    def conflicts(self) -> float:
        """Iterations in which the gradients of reward and cost were in conflict."""
        return self.run.last("conflicts")

    @property
    def modes(self) -> dict[str, float]:
        """Updates by mode."""
        names = [name for name in self.run.columns if name.startswith("mode/")]
        return {name.removeprefix("mode/"): self.run.last(name) for name in names}


def complete(runs: Sequence[RunData]) -> bool:
    """Whether runs are of one length, in steps or in iterations (whose sizes an algorithm may choose)."""
    steps = {run.last("step") for run in runs}
    iterations = {run.last("iteration") for run in runs}  # NaN is not equal to itself
    return len(steps) == 1 or (len(iterations) == 1 and all(map(math.isfinite, iterations)))


def scores(runs: Sequence[RunData], column: str, share: float) -> list[RunScore]:
    """Runs of one label in one environment: means over the last share of their steps.

    If runs differ in length, all are scored up to the end of the shortest.
    """
    shortest = min(run.last("step") for run in runs)
    judged = []
    for run in runs:
        end = run.last("step") if complete(runs) else shortest
        columns = {name: run.cost_column(name) for name in run.limits} or {"cost": "cost"}
        costs = {
            name: window_mean(run.curve(c), end, share) if run.has(c) else math.nan
            for name, c in columns.items()
        }
        judged.append(RunScore(run, end, window_mean(run.curve(column), end, share), costs))
    return judged


def array(judged: Sequence[RunScore], name: str) -> Array:
    """A property of RunScore over runs, (R,)."""
    return np.array([getattr(one, name) for one in judged], dtype=np.float64)
