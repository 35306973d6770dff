"""Means over meta-seeds and seeds with 90 % intervals, and verdicts on differences. The bootstrap resamples
meta-seeds first and agents within them, because agents of one optimizer are no evidence for another one of
the same kind. With one meta-seed the spread over meta-seeds is unknown: only agents are resampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studies.optim4rl.study_rows import Row

REPETITIONS, CONFIDENCE = 4_000, 0.90
FEWEST = 3  # agents on either side of a comparison
Groups = list[NDArray[np.float64]]  # scores of agents, by meta-seed


@dataclass(frozen=True)
class Interval:
    """A mean and its bounds."""

    mean: float
    low: float
    high: float


def groups(rows: Sequence[Row], value: str = "score") -> Groups:
    """Values of rows by meta-seed."""
    seeds = dict.fromkeys(row.meta_seed for row in rows)
    return [np.array([getattr(row, value) for row in rows if row.meta_seed == seed]) for seed in seeds]


def interval(ours: Groups) -> Interval:
    """The interval of the mean over meta-seeds of the mean over agents."""
    return _interval(_mean(ours), _draws(ours, seed=0))


def difference(ours: Groups, theirs: Groups) -> Interval:
    """The interval of our mean minus theirs, resampled independently."""
    return _interval(_mean(ours) - _mean(theirs), _draws(ours, seed=0) - _draws(theirs, seed=1))


def verdict(ours: Groups, theirs: Groups) -> str:
    """A verdict in words, with the sample size if it is small."""
    if min(sum(map(len, ours)), sum(map(len, theirs))) < FEWEST:
        return f"not judged: fewer than {FEWEST} agents"
    found = difference(ours, theirs)
    if not found.low > 0.0 and not found.high < 0.0:
        return "no difference shown"
    word = "better" if found.low > 0.0 else "worse"
    return word if len(ours) > 1 else f"{word}, of one meta-seed"


def _mean(parts: Groups) -> float:
    return float(np.mean([part.mean() for part in parts]))


def _draws(parts: Groups, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    slots = np.arange(len(parts))
    means = np.stack([  # (meta-seeds, repetitions, slots)
        part[rng.integers(len(part), size=(REPETITIONS, len(slots), len(part)))].mean(axis=2)
        for part in parts
    ])  # fmt: skip
    chosen = rng.integers(len(parts), size=(REPETITIONS, len(parts)))
    draws = np.arange(REPETITIONS)[:, None]
    return means[chosen, draws, slots].mean(axis=1)


def _interval(point: float, draws: NDArray[np.float64]) -> Interval:
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(draws, [tail, 100.0 - tail])
    return Interval(point, float(low), float(high))
