"""What a safety critic's warnings are worth: misses by threshold, the exact bound, the threshold that holds.

A pure function of the episodes of `spillguard calibrate`, which explains the promise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from sim.pouring.guarded import Pour
from spillguard_core.bundle.manifest import Calibration
from spillguard_core.robot.arm import MONITOR_PERIOD

GRID = np.round(np.arange(0.02, 1.001, 0.02), 2)  # thresholds, in the order in which they are tested
GOOD = "good policy"
LEAD = 0.3  # [s] within which the fallback can hardly avert a spill any more


class AskedPromise(Protocol):
    """The promise that is asked for."""

    @property
    def delta(self) -> float: ...
    @property
    def confidence(self) -> float: ...
    @property
    def horizon(self) -> float: ...
    @property
    def false_interventions(self) -> float: ...


@dataclass(frozen=True)
class CriticTrace:
    """The critic's values in one episode."""

    policy: str
    success: bool
    violated: bool
    highest: float  # Q_c of the whole episode
    warned: float  # Q_c within the horizon before a broken rule, up to the lead; of the whole one without


def seen(policy: str, pour: Pour, horizon: float) -> CriticTrace:
    """An empty window counts as no warning."""
    window = pour.q_c
    if pour.violated:
        end = len(window) - round(LEAD / MONITOR_PERIOD)
        window = window[max(0, end - round(horizon / MONITOR_PERIOD)) : max(0, end)]
    return CriticTrace(policy, pour.success, pour.violated, _highest(pour.q_c), _highest(window))


def _highest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else 0.0


def upper_bound(hits: int, count: int, confidence: float) -> float:
    """One-sided upper limit of a proportion (Clopper and Pearson 1934)."""
    return 1.0 if hits >= count else float(beta.ppf(confidence, hits + 1, count - hits))


def missed(episodes: Sequence[CriticTrace], threshold: float) -> int:
    """Number of episodes in which a rule was broken without warning."""
    return sum(e.violated and not e.warned > threshold for e in episodes)


def highest_that_holds(episodes: Sequence[CriticTrace], delta: float, confidence: float) -> float | None:
    """The last threshold of `GRID` before the first that fails; None if the first one fails."""
    last = None
    for threshold in GRID.tolist():
        if not upper_bound(missed(episodes, threshold), len(episodes), confidence) <= delta:
            return last
        last = threshold
    return last


def lowest_that_costs(episodes: Sequence[CriticTrace], share: float) -> float:
    """The lowest threshold of `GRID` that disturbs at most that share of the good policy's successes."""
    peaks = np.array([e.highest for e in episodes if e.policy == GOOD and e.success])
    for threshold in GRID.tolist():
        if np.mean(peaks > threshold) <= share:
            return threshold
    return float(GRID[-1])


def calibration(episodes: Sequence[CriticTrace], asked: AskedPromise) -> tuple[float, Calibration]:
    """The threshold and its certificate. ValueError if no threshold holds the promise."""
    count, broken = len(episodes), sum(e.violated for e in episodes)
    if upper_bound(broken, count, asked.confidence) <= asked.delta:
        raise ValueError(
            f"the promise would be vacuous: {broken} of {count} episodes broke a rule, so that at most "
            f"{100 * asked.delta:g} % do with the critic switched off; ask for a smaller --delta"
        )
    limit = highest_that_holds(episodes, asked.delta, asked.confidence)
    if limit is None:
        bound = upper_bound(missed(episodes, float(GRID[0])), count, asked.confidence)
        raise ValueError(
            f"no threshold holds: at the lowest, {GRID[0]}, {missed(episodes, float(GRID[0]))} of {count} "
            f"episodes broke a rule without warning, at most {100 * bound:.1f} %, asked for is "
            f"{100 * asked.delta:.1f} %; run more episodes, or train the critic on what it misses"
        )
    value = min(limit, lowest_that_costs(episodes, asked.false_interventions))
    own = [e for e in episodes if e.policy == GOOD and e.success]
    return value, Calibration(
        delta=asked.delta, confidence=asked.confidence, horizon=asked.horizon, lead=LEAD, episodes=count,
        violations=broken, missed=missed(episodes, value),
        bound=upper_bound(missed(episodes, value), count, asked.confidence), highest_threshold=limit,
        own_successes=len(own), own_disturbed=sum(e.highest > value for e in own),
    )  # fmt: skip


def by_policy(episodes: Sequence[CriticTrace], value: float) -> list[dict[str, Any]]:
    """Counts of each policy of the mix."""
    rows = []
    for policy in dict.fromkeys(e.policy for e in episodes):
        mine = [e for e in episodes if e.policy == policy]
        rows.append({
            "policy": policy, "episodes": len(mine), "successes": sum(e.success for e in mine),
            "violations": sum(e.violated for e in mine), "missed": missed(mine, value),
            "warned": sum(e.highest > value for e in mine),
        })  # fmt: skip
    return rows


def draw(episodes: Sequence[CriticTrace], value: float, found: Calibration, path: Path) -> None:
    """Misses and false interventions by threshold, reliability, and the receiver operating curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    count = len(episodes)
    own = np.array([e.highest for e in episodes if e.policy == GOOD and e.success])
    bad = np.array([e.warned for e in episodes if e.violated])
    calm = np.array([e.highest for e in episodes if not e.violated])
    left.plot(GRID, [100 * missed(episodes, t) / count for t in GRID], label="missed, share of all")
    bounds = [100 * upper_bound(missed(episodes, t), count, found.confidence) for t in GRID]
    left.plot(GRID, bounds, label=f"upper bound, {100 * found.confidence:.0f} %")
    left.plot(GRID, [100 * np.mean(own > t) for t in GRID], label="own successes disturbed")
    left.axhline(100 * found.delta, color="grey", ls=":", label="delta")
    left.axvline(value, color="black", ls="--", label=f"threshold {value:.2f}")
    left.set(xlabel="threshold of Q_c", ylabel="%", title="what a threshold misses and costs", ylim=(0, None))
    left.legend(fontsize=8)
    peaks, violated = np.array([e.warned for e in episodes]), np.array([e.violated for e in episodes])
    edges = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.001])
    for low, high in pairwise(edges):
        inside = (peaks >= low) & (peaks < high)
        if inside.any():
            middle.plot(peaks[inside].mean(), violated[inside].mean(), "o", color="tab:blue")
            middle.annotate(str(inside.sum()), (peaks[inside].mean(), violated[inside].mean()), fontsize=7)
    middle.plot([0, 1], [0, 1], color="grey", ls=":")
    middle.set(xlabel="highest Q_c in the window", ylabel="share of episodes that broke a rule",
               title="reliability (numbers of episodes)", xlim=(0, 1), ylim=(-0.03, 1.03))  # fmt: skip
    if len(bad) and len(calm):
        right.plot([np.mean(calm > t) for t in GRID], [np.mean(bad > t) for t in GRID], ".-")
    right.plot([0, 1], [0, 1], color="grey", ls=":")
    right.set(xlabel="warned, of episodes without a broken rule", ylabel="warned, of broken rules",
              title=f"receiver operating curve ({len(bad)} broken rules)")  # fmt: skip
    figure.savefig(path, dpi=110)
    plt.close(figure)
