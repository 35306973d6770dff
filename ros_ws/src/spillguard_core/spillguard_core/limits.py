"""Hard limits: the closest joint velocity from which the arm can still brake inside them.

Shapes: J joints. A step is feasible when the straight braking path that follows it (`trajectory.py`)
ends inside every limit and comes close to nothing. Braking from a feasible state stays on that path, so
it is always feasible: safe now means that a safe command exists in the next period.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spillguard_core.arm import Vec
from spillguard_core.decision import GateConfig, Reason
from spillguard_core.fallback import upright_rate
from spillguard_core.kinematics import ArmKinematics
from spillguard_core.motion import step
from spillguard_core.pouring import FALL_TIME, tilt_margin
from spillguard_core.trajectory import stop_position

ROUNDING = 1e-9
LEVEL = np.array([1.0, 1.0, 0.0])  # the horizontal part
SHARES: tuple[float, ...] = (
    1.0,
    0.75,
    0.5,
    0.25,
)  # of the wanted velocity, tried in this order before braking


Clearance = Callable[[Vec, Vec], float]
"""Smallest distance [m] of the arm to anything on the straight path between two postures (J,) [rad]."""


class Around(NamedTuple):
    """What the braking check knows of the surroundings; None: that check is left out."""

    distance: Clearance | None
    target: Vec | None  # (3,) [m] centre of the receiving cup's rim, base frame


NOTHING = Around(None, None)


class Motion(NamedTuple):
    """A commanded state at the end of the period, and how far its braking path stays from each limit."""

    q: Vec  # (J,) [rad]
    qd: Vec  # (J,) [rad/s]
    position_margin: float = math.nan  # [rad]
    workspace_margin: float = math.nan  # [m]
    clearance_margin: float = math.nan  # [m]
    tilt_margin: float = math.nan  # [rad]


class Feasible(NamedTuple):
    """The closest feasible motion and what it cost."""

    motion: Motion
    twist: Vec  # (4,) what is left of the wanted twist
    reason: Reason  # OK when all of it is left


def towards(q: Vec, qd: Vec, goal: Vec, config: GateConfig) -> Motion:
    """One period towards the velocity `goal` (J,) [rad/s] at the acceleration limit."""
    return Motion(*step(q, qd, goal, config.limits.acceleration, config.period))


def brake(q: Vec, qd: Vec, config: GateConfig) -> Motion:
    """One period towards rest."""
    return towards(q, qd, np.zeros_like(qd), config)


def least(values: Vec) -> float:
    """Smallest of a few values, NaN if one of them is. Faster than numpy's reduction."""
    plain = values.tolist()
    return math.nan if math.isnan(sum(plain)) else float(min(plain))


def judged(q: Vec, motion: Motion, config: GateConfig, kinematics: ArmKinematics, around: Around) -> Motion:
    """The motion with its margins: distances from where the arm would come to rest to each limit."""
    limits = config.limits
    rest = stop_position(motion.q, motion.qd, limits.acceleration, config.coast_time)
    position = least(np.minimum(rest - limits.position_min, limits.position_max - rest))
    lip, lean = kinematics.lip_pose(rest)
    workspace = least(np.minimum(lip - limits.workspace_min, limits.workspace_max - lip))
    clearance = math.inf if around.distance is None else around.distance(q, rest) - config.clearance
    tilt = math.inf
    if around.target is not None:
        soon = kinematics.lip(motion.q, motion.qd)
        led = soon.position + FALL_TIME * soon.velocity * LEVEL
        at_rest = tilt_margin(lip, lean, around.target, config.free_tilt)
        falling = tilt_margin(led, soon.tilt, around.target, config.free_tilt)
        tilt = math.nan if math.isnan(at_rest) or math.isnan(falling) else min(at_rest, falling)
    return Motion(motion.q, motion.qd, position, workspace, clearance, tilt)


def violated(motion: Motion, now: Motion) -> Reason:
    """The first limit that the motion breaks; OK if none.

    `now` holds the margins of resting where the arm is: where it is already beyond a limit, only a
    motion that goes further beyond it breaks that limit.
    """
    if not motion.position_margin >= min(0.0, now.position_margin):
        return Reason.POSITION_LIMIT
    if not motion.workspace_margin >= min(0.0, now.workspace_margin):
        return Reason.WORKSPACE_LIMIT
    if not motion.clearance_margin >= min(0.0, now.clearance_margin):
        return Reason.COLLISION
    if not motion.tilt_margin >= min(0.0, now.tilt_margin):
        return Reason.TILT_LIMIT
    return Reason.OK


