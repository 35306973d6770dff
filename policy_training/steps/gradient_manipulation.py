"""Gradient manipulation by measured cost: which objectives move the policy, and along which direction.

PCRPO (Gu et al. 2024) and ESPO (Gu et al. 2024) share these rules. Both vectors are to be followed uphill:
g_r raises the reward's value, g_c lowers the cost's. J is the mean undiscounted episode cost, b its limit,
h+ >= 0 and h- <= 0 the slacks, all in the unit of the cost.

    mode      where                      direction
    cost      J > b + h+                 g_c
    soft      b + h- <= J <= b + h+      g_r . g_c < 0:   x_r P(g_r, g_c) + x_c P(g_c, g_r)
                                         else:            x_r g_r + x_c g_c
    reward    J < b + h-                 g_r

    P(u, v) = u - (u . v / |v|^2) v,   x_r + x_c = 1
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Mode = Literal["reward", "soft", "cost"]
Schedule = Literal["constant", "linear", "geometric"]
MODES: tuple[Mode, ...] = ("reward", "soft", "cost")
OPPOSITE = 1e-4  # two opposite directions cancel if the sine of their angle is below this


def mode_of(cost: float, limit: float, above: float, below: float) -> Mode:
    """The mode at a measured cost; "cost" where it is no number.

    `above` is h+, `below` is h-; both may be infinite.
    """
    if not cost <= limit + above:
        return "cost"
    return "reward" if cost < limit + below else "soft"


def cosine(a: Tensor, b: Tensor) -> float:
    """cos of the angle between two vectors (P,), in [-1, 1]; 0 where one of them is zero."""
    a, b = a.double(), b.double()
    product = float(a.norm() * b.norm())
    return max(-1.0, min(1.0, float(a @ b) / product)) if product > 0.0 else 0.0


def projected(a: Tensor, b: Tensor) -> Tensor:
    """P(a, b): the part of `a` (P,) that is orthogonal to `b` (P,); `a` itself where `b` is zero."""
    square = float(b.double() @ b.double())
    return a - (float(a.double() @ b.double()) / square) * b if square > 0.0 else a.clone()


@dataclass(frozen=True)
class Direction:
    """The combined direction."""

    vector: Tensor  # (P,)
    angle: float | None = None  # between the objectives [rad]; None where only one of them counts
    conflict: bool = False  # the angle is above 90 degrees
    opposite: bool = False  # the angle is so near to 180 degrees that they cancel; `vector` is zero


def combined(g_r: Tensor, g_c: Tensor, x_r: float) -> Direction:
    """The soft mode's direction. g_r, g_c (P,), both ascent directions; x_r in [0, 1] is the reward's
    weight."""
    cos = cosine(g_r, g_c)
    angle, x_c = math.acos(cos), 1.0 - x_r
    if cos >= 0.0:
        return Direction(x_r * g_r + x_c * g_c, angle)
    if 1.0 - cos * cos < OPPOSITE**2:
        return Direction(g_r * 0.0, angle, conflict=True, opposite=True)
    return Direction(x_r * projected(g_r, g_c) + x_c * projected(g_c, g_r), angle, conflict=True)


def shrunk(factor: float, schedule: Schedule, before: float, now: float) -> float:
    """The remaining share of a slack: the next factor from the last one.

    `before` and `now` are the shares of the run that were done. Linear: 1 - now. Geometric: q <- q - q / T of
    ESPO's Algorithm 1, where 1 / T is now - before; so (1 - 1/T)^t after t iterations, 0.37 at the end.
    """
    if schedule == "linear":
        return 1.0 - now
    return factor * (1.0 - max(now - before, 0.0)) if schedule == "geometric" else factor


def scaled(slack: float, factor: float) -> float:
    """A slack after `shrunk`. An infinite one stays infinite."""
    return slack if math.isinf(slack) else slack * factor


def sample_size(base: int, conflict: bool, more: float, fewer: float) -> int:
    """ESPO's Eqs. 6 and 7: X + X zeta+ after a conflict, X + X zeta- otherwise, whole steps, at least 1.

    base is X, the same in every iteration; `more` is zeta+ >= 0, `fewer` is zeta- in (-1, 0].
    """
    return max(1, round(base * (1.0 + (more if conflict else fewer))))


def total_samples(base: int, iterations: int, conflicts: int, more: float, fewer: float) -> int:
    """Samples of a whole run: T X (1 + zeta-) + N X (zeta+ - zeta-).

    `conflicts` is N, those in all iterations but the last, whose batch would come after the run.
    """
    calm = (iterations - conflicts) * sample_size(base, False, more, fewer)
    return calm + conflicts * sample_size(base, True, more, fewer)


def implied_conflicts(base: int, iterations: int, total: float, more: float, fewer: float) -> float:
    """N from a run's total: `total_samples` solved for it."""
    return (total - iterations * base * (1.0 + fewer)) / (base * (more - fewer))
