"""Estimates of a domain's quantities with intervals, and when the data counts as having pinned one.

J = 7 joints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sim.pouring.domain import NOMINAL, QUANTITIES, Range, Spread, Value
from spillguard_core.robot.arm import Vec

TIMED = ("delay", "jitter")
"""Read from the stamps of proposals."""
PINNED = 0.5  # of the width of its range: a quantity with a wider interval is not pinned
FEWEST_ANSWERS = 30
LATEST = 1.0  # [s] that an answer may take; by other stamps the clocks differ, or there is none


class QuantityEstimate(NamedTuple):
    """One number: a quantity of one joint, or of the whole arm."""

    name: str
    joint: int | None
    value: float
    low: float
    high: float  # of the 95 % interval
    pinned: bool
    why: str  # it is not pinned; empty if it is


@dataclass(frozen=True)
class Identified:
    """Outcome of a fit."""

    estimates: tuple[QuantityEstimate, ...]
    noise: Mapping[str, tuple[float, ...]]  # by "position", "velocity", "torque", for each joint
    seconds: float  # of motion used
    misfit: float  # root mean square of the residual, in units of the noise; 1: as good as the sensors
    independent: Vec  # half widths by `calculate_intervals`, in the order of the fitted estimates

    @property
    def pinned(self) -> tuple[QuantityEstimate, ...]:
        """What the data pins."""
        return tuple(e for e in self.estimates if e.pinned)

    @property
    def unpinned(self) -> tuple[QuantityEstimate, ...]:
        """What it does not."""
        return tuple(e for e in self.estimates if not e.pinned)

    def spread(self) -> Spread:
        """The cell as it is now known: pinned quantities with their intervals, the rest over its range."""
        base: dict[str, Value] = {}
        varied: dict[str, Range] = {}
        for name in dict.fromkeys(e.name for e in self.estimates):
            told = [e for e in self.estimates if e.name == name]
            value, low, high = (
                tuple(float(number) for number in column)
                for column in zip(*((e.value, e.low, e.high) for e in told), strict=True)
            )
            vector = told[0].joint is not None
            base[name] = value if vector else value[0]
            varied[name] = (low, high) if vector else (low[0], high[0])
        return Spread(replace(NOMINAL, **base), varied)


def bounds(name: str) -> tuple[Vec, Vec]:
    """Ends of a quantity's range, (J,) or (1,)."""
    quantity = QUANTITIES[name]
    return np.atleast_1d(quantity.low).astype(float), np.atleast_1d(quantity.high).astype(float)


def estimate(
    name: str, joint: int | None, value: float, low: float, high: float, why: str
) -> QuantityEstimate:
    """With the whole range in place of the interval if it is not pinned."""
    if why:
        ends, nominal = bounds(name), np.atleast_1d(QUANTITIES[name].nominal)
        entry = joint or 0
        return QuantityEstimate(
            name, joint, float(nominal[entry]), float(ends[0][entry]), float(ends[1][entry]), False, why
        )
    return QuantityEstimate(name, joint, value, max(low, 0.0), high, True, "")


def plausible(seconds: Vec) -> Vec:
    """Those of P latencies (P,) [s] that an answer can have."""
    return seconds[(seconds >= 0.0) & (seconds <= LATEST)]


def latency(seconds: Vec) -> list[QuantityEstimate]:
    """Shortest latency and jitter, from those of P answers (P,) [s].

    As of a uniform distribution: its lower end lies below the smallest of P values by a share of its width
    that exceeds 1 - a^(1/P) with probability a, and the range of the values is that share of the width whose
    distribution is Beta(P - 1, 2). Implausible ones do not count.
    """
    from scipy.stats import beta

    told, seconds = len(seconds), plausible(seconds)
    count = len(seconds)
    if count < FEWEST_ANSWERS:
        why = f"it needs {FEWEST_ANSWERS} stamped proposals, the recording has {count}"
        if told > count:
            why += f" and {told - count} whose stamp is not 0 to {LATEST:g} s before their arrival"
        return [estimate(name, None, 0.0, 0.0, 0.0, why) for name in TIMED]
    least, most = float(seconds.min()), float(seconds.max())
    spread = most - least
    widest = spread / float(beta.ppf(0.05, count - 1, 2))
    below = widest * (1.0 - 0.05 ** (1.0 / count))
    ends = {"delay": (least, least - below, least), "jitter": (spread, spread, widest)}
    return [estimate(name, None, value, low, high, "") for name, (value, low, high) in ends.items()]
