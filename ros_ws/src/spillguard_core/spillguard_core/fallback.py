"""What the safety critic lets through: the proposal, else the closest candidates that it accepts.

Shapes: C candidates, O observation. One batch, one call of the critic, always of the same size, so that
danger does not make the cycle longer. The critic ranks; the gate takes the first candidate that the hard
limits let pass as it is (`gate.py`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillguard_core.arm import ACTION_SCALE, Vec
from spillguard_core.decision import Reason

Critic = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""obs (B, O), action (B, A) -> q_c (B,)."""

# What is kept of the proposal's twist, candidate by candidate. The proposal comes first, the recovery last.
KEPT = np.array([
    [1.0, 1.0, 1.0, 1.0],  # the proposal
    [0.75, 0.75, 0.75, 0.75],  # less of it
    [0.5, 0.5, 0.5, 0.5],
    [0.25, 0.25, 0.25, 0.25],
    [0.0, 0.0, 0.0, 0.0],  # rest
    [1.0, 1.0, 1.0, 0.0],  # its path without the tilt
    [0.0, 0.0, 0.0, 1.0],  # its tilt without the path
    [1.0, 1.0, 1.0, 0.0],  # its path while tilting back
    [0.0, 0.0, 0.0, 0.0],  # retreat while tilting back
    [0.0, 0.0, 0.0, 0.0],  # tilting back at rest: the recovery
])  # fmt: skip
FIRST_TILTING_BACK, RETREAT, RECOVERY = 7, 8, 9
UPRIGHT_TIME = 0.25  # [s] in which the cup is brought upright, where the tilt rate allows it
RETREAT_SPEED = (0.5 * ACTION_SCALE[:3]).tolist()  # [m/s] away from the target in x and y, and upwards


class Scene(NamedTuple):
    """What the critic is asked about."""

    obs: NDArray[np.float32]  # (O,)
    twist: Vec  # (4,) [m/s, rad/s] proposed, inside the action scale
    tilt: float  # [rad] of the cup
    away: Vec  # (3,) [m] from the target to the lip, base frame
    last: int  # candidate that was taken in the decision before; 0 is the proposal


class Choice(NamedTuple):
    """A twist that may be followed as far as the critic is concerned."""

    twist: Vec  # (4,) [m/s, rad/s]
    q_c: float
    reason: Reason
    candidate: int  # row of `KEPT`


Screen = Callable[[Critic, Scene, float | None, float], list[Choice]]
"""(critic, scene, threshold, release) -> choices, best first; what `screened` does."""


def upright_rate(tilt: float) -> float:
    """Tilt rate [rad/s] that brings a tilt [rad] back to zero."""
    fastest = float(ACTION_SCALE[3])
    return max(-fastest, min(fastest, -tilt / UPRIGHT_TIME))


def candidates(twist: Vec, tilt: float, away: Vec) -> Vec:
    """Twists (C, 4), see `KEPT`.

    `tilt` [rad] of the cup; `away` (3,) [m] from the target to the lip, base frame.
    """
    rows: Vec = KEPT * twist
    rows[FIRST_TILTING_BACK:, 3] = upright_rate(tilt)
    x, y, _ = away.tolist()
    distance = max(math.hypot(x, y), 1e-6)
    along_x, along_y, up = RETREAT_SPEED
    rows[RETREAT, :3] = along_x * (x / distance), along_y * (y / distance), up
    return rows


def ranked(twists: Vec, q_c: NDArray[np.float32], threshold: float, release: float, last: int) -> list[int]:
    """Rows of `twists` (C, 4) whose q_c (C,) is low enough, the closest to the first row first.

    Once the critic has stepped in, what is closer to the proposal than the candidate taken `last` must come
    down to `release`, which is below the threshold. Without that gap noise in Q_c makes the arm stutter.
    """
    gap = (twists - twists[0]) / ACTION_SCALE
    distance = np.sqrt(np.einsum("ij,ij->i", gap, gap))
    bound = np.where(distance < distance[last], release, threshold)
    accepted = q_c <= bound  # NaN is not
    return [int(row) for row in np.argsort(distance, kind="stable") if accepted[row]]


def evaluated(critic: Critic, scene: Scene, rows: Vec) -> NDArray[np.float32] | None:
    """Q_c (C,) of the twists `rows` (C, 4) in one call; None unless every value is finite."""
    every = np.empty((len(rows), len(scene.obs)), dtype=np.float32)
    every[:] = scene.obs
    q_c = critic(every, (rows / ACTION_SCALE).astype(np.float32))
    return q_c if q_c.shape == (len(rows),) and all(map(math.isfinite, q_c.tolist())) else None


def screened(critic: Critic, scene: Scene, threshold: float | None, release: float) -> list[Choice]:
    """The proposal if it is accepted, else what is accepted in its place, closest first, never empty.

    Without a threshold the critic is asked about the proposal only, and does not act.
    """
    rows = scene.twist[None] if threshold is None else candidates(scene.twist, scene.tilt, scene.away)
    q_c = evaluated(critic, scene, rows)
    if q_c is None:
        return [Choice(np.zeros(4), math.nan, Reason.CRITIC_INVALID, RECOVERY)]
    if threshold is None or q_c[0] <= (release if scene.last else threshold):
        return [Choice(scene.twist, float(q_c[0]), Reason.OK, 0)]
    found = ranked(rows, q_c, threshold, release, scene.last)
    if not found:
        return [Choice(rows[RECOVERY], float(q_c[RECOVERY]), Reason.CRITIC_RECOVERY, RECOVERY)]
    if found[0] == 0:  # it is what was followed before, too
        return [Choice(scene.twist, float(q_c[0]), Reason.OK, 0)]
    return [Choice(rows[row], float(q_c[row]), Reason.CRITIC, row) for row in found]
