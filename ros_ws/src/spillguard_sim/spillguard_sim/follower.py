"""How a joint trajectory controller follows its commands: a new one replaces the old one immediately."""

import numpy as np

from spillguard_core.gate.trajectory import Trajectory, sample
from spillguard_core.robot.arm import Vec


class TrajectoryFollower:
    """Desired state over time. Times [s] on the caller's clock; J joints."""

    def __init__(self, q: Vec) -> None:
        self._start = 0.0
        self._q, self._qd = q.copy(), q * 0.0  # desired state when the trajectory arrived
        self._trajectory: Trajectory | None = None

    def accept(self, trajectory: Trajectory, now: float) -> None:
        """Follow `trajectory` from the present desired state. Its times count from `now`."""
        self._q, self._qd = self.desired(now)
        self._start, self._trajectory = now, trajectory

    def desired(self, now: float) -> tuple[Vec, Vec]:
        """Position (J,) [rad] and velocity (J,) [rad/s]; the last point is held."""
        if self._trajectory is None:
            return self._q, self._qd
        return sample(self._trajectory, now - self._start, self._q, self._qd)


def within_speed(q: Vec, qd: Vec, before: Vec, velocity: Vec, period: float) -> tuple[Vec, Vec]:
    """Setpoint for the servos: the desired state (J,), (J,), one `period` [s] after the position `before`.

    The arm has to catch up with a late command, and a cubic to a distant point obeys no limit. So the driver
    bounds each step by the speed limits `velocity` (J,) [rad/s], as ros2_control does; the remaining distance
    is made up in later steps.
    """
    speed = np.clip((q - before) / period, -velocity, velocity)
    kept = np.where(np.abs(q - before) > velocity * period, before + speed * period, q)
    return kept, np.clip(np.where(kept == q, qd, speed), -velocity, velocity)
