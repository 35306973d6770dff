"""The action of a pouring policy, a twist of the lip, and the candidates that may replace it.

Shapes: C candidates.
"""

import math

import numpy as np

from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.task import Axis
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.lip import LipState
from spillguard_core.tasks.pouring.observation import TARGET

AXES = (
    Axis("vx", "m/s", 0.25, "linear.x"),
    Axis("vy", "m/s", 0.25, "linear.y"),
    Axis("vz", "m/s", 0.25, "linear.z"),
    Axis("tilt_rate", "rad/s", 1.2, "angular.x"),
)
ACTION_SCALE = np.array([axis.scale for axis in AXES])
"""Twist at |action| = 1: three speeds of the lip [m/s] and the tilt rate [rad/s], base frame."""
ACTION_SCALE.setflags(write=False)
TWIST_NAMES = tuple(axis.name for axis in AXES)

# Fraction of the proposal's twist kept by each candidate. The proposal comes first, the recovery last.
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
UPRIGHT_TIME = 0.25  # [s] to bring the cup upright, where the tilt rate allows it
UPRIGHT = 0.1  # [rad] below which nothing runs out, and a good end of a pour
ENDING_GAIN, ENDING_RATE, ENDING_RISE = 3.0, 1.0, 0.05  # [1/s], [rad/s], [m/s]
RETREAT_SHARE = 0.5  # of the scale: speed away from the target in x and y, and upwards


def upright_rate(tilt: float, fastest: float = AXES[3].scale) -> float:
    """Tilt rate [rad/s] that brings a tilt [rad] back to zero, at most `fastest` [rad/s]."""
    return max(-fastest, min(fastest, -tilt / UPRIGHT_TIME))


def level(twist: Vec) -> Vec:
    """The twist (4,) without its tilt rate."""
    return np.append(twist[:3], 0.0)


def slower(twist: Vec) -> Vec:
    """The twist (4,) with half of its translation and all of its tilt rate."""
    return np.append(0.5 * twist[:3], twist[3])


def back(tilt: float) -> Vec:
    """The twist (4,) that turns a cup tilted by `tilt` [rad] upright without translation."""
    return np.array([0.0, 0.0, 0.0, upright_rate(tilt)])


def ending(lip: LipState) -> Vec | None:
    """The twist (4,) that turns the cup upright and lifts it meanwhile, None where it is upright."""
    if abs(lip.tilt) < UPRIGHT:
        return None
    rate = max(-ENDING_RATE, min(ENDING_RATE, -ENDING_GAIN * lip.tilt))
    return np.array([0.0, 0.0, ENDING_RISE, rate])


def candidates(twist: Vec, measurement: Measurement, lip: LipState, scale: Vec) -> Vec:
    """Twists (C, 4), see `KEPT`, limited to the action scale of the bundle."""
    rows: Vec = KEPT * twist
    fast_x, fast_y, fast_z, fastest = scale.tolist()
    rows[FIRST_TILTING_BACK:, 3] = upright_rate(lip.tilt, fastest)
    x, y, _ = (lip.position - measurement.sensed[TARGET]).tolist()
    distance = max(math.hypot(x, y), 1e-6)
    along_x, along_y, up = RETREAT_SHARE * fast_x, RETREAT_SHARE * fast_y, RETREAT_SHARE * fast_z
    rows[RETREAT, :3] = along_x * (x / distance), along_y * (y / distance), up
    return rows
