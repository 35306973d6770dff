"""How a commanded velocity may change: shared by the simulated cell and the gate."""

import numpy as np
from numpy.typing import NDArray

from spillguard_core.arm import Vec


def step(q: Vec, qd: Vec, goal: Vec, acceleration: Vec, period: float) -> tuple[Vec, Vec]:
    """`ramp` for one period [s]: position and velocity (J,) at its end."""
    change = goal - qd
    needed = float((np.abs(change) / acceleration).max())  # [s]
    velocity = qd + min(1.0, period / max(needed, 1e-12)) * change
    position: Vec = q + 0.5 * period * (qd + velocity)
    return position, velocity


def ramp(
    q: Vec, qd: Vec, goal: Vec, acceleration: Vec, period: float, ticks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions and velocities (K, J) at the end of K = `ticks` periods [s], starting at q, qd.

    The velocity moves straight from qd towards `goal`, as fast as the acceleration limit (J,) [rad/s^2]
    of the slowest joint allows, so that the direction of the change is kept.
    """
    change = goal - qd
    needed = float((np.abs(change) / acceleration).max())  # [s]
    times = period * np.arange(1, ticks + 1)
    velocities = qd + np.minimum(1.0, times / max(needed, 1e-12))[:, None] * change
    # Trapezoids; within a period the corner of the ramp costs less than acceleration * period^2 / 8.
    positions = q + period * (np.cumsum(velocities, axis=0) + 0.5 * (qd - velocities))
    return positions, velocities
