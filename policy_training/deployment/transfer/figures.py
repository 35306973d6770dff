"""What the episodes of a transfer report say: rates with intervals, aims, failures, and what they hang on."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, mannwhitneyu, norm

from policy_training.deployment.transfer.conditions import (
    ENDS,
    HELD_OUT,
    HOPELESS,
    INSIDE,
    TransferCondition,
    ends,
)
from policy_training.deployment.transfer.episodes import ON, Row
from sim.pouring.domain import FULL, QUANTITIES
from sim.pouring.outcome import SUCCESS_SHARE
from spillguard_core.gate.reasons import Reason, Verdict

CONFIDENCE = 0.95
LEAST_SUCCESS = {INSIDE: 0.97, HELD_OUT: 0.85}  # by tier, monitor on
MOST_SPILL = 0.02  # in every condition, monitor on
BENCH = 0.03  # half the width of the interval that a bench is to give
TILTED = 0.2  # [rad] at which a cup is no longer upright
LAST = 0.9  # share landed, above which what is spilt was the last of it
FEWEST = 5  # failures and successes that an association needs
SHOWN, MET, MISSED = "shown", "met", "**missed**"


class Rate(NamedTuple):
    """A share of episodes with its Wilson (1927) interval."""

    hits: int
    episodes: int
    rate: float
    low: float
    high: float


class Aim(NamedTuple):
    """What was asked for in one condition, and what came of it, monitor on."""

    condition: str
    name: str
    limit: float
    most: bool  # the limit is the most allowed, otherwise the least
    found: Rate

    @property
    def verdict(self) -> str:
        """Shown: by the whole interval. Met: by the rate alone."""
        found, limit = self.found, self.limit
        if (found.high <= limit) if self.most else (found.low >= limit):
            return SHOWN
        return MET if ((found.rate <= limit) if self.most else (found.rate >= limit)) else MISSED


class Cluster(NamedTuple):
    """Episodes of one condition and way that failed alike."""

    condition: str
    way: str
    failure: str
    seeds: tuple[int, ...]


class Effect(NamedTuple):
    """What a quantity at one end of its range does to the rate of failures, from that of `pours`."""

    quantity: str
    end: str
    value: object
    failures: Rate
    change: tuple[float, float, float]  # difference of the rates, and its interval


class Association(NamedTuple):
    """A quantity over its range in episodes that failed and in those that did not."""

    quantity: str
    larger: float  # probability that it was larger in a failure than in a success; 0.5: it tells nothing
    p: float  # of the Mann-Whitney test, times the number of quantities (Bonferroni)


def rate(hits: int, episodes: int) -> Rate:
    """`episodes` at least 1."""
    low, high = binomtest(hits, episodes).proportion_ci(CONFIDENCE, method="wilson")
    return Rate(hits, episodes, hits / episodes, float(low), float(high))


def rate_of(rows: Sequence[Row], happened: Callable[[Row], bool]) -> Rate:
    """Of the rows in which it happened."""
    return rate(sum(map(happened, rows)), len(rows))


def difference(one: Rate, other: Rate) -> tuple[float, float, float]:
    """one - other with an interval for independent samples made of both Wilson intervals (Newcombe 1998,
    method 10). Equal seeds make it wider than need be, never narrower, where they go together."""
    gap = one.rate - other.rate
    below = math.hypot(one.rate - one.low, other.high - other.rate)
    above = math.hypot(one.high - one.rate, other.rate - other.low)
    return gap, gap - below, gap + above


def half_width(share: float, episodes: int) -> float:
    """Of the Wilson interval around a rate."""
    z = float(norm.ppf(0.5 + CONFIDENCE / 2.0))
    inner = share * (1.0 - share) / episodes + z**2 / (4.0 * episodes**2)
    return z / (1.0 + z**2 / episodes) * math.sqrt(inner)


def pours_needed(share: float) -> int:
    """Fewest pours whose Wilson interval is at most +-`BENCH` wide if this share of them succeeds."""
    return next(n for n in count(1) if half_width(share, n) <= BENCH)


def rows_of(rows: Iterable[Row], condition: str, way: str = ON) -> list[Row]:
    """Episodes of a condition and a way."""
    return [row for row in rows if row["condition"] == condition and row["way"] == way]


def broken(row: Row) -> bool:
    """Whether a rule was broken."""
    return bool(row["spill"] or row["contact"] or row["limit"])


def ended_safely(row: Row) -> bool:
    """Poured; or nothing broken, the cup upright, the arm at rest, and the monitor says why."""
    given = row["reason"] not in ("", "OK")
    return row["success"] or (not broken(row) and row["upright"] and row["at_rest"] and given)


def failure(row: Row) -> str:
    """How an episode failed; empty if it did not."""
    landed = row["landed"] / row["total"]
    if row["success"]:
        return ""
    if row["contact"]:
        return "contact"
    if row["limit"]:
        return "limit broken"
    if row["spill"]:
        if landed == 0.0:
            return "spilt upright" if abs(row["tilt"]) < TILTED else "spilt before any of it landed"
        return "spilt while pouring" if landed < LAST else "spilt the last of it"
    reason = row["reason"] or "no monitor"
    if row["stopped"]:
        return f"stopped: {reason}"
    if row["reason"] and Reason.named(reason).verdict >= Verdict.HOLD:
        return f"held: {reason}"
    if landed >= SUCCESS_SHARE:
        return f"poured, not upright again: {reason}"
    return f"not emptied, cup {'upright' if row['upright'] else 'tilted'}: {reason}"


def clusters(rows: Iterable[Row]) -> list[Cluster]:
    """Failures alike, the most frequent first."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        if failure(row):
            found.setdefault((row["condition"], row["way"], failure(row)), []).append(row["seed"])
    alike = [Cluster(*key, tuple(sorted(seeds))) for key, seeds in found.items()]
    return sorted(alike, key=lambda cluster: -len(cluster.seeds))


