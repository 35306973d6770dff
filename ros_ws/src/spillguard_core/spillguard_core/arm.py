"""The arm's names, limits and the meaning of an action: constants that sim, training and robot share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vec = NDArray[np.float64]

JOINT_NAMES = tuple(f"joint_{number}" for number in range(1, 8))
CONTINUOUS = np.array([True, False, True, False, True, False, True])
"""Joints without end stops; their angles are compared on the circle."""

POLICY_PERIOD = 0.05  # [s]
MONITOR_PERIOD = 0.01  # [s]
GRAVITY = 9.81  # [m/s^2]

TWIST_NAMES = ("vx", "vy", "vz", "tilt_rate")
ACTION_SCALE = np.array([0.25, 0.25, 0.25, 1.2])
"""Twist at |action| = 1: three speeds of the lip [m/s] and the tilt rate [rad/s], base frame."""
ACTION_SCALE.setflags(write=False)


@dataclass(frozen=True)
class ArmLimits:
    """What the arm may do. J joints; continuous joints have infinite position limits."""

    position_min: Vec  # (J,) [rad]
    position_max: Vec  # (J,) [rad]
    velocity: Vec  # (J,) [rad/s]
    acceleration: Vec  # (J,) [rad/s^2]
    workspace_min: Vec  # (3,) [m] corner of the box the lip stays in, base frame
    workspace_max: Vec  # (3,) [m]

    def __post_init__(self) -> None:
        joints, space = self.velocity.shape, self.workspace_min.shape
        if not all(v.shape == joints for v in (self.position_min, self.position_max, self.acceleration)):
            raise ValueError(f"joint limits need one value a joint, {joints[0]} here")
        if not (space == self.workspace_max.shape == (3,)):
            raise ValueError(f"workspace corners need three values, got {space}")
        positive = np.hstack([self.velocity, self.acceleration])
        if not (np.isfinite(positive).all() and (positive > 0).all()):
            raise ValueError(f"velocity and acceleration limits must be finite and positive: {self}")
        if not (self.position_min < self.position_max).all():
            raise ValueError(f"position_min must lie below position_max: {self}")
        if not (self.workspace_min < self.workspace_max).all():
            raise ValueError(f"workspace_min must lie below workspace_max: {self}")


def _limits() -> ArmLimits:
    reach = np.array([np.inf, 2.24, np.inf, 2.57, np.inf, 2.09, np.inf])
    return ArmLimits(
        position_min=-reach,
        position_max=reach,
        velocity=np.array([1.39] * 4 + [1.22] * 3),
        acceleration=np.full(7, 5.0),
        workspace_min=np.array([0.52, -0.30, 0.10]),
        workspace_max=np.array([0.84, 0.30, 0.50]),
    )


GEN3_LIMITS = _limits()
"""Kinova Gen3: published position and velocity limits (the narrower of its two position tables);
the acceleration limit and the workspace box are this cell's."""
