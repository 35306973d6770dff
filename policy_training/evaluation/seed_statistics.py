"""Statistics over seeds: interquartile means and stratified bootstrap intervals by rliable.

Agarwal et al. 2021, arXiv:2108.13264. Shapes: R runs, M tasks, T points of a curve. Up to three runs of one
task the interquartile mean trims nothing and is the mean; the 95 % interval of three runs reaches from the
lowest to the highest.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from policy_training.evaluation.run_data import Array, Curve

REPETITIONS = 2_000  # bootstrap samples
CONFIDENCE = 0.95
POINTS = 200  # most points of a curve


@dataclass(frozen=True)
class Estimate:
    """A statistic and its interval, (T,) each; bounds are NaN for one run, which has no spread."""

    point: Array
    low: Array
    high: Array


def interquartile_mean(scores: Array) -> Array:
    """rliable's aggregate_iqm at every point, without its overhead: (R, M, T) -> (T,)."""
    ordered = np.sort(scores.reshape(-1, scores.shape[-1]), axis=0)
    cut = len(ordered) // 4
    return ordered[cut : len(ordered) - cut].mean(axis=0)


def mean(scores: Array) -> Array:
    """(R, M, T) -> (T,)."""
    return scores.mean(axis=(0, 1))


def estimate(scores: Array, statistic: Callable[[Array], Array] = interquartile_mean) -> Estimate:
    """A statistic (R, M, T) -> (T,) with its interval; runs are resampled within every task."""
    if len(scores) < 2 or not np.isfinite(scores).all():
        unknown = np.full(scores.shape[-1], np.nan)
        return Estimate(statistic(scores), unknown, unknown)
    return _estimate(scores, statistic)


def probability_of_improvement(ours: Array, theirs: Array) -> Estimate:
    """Probability that a run of ours (R,) scores above one of theirs (S,), ties by half. (1,)."""
    return _compare(
        ours,
        theirs,
        lambda a, b: ((a > b.transpose(1, 0, 2)) + 0.5 * (a == b.transpose(1, 0, 2))).mean((0, 1)),
    )


def ratio_of_means(ours: Array, theirs: Array) -> Estimate:
    """Mean of ours (R,) over the mean of theirs (S,). (1,)."""
    return _compare(ours, theirs, lambda a, b: a.mean(axis=(0, 1)) / b.mean(axis=(0, 1)))


def common_grid(curves: Sequence[Curve], what: str) -> tuple[Array, Array]:
    """Points (T,) within the range that all curves share, and every curve there (R, T)."""
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if not first <= last:
        raise ValueError(
            f"{what}: one run begins at {first:g} where another has ended at {last:g}; leave one of them out"
        )
    densest = max((x for x, _ in curves), key=len)
    grid = np.union1d(densest[(densest >= first) & (densest <= last)], [first, last])
    grid = grid[np.unique(np.linspace(0, len(grid) - 1, min(len(grid), POINTS)).round().astype(int))]
    return grid, np.array([np.interp(grid, x, values) for x, values in curves])


def window_mean(curve: Curve, end: float, share: float) -> float:
    """Mean over the last share of the steps up to `end`; the last value where none lies within."""
    steps, values = curve
    values, steps = values[steps <= end], steps[steps <= end]
    if not len(steps):
        return float("nan")
    return float(values[(steps >= (1.0 - share) * end) | (steps == steps[-1])].mean())


def _compare(ours: Array, theirs: Array, statistic: Callable[[Array, Array], Array]) -> Estimate:
    a, b = ours[:, None, None], theirs[:, None, None]  # one task, one point
    if min(len(ours), len(theirs)) < 2 or not np.isfinite([*ours, *theirs]).all():
        unknown = np.array([np.nan])
        known = np.isfinite([*ours, *theirs]).all()
        return Estimate(statistic(a, b) if known else unknown, unknown, unknown)
    return _estimate([a, b], statistic)


def _estimate(scores: Array | list[Array], statistic: Callable[..., Array]) -> Estimate:
    samples = scores if isinstance(scores, list) else [scores]
    if all((sample == sample[0]).all() for sample in samples):  # every sample is the same
        point = statistic(*samples)
        return Estimate(point, point, point)
    library = _rliable_library()
    with _repeatable():
        points, bounds = library.get_interval_estimates(
            {"": scores}, statistic, reps=REPETITIONS, confidence_interval_size=CONFIDENCE
        )
    low, high = bounds[""]
    return Estimate(points[""], low, high)


@contextmanager
def _repeatable() -> Iterator[None]:
    """rliable samples from numpy's global generator, whatever random_state it is given."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _rliable_library() -> ModuleType:
    """Imported when an interval is asked for: it takes seconds, and one run needs none."""
    try:
        from rliable import library
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"intervals over seeds need rliable ({error.name} is missing): pip install 'spillguard[viz]'"
        ) from error
    logging.getLogger("absl").setLevel(logging.WARNING)  # it prints every estimate that it begins
    return library
