"""How a commanded velocity may change: shared by the simulated cell and the gate."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.arm import Vec


@cache
def _instants(period: float, ticks: int) -> NDArray[np.float64]:
    """Ends (K, 1) [s] of K = `ticks` periods [s]."""
    ends = period * np.arange(1.0, ticks + 1.0)[:, None]
    ends.setflags(write=False)
    return ends


def step(q: Vec, qd: Vec, goal: Vec, acceleration: Vec, period: float) -> tuple[Vec, Vec]:
    """`ramp` for one period [s]: position and velocity (J,) at its end."""
    change = goal - qd
    needed = max((np.abs(change) / acceleration).tolist())  # [s]
    velocity = qd + min(1.0, period / max(needed, 1e-12)) * change
    position: Vec = q + 0.5 * period * (qd + velocity)
    return position, velocity


def ramp(
    q: Vec, qd: Vec, goal: Vec, acceleration: Vec, period: float, ticks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions and velocities (K, J) at the end of K = `ticks` periods [s], starting at q, qd.

    The velocity changes linearly from qd towards `goal`, as fast as the acceleration limit (J,) [rad/s^2] of
    the slowest joint allows, so that the direction of the change is kept.
    """
    change = goal - qd
    needed = max((np.abs(change) / acceleration).tolist())  # [s]
    velocities = qd + np.minimum(1.0, _instants(period, ticks) / max(needed, 1e-12)) * change
    # Trapezoids; within a period the corner of the ramp costs less than acceleration * period^2 / 8.
    positions = q + period * (np.add.accumulate(velocities) + 0.5 * (qd - velocities))
    return positions, velocities
