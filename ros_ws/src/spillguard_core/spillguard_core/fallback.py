"""What the safety critic lets through: the proposal, else the closest candidate that it accepts.

Shapes: C candidates, O observation. The first candidate is the proposal, the last one the recovery.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillguard_core.arm import ACTION_SCALE, Vec
from spillguard_core.decision import Reason

Critic = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""obs (B, O), action (B, A) -> q_c (B,)."""

SHARES = (0.75, 0.5, 0.25)  # of the proposal
UPRIGHT_TIME = 0.25  # [s] in which the cup is brought upright, where the tilt rate allows it
RETREAT_SHARE = 0.5  # of the action scale, upwards and away from the target


@dataclass(frozen=True, eq=False)
class Choice:
    """The twist that the critic accepts."""

    twist: Vec  # (4,) [m/s, rad/s]
    q_c: float
    reason: Reason


def upright_rate(tilt: float) -> float:
    """Tilt rate [rad/s] that brings a tilt [rad] back to zero."""
    return float(np.clip(-tilt / UPRIGHT_TIME, -ACTION_SCALE[3], ACTION_SCALE[3]))


def candidates(twist: Vec, tilt: float, away: Vec) -> Vec:
    """Twists (C, 4): the proposal, less of it, tilting back, rest, retreat, tilting back at rest.

    `tilt` [rad] of the cup; `away` (3,) [m] from the target to the lip, base frame.
    """
    back = upright_rate(tilt)
    rows = np.zeros((len(SHARES) + 5, 4))
    rows[0] = twist
    rows[1:4] = np.multiply.outer(SHARES, twist)
    rows[4, :3], rows[4, 3] = twist[:3], back
    distance = float(np.hypot(away[0], away[1]))
    retreat = RETREAT_SHARE * ACTION_SCALE[:3]
    rows[6, :2] = retreat[:2] * away[:2] / max(distance, 1e-6)
    rows[6, 2], rows[6, 3] = retreat[2], back
    rows[7, 3] = back
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
    actions = (rows / ACTION_SCALE).astype(np.float32)
    q_c = critic(np.repeat(obs[None], len(rows), axis=0), actions)
    if not (q_c.shape == (len(rows),) and np.isfinite(q_c).all()):
        return Choice(np.zeros(4), float("nan"), Reason.CRITIC_INVALID)
    if threshold is None:
        return Choice(twist, float(q_c[0]), Reason.OK)
    choice = choose(rows, q_c, threshold)
    return Choice(twist, choice.q_c, choice.reason) if choice.reason is Reason.OK else choice