def slid(twist: Vec, lip: Vec, config: GateConfig) -> Vec:
    """The twist (4,) without the speeds that carry a lip (3,) [m] further out of the workspace."""
    low, high = config.limits.workspace_min, config.limits.workspace_max
    outward = ((lip < low) & (twist[:3] < 0.0)) | ((lip > high) & (twist[:3] > 0.0))
    return np.concatenate([np.where(outward, 0.0, twist[:3]), twist[3:]])


def level(twist: Vec) -> Vec:
    """The twist (4,) without its tilt rate."""
    return np.append(twist[:3], 0.0)


def slower(twist: Vec) -> Vec:
    """The twist (4,) with half of its path and all of its tilt rate."""
    return np.append(0.5 * twist[:3], twist[3])


def back(tilt: float) -> Vec:
    """The twist (4,) that turns a cup upright that is tilted by `tilt` [rad], on the spot."""
    return np.array([0.0, 0.0, 0.0, upright_rate(tilt)])


def slowed(twist: Vec, goal: Vec, config: GateConfig) -> tuple[Vec, Vec, Reason]:
    """Twist (4,) and joint velocity (J,) scaled as a whole into the velocity limits."""
    excess = max((np.abs(goal) / config.limits.velocity).tolist())
    if excess <= 1.0 + ROUNDING:  # the kinematics scale into the arm's own limits
        return twist, goal, Reason.OK
    return twist / excess, goal / excess, Reason.VELOCITY_LIMIT


def whole(
    q: Vec, qd: Vec, twist: Vec, config: GateConfig, kinematics: ArmKinematics, around: Around
) -> Motion | None:
    """The motion towards `twist` (4,) if it keeps every limit with margin to spare, else None."""
    _, goal, reason = slowed(twist, kinematics.joint_velocity(q, twist), config)
    motion = judged(q, towards(q, qd, goal, config), config, kinematics, around)
    kept = reason is Reason.OK and violated(motion, Motion(q, qd, 0.0, 0.0, 0.0, 0.0)) is Reason.OK
    return motion if kept else None


def feasible(
    q: Vec, qd: Vec, twist: Vec, config: GateConfig, kinematics: ArmKinematics, around: Around
) -> Feasible:
    """The closest motion to `twist` (4,) that keeps every limit: all of it, along the wall, less, none."""

    def motion_towards(goal: Vec) -> Motion:
        return judged(q, towards(q, qd, goal, config), config, kinematics, around)

    wanted, goal, reason = slowed(twist, kinematics.joint_velocity(q, twist), config)
    motion = motion_towards(goal)
    # Both margins of rest are at least zero in almost every cycle, so `now` is worth computing only after.
    broken = violated(motion, Motion(q, qd, 0.0, 0.0, 0.0, 0.0))
    if broken is Reason.OK:
        return Feasible(motion, wanted, reason)
    still = np.zeros_like(qd)
    now = judged(q, Motion(q, still), config, kinematics, around)
    rest = stop_position(motion.q, motion.qd, config.limits.acceleration, config.coast_time)
    lip, tilt = kinematics.lip_pose(rest)
    along = slid(wanted, lip, config)
    ways = [(along, SHARES)]
    if broken is Reason.TILT_LIMIT:
        ways = [(back(tilt), SHARES)]
        if along[3] * tilt < 0.0:  # it comes upright already: its path has to wait, not its tilt
            ways.insert(0, (slower(along), SHARES[:1]))
        elif now.tilt_margin >= 0.0:  # who leans too far already does not stay so
            ways.insert(0, (level(along), SHARES))
    for way, shares in ways:
        kept, goal, _ = slowed(way, kinematics.joint_velocity(q, way), config)
        for share in shares:
            motion = motion_towards(share * goal)
            if violated(motion, now) is Reason.OK:
                return Feasible(motion, share * kept, broken)
    braked = judged(q, brake(q, qd, config), config, kinematics, around)
    return Feasible(braked, np.zeros_like(twist), broken)
