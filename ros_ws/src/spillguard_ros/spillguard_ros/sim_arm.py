"""The pouring cell behind the topics of the arm's own driver, in real time.

What a joint trajectory controller would refuse is refused here, too, and what it would hold is held; no joint
is told to go faster than it may. One service and one topic exist only in simulation: the next cup, and where
its content went.
"""

import ctypes
import sys
import time
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sim.cell import PourCell
from sim.outcome import Outcome
from sim.scenario import sample_scenario
from spillguard_core.arm import GEN3_LIMITS, MONITOR_PERIOD
from spillguard_ros import convert
from spillguard_ros.driver import ACTIVE, CONTROLLER, CONTROLLERS, DIAGNOSTICS
from spillguard_ros.follower import TrajectoryFollower, within_speed
from spillguard_ros.params import optional, read_parameters, required
from spillguard_ros.runtime import ShellNode, run
from spillguard_ros.sensors import BASE_FRAME

MOST_TICKS = 5  # made up for at once when the process was kept from running; the rest is lost time
OUTCOME_TICKS = 5  # between two outcome messages
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LARGE_BLOCK = 1 << 17  # [B]; glibc's own first value, which setting it keeps


@dataclass(frozen=True)
class SimArmParameters:
    """What the simulated cell can be told."""

    seed: int = required("seed of the sequence of randomised cells", 0, 2**31 - 1)
    speed: float = optional(1.0, "simulated seconds per second", 0.05, 20.0)


@dataclass
class Pour:
    """Book-keeping of one cup. Frozen once it has succeeded or failed."""

    number: int
    started: float | None = None  # [s] simulated, of the first command
    elapsed: float = 0.0  # [s] simulated
    effort: float = 0.0  # [s] integral of mean square acceleration over its limit plus torque over its peak
    done: bool = False

    def count(self, now: float, outcome: Outcome, effort: float) -> None:
        """One more tick at simulated time `now` [s]."""
        if self.started is None or self.done:
            return
        self.elapsed, self.effort = now - self.started, self.effort + effort
        self.done = outcome.success or outcome.violated


