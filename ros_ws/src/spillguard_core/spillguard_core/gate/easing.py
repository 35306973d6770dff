"""Alternatives to a motion that breaks a rule, from how the rule's margin changes along the action's axes.

To first order the closest action whose margins m do not shrink faster than

    dm/dt >= -m / EASING_TIME

for every rule met so far: a control barrier function (Ames et al. 2017, eq. 14), whose quadratic program of a
few half-spaces is solved by cyclic projection (Hildreth 1957). Where a margin is used up the arm slides along
the limit instead of standing before it, and where it is negative the arm is led back inside: this is the way
back from a limit that something else has put the arm beyond. Nothing here is trusted: what it offers is
verified like every other motion (`limits.py`).

Shapes: J joints, A entries of an action.
"""

import heapq
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.arm import Vec

EASING_TIME = 0.2  # [s] in which a margin may shrink to 1/e
PROBE = 0.1  # share of the action's scale at which the margin's change is measured
PROBE_TIME = 0.05  # [s] for which: a tool moves about a millimetre
SWEEPS = 10  # over the half-spaces; two or three that conflict need no more
TRIES = ((1.0, 0.0), (1.0, 0.15), (0.25, 0.15))
"""Shares of the action that are tried, and how far each leans away from the limits: these are curved, and an
arm that trails its command may be a little beyond them."""
MOST_PARTS = 4  # of one rule: geom pairs, ends of joints
STEEP = 1e12  # of a gradient's square: a margin that jumps has no slope
FLAT = 1e-9  # of a gradient's square, below which the action does not move the margin


Part = Hashable


class Slope(NamedTuple):
    """A part of a margin, and what the action changes about it."""

    margin: float  # of standing where the arm is
    gradient: Vec  # (A,) per second, for each entry of the action at its scale


def slopes(
    margins: Callable[[Vec], Mapping[Part, float]],
    joint_velocity: Callable[[Vec], Vec],
    rest: Vec,
    scale: Vec,
    now: Mapping[Part, float],
) -> list[Slope]:
    """Of the smallest parts of a margin that depend on the action.

    `margins`: of standing at q (J,) [rad], by part; `joint_velocity`: of an action (A,) [rad/s]; `rest`
    (J,) [rad]: where a motion that was refused would have ended; `now`: of standing where the arm is. What is
    not listed there is kept there, by nobody knows how much: it is taken to be used up.
    """
    here, still = margins(rest), joint_velocity(np.zeros_like(scale))
    parts = heapq.nsmallest(MOST_PARTS, here, key=lambda part: here[part])
    changes = np.zeros((len(parts), len(scale)))
    for entry in range(len(scale)):
        asked = np.zeros_like(scale)
        asked[entry] = PROBE * scale[entry]
        step = PROBE_TIME * (joint_velocity(asked) - still)
        there = margins(rest + step)
        # A pair that is far enough apart is not listed any more; then the way towards it tells.
        back = {} if all(part in there for part in parts) else margins(rest - step)
        for row, part in enumerate(parts):
            near = part in there
            changes[row, entry] = (
                there[part] - here[part] if near else here[part] - back.get(part, here[part])
            )
    found = [
        Slope(now.get(part, 0.0), change / (PROBE * PROBE_TIME))
        for part, change in zip(parts, changes, strict=True)
    ]
    return [one for one in found if np.isfinite(one.margin) and FLAT < one.gradient.dot(one.gradient) < STEEP]


def eased(action: Vec, scale: Vec, linear: Sequence[int], before: Sequence[Slope], lean: float = 0.0) -> Vec:
    """The action (A,) closest to this one, in shares of `scale` (A,), that eases off before every slope.

    Its entries `linear` move the tool; they may change as they have to, up to the largest share that was
    asked for: an arm that is hardly told to move hardly moves. The others, which turn it, may only become
    less: what is held upright because nobody asked for a tilt stays upright. `lean`: share of the fastest way
    up each slope that is wanted in addition.
    """
    share = action / scale
    low, high = np.minimum(0.0, share), np.maximum(0.0, share)
    most = min(1.0, max(map(abs, share.tolist())))
    low[linear], high[linear] = -most, most
    gradients: NDArray[np.float64] = np.array([one.gradient for one in before])
    least = np.array([-one.margin / EASING_TIME for one in before])
    least += lean * np.linalg.norm(gradients, axis=1)
    square, weights = (gradients**2).sum(axis=1), np.zeros(len(before))
    for _ in range(SWEEPS):
        for row in range(len(before)):
            lacking = (least[row] - gradients[row].dot(share)) / square[row]
            step = max(lacking, -weights[row])
            weights[row] += step
            share = np.clip(share + step * gradients[row], low, high)
    return share * scale
