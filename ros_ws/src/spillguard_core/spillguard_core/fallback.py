"""What the safety critic lets through: the proposal, else the closest candidate that it accepts.

Shapes: C candidates, O observation. The first candidate is the proposal, the last one the recovery.
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

# What is kept of the proposal's twist, candidate by candidate.
KEPT = np.array([
    [1.0, 1.0, 1.0, 1.0],  # the proposal
    [0.75, 0.75, 0.75, 0.75],  # less of it
    [0.5, 0.5, 0.5, 0.5],
    [0.25, 0.25, 0.25, 0.25],
    [0.0, 0.0, 0.0, 0.0],  # rest
    [1.0, 1.0, 1.0, 0.0],  # its path while tilting back
    [0.0, 0.0, 0.0, 0.0],  # retreat while tilting back
    [0.0, 0.0, 0.0, 0.0],  # tilting back at rest: the recovery
])  # fmt: skip
FIRST_TILTING_BACK, RETREAT = 5, 6
UPRIGHT_TIME = 0.25  # [s] in which the cup is brought upright, where the tilt rate allows it
RETREAT_SPEED = (0.5 * ACTION_SCALE[:3]).tolist()  # [m/s] away from the target in x and y, and upwards


class Choice(NamedTuple):
    """The twist that the critic accepts."""

    twist: Vec  # (4,) [m/s, rad/s]
    q_c: float
    reason: Reason


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


def choose(twists: Vec, q_c: NDArray[np.float32], threshold: float) -> Choice:
    """The row of `twists` (C, 4) closest to the first, among those whose q_c (C,) is low enough."""
    if q_c[0] <= threshold:
        return Choice(twists[0], float(q_c[0]), Reason.OK)
    accepted = q_c <= threshold  # NaN is not
    if not accepted.any():
        return Choice(twists[-1], float(q_c[-1]), Reason.CRITIC_RECOVERY)
    distance = np.linalg.norm((twists - twists[0]) / ACTION_SCALE, axis=1)
    best = int(np.argmin(np.where(accepted, distance, np.inf)))
    return Choice(twists[best], float(q_c[best]), Reason.CRITIC)


def screened(
    critic: Critic, obs: NDArray[np.float32], twist: Vec, tilt: float, away: Vec, threshold: float | None
) -> Choice:
    """One critic call, always of the same size, so that danger does not make the cycle longer.

    Without a threshold the critic is asked about the proposal only, and does not act.
    """
    rows = twist[None] if threshold is None else candidates(twist, tilt, away)
    every = np.empty((len(rows), len(obs)), dtype=np.float32)
    every[:] = obs
    q_c = critic(every, (rows / ACTION_SCALE).astype(np.float32))
    if not (q_c.shape == (len(rows),) and all(map(math.isfinite, q_c.tolist()))):
        return Choice(np.zeros(4), float("nan"), Reason.CRITIC_INVALID)
    if threshold is None:
        return Choice(twist, float(q_c[0]), Reason.OK)
    choice = choose(rows, q_c, threshold)
    return Choice(twist, choice.q_c, choice.reason) if choice.reason is Reason.OK else choice
