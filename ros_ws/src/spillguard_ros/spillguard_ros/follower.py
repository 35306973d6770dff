"""How a joint trajectory controller follows its commands: a new one replaces the old one from now on."""

from spillguard_core.arm import Vec
from spillguard_core.trajectory import Trajectory, sample


class TrajectoryFollower:
    """Desired state over time. Times [s] on whatever clock the caller keeps; J joints."""

    def __init__(self, q: Vec) -> None:
        self._start = 0.0
        self._q, self._qd = q.copy(), q * 0.0  # where the desired state was when the trajectory came
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