def failures(rows: Iterable[Row], known: Iterable[TransferCondition]) -> list[Cluster]:
    """Behind the monitor, where it was not all up to one quantity. What cannot succeed fails if it does not
    end safely."""
    tiers = {condition.name: condition.tier for condition in known if condition.tier != ENDS}
    mine = [row for row in rows if row["way"] == ON and row["condition"] in tiers]
    return clusters(row for row in mine if tiers[row["condition"]] != HOPELESS or not ended_safely(row))


def alike(found: Iterable[Cluster]) -> dict[str, list[Cluster]]:
    """Clusters of the same failure, whatever the condition; the most frequent failure first."""
    by_failure: dict[str, list[Cluster]] = {}
    for cluster in found:
        by_failure.setdefault(cluster.failure, []).append(cluster)
    frequent = sorted(by_failure.items(), key=lambda item: -sum(len(c.seeds) for c in item[1]))
    return dict(frequent)


def aims(rows: Sequence[Row], known: Iterable[TransferCondition]) -> list[Aim]:
    """Every aim in every condition that has episodes."""
    found = []
    for condition in known:
        mine = rows_of(rows, condition.name)
        if not mine or condition.tier == ENDS:
            continue
        if condition.tier == HOPELESS:
            found.append(Aim(condition.name, "ends safely", 1.0, False, rate_of(mine, ended_safely)))
        else:
            success = rate_of(mine, itemgetter("success"))
            found.append(Aim(condition.name, "success", LEAST_SUCCESS[condition.tier], False, success))
        for name, limit in (("spill", MOST_SPILL), ("contact", 0.0), ("limit", 0.0)):
            happened = rate_of(mine, itemgetter(name))
            found.append(Aim(condition.name, name, limit, True, happened))
    return found


def effects(rows: Sequence[Row]) -> list[Effect]:
    """Of every quantity at the ends of its range, the greatest change first."""
    ordinary = rows_of(rows, "pours")
    found = []
    for quantity, end, value, condition in ends():
        mine = rows_of(rows, condition.name)
        if mine and ordinary:
            failures = rate_of(mine, lambda row: not row["success"])
            change = difference(failures, rate_of(ordinary, lambda row: not row["success"]))
            found.append(Effect(quantity, end, value, failures, change))
    return sorted(found, key=lambda effect: -abs(effect.change[0]))


def associations(rows: Sequence[Row]) -> list[Association]:
    """Of every quantity in the episodes of `full`, the strongest first; none if too few failed."""
    mine = rows_of(rows, "full")
    failed = np.array([not row["success"] for row in mine], dtype=bool)
    if min(failed.sum(), (~failed).sum()) < FEWEST:
        return []
    found = []
    for name in FULL.varied:
        values = np.array([_amount(name, row) for row in mine])
        test = mannwhitneyu(values[failed], values[~failed])
        larger = float(test.statistic) / float(failed.sum() * (~failed).sum())
        found.append(Association(name, larger, min(1.0, float(test.pvalue) * len(FULL.varied))))
    return sorted(found, key=lambda one: -abs(one.larger - 0.5))


def _amount(name: str, row: Row) -> float:
    """A quantity of an episode; of a vector its distance from the nominal one, in its widest ranges."""
    quantity = QUANTITIES[name]
    value = np.asarray(row["domain"].get(name, quantity.nominal), dtype=float)
    if value.ndim == 0:
        return float(value)
    width = np.subtract(quantity.high, quantity.low)
    return float(np.linalg.norm((value - np.asarray(quantity.nominal)) / width))


def reasons(rows: Iterable[Row]) -> Counter[str]:
    """Last reasons of the monitor."""
    return Counter(row["reason"] for row in rows)
