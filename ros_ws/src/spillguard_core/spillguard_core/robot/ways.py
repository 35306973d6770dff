"""Where on a path to look, so that nothing comes close unseen between two looks.

The smallest distance d of any two parts changes by no more than the one moves as seen from the other. If no
part moves by more than m between two postures, it is at least

    (d_before + d_after - m) / 2

in between. Where that is less than what has to be left, one more posture half-way is looked at, and so on. So
a path on which every look shows the whole clearance keeps `SURE_OF` of it everywhere, or all but `UNSEEN`
where that is less. It may begin closer, between two looks at the path before: it keeps the same then, or what
it begins with if that is less, so paths that follow one another add nothing up. For m see `swept.py`.

Shapes: J joints.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from spillguard_core.robot.arm import Vec

PATH_STEP = 0.02  # [rad] between two looks at a path; the tool moves about 1 cm
FINE_STEP = 0.005  # [rad] the same where something is close
ROUND = 0.25  # [m] per rad of a step, that a rim mostly comes closer within it than at both ends
SURE_OF = 0.5  # of the clearance, which is kept between two looks, too, where all of it is kept at both
UNSEEN = 0.001  # [m] by which a part may always come closer between two looks than at both


class Lead(NamedTuple):
    """How the arm comes to a straight path: one period at a constant acceleration, from `begin` to `corner`,
    then straight to the path's first posture, which may be `corner` itself."""

    begin: Vec  # (J,) [rad]
    qd: Vec  # (J,) [rad/s] there
    corner: Vec  # (J,) [rad]
    corner_qd: Vec  # (J,) [rad/s]
    period: float  # [s]

    def at(self, share: float) -> Vec:
        """Posture (J,) [rad] after this share of the period."""
        change = self.corner_qd - self.qd
        return self.begin + self.period * share * (self.qd + 0.5 * share * change)

    def moved(self, by: Vec) -> "Lead":
        """The same with every posture `by` (J,) [rad] further."""
        return self._replace(begin=self.begin + by, corner=self.corner + by)


class Look(NamedTuple):
    """What there is to look with; each takes a posture (J,) [rad] or a step (J,) [rad]."""

    clearance: float  # [m] required
    gap: Callable[[Vec], float]  # [m] smallest distance, which is noted
    glance: Callable[[Vec], float]  # [m] the same, not noted
    anywhere: Callable[[Vec], float]  # `Swept.anywhere`, of a step
    speed: Callable[[Vec, Vec], tuple[float, float]]  # `Swept.speed`, of a posture and a step

    @property
    def unseen(self) -> float:
        """[m] by which a part may come closer between two looks than at both."""
        return max((1.0 - SURE_OF) * self.clearance, UNSEEN)


Known = list[tuple[float, float]]
"""Shares of a way, increasing from 0 to 1, and the smallest distance [m] at each."""


def straight(start: Vec, end: Vec) -> list[Vec]:
    """Postures (J,) [rad] on the line between two, `PATH_STEP` apart; only its end if it is short."""
    length = max(map(abs, (end - start).tolist()))
    if length <= FINE_STEP or not math.isfinite(length):
        return [end]
    count = math.ceil(length / PATH_STEP)
    return [start + number / count * (end - start) for number in range(count)] + [end]


def along(path: Sequence[Vec], lead: Lead | None, look: Look) -> float:
    """Smallest distance [m] found on a straight path, its postures evenly spaced, and on its lead."""
    gaps = [look.gap(q) for q in path]
    least, known = gaps[0], Known()
    for number, pair in enumerate(pairwise(gaps)):
        known.append((float(number), pair[0]))
        # Round an edge the arm comes closest between two postures.
        finer = _finer(path[number], path[number + 1], min(pair) - look.clearance)
        known += [(number + at / (len(finer) + 1), look.gap(q)) for at, q in enumerate(finer, start=1)]
    if known:
        count = len(path) - 1
        shares = [(at / count, gap) for at, gap in [*known, (float(count), gaps[-1])]]
        least = min(gap for _, gap in shares)
        least = min(least, _on_line(path[0], path[-1], shares, look))
    return least if lead is None else min(least, _on_lead(lead, path[0], gaps[0], look))


def _finer(one: Vec, other: Vec, room: float) -> list[Vec]:
    """Postures (J,) [rad] between two, at which there is so much `room` [m]; none where it is enough."""
    step = other - one
    length = max(map(abs, step.tolist()))
    if room >= ROUND * length:
        return []
    count = math.ceil(length / FINE_STEP)
    return [one + number / count * step for number in range(1, count)]


def _on_line(one: Vec, other: Vec, known: Known, look: Look) -> float:
    """Smallest distance [m] of as many more looks at a straight line as it takes."""
    step = other - one
    most, speed = look.anywhere(step), cache(partial(look.speed, one, step))

    def further(start: float, end: float, room: float) -> bool:
        if most * (end - start) <= room:
            return False
        begin, growth = speed()
        return begin * (end - start) + 0.5 * growth * (end * end - start * start) > room

    return _on_way(lambda share: one + share * step, further, known, look)


def _on_lead(lead: Lead, first: Vec, gap: float, look: Look) -> float:
    """Smallest distance [m] of as many looks at a lead as it takes; at its end, `first`, it is `gap`."""
    fastest, onwards = np.maximum(np.abs(lead.qd), np.abs(lead.corner_qd)), first - lead.corner
    most = look.anywhere(lead.period * fastest)
    if most + look.anywhere(onwards) <= gap - min(gap, look.clearance) + look.unseen:
        return gap
    corner = least = gap
    if onwards.any():
        corner = look.gap(lead.corner)
        least = min(corner, _on_line(lead.corner, first, [(0.0, corner), (1.0, gap)], look))
    # The arm is at its beginning already: how close that is speaks against no motion.
    known = [(0.0, look.glance(lead.begin)), (1.0, corner)]
    return min(least, _on_way(lead.at, lambda start, end, room: most * (end - start) > room, known, look))


def _on_way(
    at: Callable[[float], Vec], further: Callable[[float, float, float], bool], known: Known, look: Look
) -> float:
    """Smallest distance [m] of the looks half-way that are needed; infinity if none is.

    `at`: posture (J,) at a share of the way. `further`: whether between two shares a part of the arm may move
    by more [m] than there is room for.
    """
    least, todo = math.inf, list(pairwise(known))
    while todo:
        (start, before), (end, after) = pair = todo.pop()
        # What is left at an end that is closer than it has to be is not halved once more.
        closer, wider = sorted((before, after))
        left = min(closer, min(wider, look.clearance) - look.unseen)
        if further(start, end, before + after - 2.0 * left):
            half = 0.5 * (start + end)
            gap = look.gap(at(half))
            least = min(least, gap)
            todo += [(pair[0], (half, gap)), ((half, gap), pair[1])]
    return least
