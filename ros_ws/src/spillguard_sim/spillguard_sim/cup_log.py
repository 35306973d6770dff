"""What becomes of one cup in the simulated arm, and how that is told."""

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

from sim.pouring.gen3 import GEN3_LIMITS
from sim.pouring.outcome import Outcome
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from spillguard_ros.node import convert


@dataclass
class CupLog:
    """Records of one cup. Frozen once it has succeeded or failed."""

    number: int
    started: float | None = None  # [s] simulated, of the first command
    elapsed: float = 0.0  # [s] simulated
    effort: float = 0.0  # [s] integral of mean square acceleration over its limit plus torque over its peak
    done: bool = False

    def count(self, now: float, outcome: Outcome, effort: float) -> None:
        """Count one more tick at simulated time `now` [s]."""
        if self.started is None or self.done:
            return
        self.elapsed, self.effort = now - self.started, self.effort + effort
        self.done = outcome.success or outcome.violated


def effort(change: Vec, torque: Vec) -> float:
    """[s] of one tick, of the servos' change of speed (7,) [rad/s] and the torques (7,) over their peaks."""
    acceleration = change / (MONITOR_PERIOD * GEN3_LIMITS.acceleration)
    return MONITOR_PERIOD * float(acceleration @ acceleration + torque @ torque) / len(torque)


def outcome_status(outcome: Outcome, pour: CupLog) -> DiagnosticStatus:
    """As every ROS tool can show it."""
    level = DiagnosticStatus.ERROR if outcome.violated else DiagnosticStatus.OK
    figures = {
        "cup": pour.number,
        "total": outcome.total,
        "landed": outcome.landed,
        "spilled": outcome.spilled,
        "contact": outcome.contact,
        "limit_broken": outcome.limit_broken,
        "upright": outcome.upright,
        "success": outcome.success,
        "elapsed": pour.elapsed,
        "effort": pour.effort,
    }
    message = f"{outcome.landed} of {outcome.total} landed, {outcome.spilled} spilled"
    told = {key: str(value).lower() for key, value in figures.items()}
    return convert.to_status("sim_arm: pour", level, message, told)