class SimArm(ShellNode):
    """`PourCell` as a robot."""

    def __init__(self) -> None:
        super().__init__("sim_arm")

    def configure(self) -> None:
        """Build the first cell and the topics."""
        self._settings = read_parameters(self, SimArmParameters)
        self._rng = np.random.default_rng(self._settings.seed)
        self._cell = PourCell()
        self._cups = 0
        self._next_cup()
        qos = QoSProfile(depth=10)
        self._joints = self.create_lifecycle_publisher(JointState, "joint_states", qos)
        self._load_cell = self.create_lifecycle_publisher(WrenchStamped, "load_cell/wrench", qos)
        self._wrist = self.create_lifecycle_publisher(WrenchStamped, "wrist/wrench", qos)
        self._target = self.create_lifecycle_publisher(PoseStamped, "target_pose", qos)
        self._outcome = self.create_lifecycle_publisher(DiagnosticStatus, "~/outcome", qos)
        self._diagnostics = self.create_lifecycle_publisher(DiagnosticArray, DIAGNOSTICS, qos)
        self._command = self.create_subscription(
            JointTrajectory, "joint_trajectory_controller/joint_trajectory", self._on_command, 1
        )
        self._service = self.create_service(Trigger, "~/new_cup", self._on_new_cup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let simulated time run."""
        self._base = time.monotonic(), self._now
        self._timer = self.create_timer(
            MONITOR_PERIOD / self._settings.speed, self._catch_up, clock=self.steady
        )
        self._slow_timer = self.create_timer(1.0, self._on_second, clock=self.steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop simulated time."""
        self.destroy_timer(self._timer)
        self.destroy_timer(self._slow_timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Drop the topics."""
        for name in ("_joints", "_load_cell", "_wrist", "_target", "_outcome", "_diagnostics"):
            if hasattr(self, name):
                self.destroy_publisher(getattr(self, name))
        if hasattr(self, "_service"):
            self.destroy_subscription(self._command)
            self.destroy_service(self._service)

    def _next_cup(self) -> None:
        scenario = sample_scenario(self._rng)
        self._cell.reset(scenario)
        self._now = 0.0  # [s] simulated
        self._base = time.monotonic(), 0.0
        self._last_q = self._cell.data.qpos[:7].copy()
        self._follower = TrajectoryFollower(self._last_q)
        self._last_qd = np.zeros(7)
        self._cups += 1
        self._pour = Pour(self._cups)
        self.get_logger().info(f"cup {self._cups}: {scenario.granules} granules")

    def _simulated(self) -> float:
        """Simulated time [s] at this moment, between ticks as well."""
        real, simulated = self._base
        return simulated + (time.monotonic() - real) * self._settings.speed

    def _on_command(self, msg: JointTrajectory) -> None:
        try:
            trajectory = convert.trajectory(msg)
        except ValueError as error:
            self.get_logger().error(f"command refused: {error}", throttle_duration_sec=1.0)
            return
        self._catch_up()  # what is due happened under the old command
        now = self._simulated()
        self._follower.accept(trajectory, now)
        if self._pour.started is None:
            self._pour.started = now

    def _on_new_cup(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        self._next_cup()
        response.success, response.message = True, f"cup {self._cups}"
        return response

    def _catch_up(self) -> None:
        """Simulate up to the present, and report if that took a period or more."""
        due = int((self._simulated() - self._now) / MONITOR_PERIOD + 1e-6)
        if due > MOST_TICKS:
            self._base = time.monotonic(), self._now + MOST_TICKS * MONITOR_PERIOD
        for _ in range(min(due, MOST_TICKS)):
            self._advance()
        if due:
            self._publish()

    def _advance(self) -> None:
        self._now += MONITOR_PERIOD
        desired = self._follower.desired(self._now)
        q, qd = within_speed(*desired, self._last_q, GEN3_LIMITS.velocity, MONITOR_PERIOD)
        self._cell.advance(q[None], qd[None])
        acceleration = (qd - self._last_qd) / (MONITOR_PERIOD * GEN3_LIMITS.acceleration)
        torque = self._cell.torque_share()
        effort = MONITOR_PERIOD * float(acceleration @ acceleration + torque @ torque) / len(q)
        self._last_q, self._last_qd = q, qd
        self._pour.count(self._now, self._cell.outcome(), effort)

    def _publish(self) -> None:
        seen, stamp = self._cell.measure(), self.get_clock().now().to_msg()
        self._joints.publish(convert.to_joint_state(seen.joint_position, seen.joint_velocity, stamp))
        self._load_cell.publish(convert.to_wrench(seen.poured_mass, "load_cell", stamp))
        self._wrist.publish(convert.to_wrench(seen.remaining_mass, "wrist", stamp))
        self._target.publish(convert.to_pose(seen.target_position, BASE_FRAME, stamp))
        if round(self._now / MONITOR_PERIOD) % OUTCOME_TICKS == 0:
            self._outcome.publish(self._outcome_status())

    def _on_second(self) -> None:
        msg = DiagnosticArray(status=[self._driver_status()])
        msg.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(msg)

    def _driver_status(self) -> DiagnosticStatus:
        """As the controller manager of a driver tells it."""
        name = f"controller_manager: {CONTROLLERS}"
        return convert.to_status(name, DiagnosticStatus.OK, "", {f"{CONTROLLER}.state": ACTIVE})

    def _outcome_status(self) -> DiagnosticStatus:
        outcome, pour = self._cell.outcome(), self._pour
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
        return convert.to_status(
            "sim_arm: pour", level, message, {key: str(value).lower() for key, value in figures.items()}
        )


def keep_heap_small() -> None:
    """Give a cup's model and data back to the system when the next one replaces them.

    glibc maps large blocks one by one, but once one was freed it takes blocks of that size from the heap,
    which each cup then leaves with other holes: a process that pours for hours would slowly grow.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    keep_heap_small()
    return run(SimArm, args)


if __name__ == "__main__":
    sys.exit(main())
