"""The pouring cell with the topics of the arm's own driver, in real time.

Its controller takes, joins and refuses messages as ros2_control's does (`controller.py`): whole trajectories,
or positions that are streamed (parameter `output`). Its servos, told positions alone, trail their command.
Its cells are drawn from a domain, of which the delays and the rate of the policy do not apply: here they are
the graph's own. One service and one topic exist only in simulation: the next cup, and where its content went.
"""

import math
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sim.pouring import arms
from sim.pouring.cell import PourCell
from sim.pouring.controller import ForwardController, JointTrajectoryController
from sim.pouring.domain_file import spread_of
from sim.pouring.gen3 import GEN3, GEN3_LIMITS
from sim.pouring.scenario import sample_scenario
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from spillguard_core.tasks.pouring.observation import POURED, REMAINING, TARGET
from spillguard_ros.monitor.driver import CONTROLLER, CONTROLLERS, DIAGNOSTICS, JOINS
from spillguard_ros.monitor.driver_reports import ACTIVE
from spillguard_ros.node import convert
from spillguard_ros.node.outputs import FORWARD_CONTROLLER, Output
from spillguard_ros.node.params import optional, read_parameters, required
from spillguard_ros.node.runtime import ShellNode, run
from spillguard_sim.commands import hear_positions, hear_trajectories
from spillguard_sim.cup_log import CupLog, effort, outcome_status
from spillguard_sim.heap import keep_heap_small

MOST_TICKS = 5  # most ticks made up at once after the process was preempted; further delay is lost time
OUTCOME_TICKS = 5  # between two outcome messages
SILENCE = 0.1  # [s] without positions after which none are on their way


@dataclass(frozen=True)
class SimArmParameters:
    """Parameters of the simulated cell."""

    seed: int = required("seed of the sequence of randomised cells", 0, 2**31 - 1)
    output: str = optional("trajectory", "what the controller takes: trajectory or positions")
    domain: str = optional("pours", "what its cells differ in: nominal, pours, full, or a domain file")
    interpolate_from_desired_state: bool = optional(
        True, "the controller joins messages to its last command; else to where the arm is measured to be"
    )
    enforce_command_limits: bool = optional(True, "no servo is told to exceed its joint's speed limit")
    joint_state_rate: int = optional(100, "joint states per second; ros2_kortex sends 1000", 100, 1000)
    wrapped: bool = optional(False, "continuous joints are reported within half a turn of zero")
    mock_velocity: bool = optional(False, "velocities are reported as zero, as mock hardware does")
    joint_prefix: str = optional("", "before the names of joints and base frame in messages; empty: none")


class SimArm(ShellNode):
    """`PourCell` as a ROS node."""

    def __init__(self) -> None:
        super().__init__("sim_arm")

    def configure(self) -> None:
        """Build the first cell and the topics."""
        self._settings = read_parameters(self, SimArmParameters)
        self._robot = replace(GEN3, prefix=self._settings.joint_prefix)
        self._streamed = Output.named(self._settings.output) is Output.POSITIONS
        self._rng, self._spread = np.random.default_rng(self._settings.seed), spread_of(self._settings.domain)
        self._cell = PourCell()
        self._cups, self._streamed_at = 0, -math.inf
        self._next_cup()
        qos = QoSProfile(depth=10)
        self._joints = self.create_lifecycle_publisher(JointState, "joint_states", qos)
        self._load_cell = self.create_lifecycle_publisher(WrenchStamped, "load_cell/wrench", qos)
        self._wrist = self.create_lifecycle_publisher(WrenchStamped, "wrist/wrench", qos)
        self._target = self.create_lifecycle_publisher(PoseStamped, "target_pose", qos)
        self._outcome = self.create_lifecycle_publisher(DiagnosticStatus, "~/outcome", qos)
        self._diagnostics = self.create_lifecycle_publisher(DiagnosticArray, DIAGNOSTICS, qos)
        if self._streamed:
            self._command = hear_positions(self, self._on_positions, self._refuse)
        else:
            self._command = hear_trajectories(self, GEN3.command_topic, self._on_command, self._refuse)
            self._parameter_answers = self.create_service(
                GetParameters, f"{CONTROLLER}/get_parameters", self._on_get_parameters
            )
        self._service = self.create_service(Trigger, "~/new_cup", self._on_new_cup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start simulated time."""
        self._base = time.monotonic(), self._now
        self._timer = self.create_timer(
            1.0 / self._settings.joint_state_rate, self._on_timer, clock=self.steady
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
                self.destroy_lifecycle_publisher(getattr(self, name))
        if hasattr(self, "_service"):
            self.destroy_subscription(self._command)
            self.destroy_service(self._service)
            if not self._streamed:
                self.destroy_service(self._parameter_answers)

    def _next_cup(self) -> None:
        scenario = sample_scenario(self._rng, self._spread)
        self._cell.reset(scenario)
        self._now = 0.0  # [s] simulated
        self._base = time.monotonic(), 0.0
        self._settle(self._cell.read_position)
        self._cups += 1
        self._pour = CupLog(self._cups)
        self.get_logger().info(f"cup {self._cups}: {scenario.domain.granules} granules")

    def _settle(self, q: Vec) -> None:
        """A controller without a command, and the servos at rest at q (7,) [rad]."""
        self._trajectories = JointTrajectoryController(
            q, arms.CONTINUOUS, from_desired=self._settings.interpolate_from_desired_state
        )
        self._positions = ForwardController(q)
        controller = self._positions if self._streamed else self._trajectories
        bounds = GEN3_LIMITS.velocity if self._settings.enforce_command_limits else None
        self._drive = arms.Drive(controller, q, self._cell.domain.lag, bounds=bounds)

    def _simulated(self) -> float:
        """Simulated time [s] now, also between ticks."""
        real, simulated = self._base
        return simulated + time.monotonic() - real

    def _on_command(self, msg: JointTrajectory) -> None:
        since = convert.seconds(self.get_clock().now().to_msg()) - convert.seconds(msg.header.stamp)
        self._catch_up()  # simulate up to now under the old command
        now = self._simulated()
        stamped = convert.stamp_fault(msg.header.stamp) == ""
        try:
            trajectory = convert.trajectory(msg, self._robot.message_joints)
            self._trajectories.accept(trajectory, now - since if stamped else 0.0, now)
        except ValueError as error:
            self._refuse(str(error))
            return
        if self._pour.started is None:
            self._pour.started = now

    def _on_positions(self, msg: Float64MultiArray) -> None:
        self._catch_up()
        self._streamed_at = time.monotonic()
        try:
            self._positions.accept(np.array(msg.data), self._simulated())
        except ValueError as error:
            self._refuse(str(error))
            return
        if self._pour.started is None:
            self._pour.started = self._simulated()

    def _refuse(self, why: str) -> None:
        self.get_logger().error(f"command refused: {why}", throttle_duration_sec=1.0)

    def _on_new_cup(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        if time.monotonic() - self._streamed_at < SILENCE:  # they would draw the arm away from its start
            response.success, response.message = False, "positions are streamed: bring the arm to rest first"
            return response
        self._next_cup()
        response.success, response.message = True, f"cup {self._cups}"
        return response

    def _on_get_parameters(
        self, request: GetParameters.Request, response: GetParameters.Response
    ) -> GetParameters.Response:
        """The controller's own node has these; unknown ones are answered as not set."""
        known = {JOINS: self._settings.interpolate_from_desired_state}
        response.values = [
            ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=known[name])
            if name in known
            else ParameterValue()
            for name in request.names
        ]
        return response

    def _catch_up(self) -> None:
        """Simulate up to the present, and report what the sensors read."""
        due = int((self._simulated() - self._now) / MONITOR_PERIOD + 1e-6)
        if due > MOST_TICKS:
            self._base = time.monotonic(), self._now + MOST_TICKS * MONITOR_PERIOD
        for _ in range(min(due, MOST_TICKS)):
            self._advance()
        if due:
            self._publish()

    def _on_timer(self) -> None:
        self._catch_up()
        self._publish_joints()

    def _advance(self) -> None:
        """One tick: the controller and the servos at their own rate, then the physics."""
        before = self._drive.servo.qd
        self._cell.follow(*self._drive.advance(self._now, MONITOR_PERIOD, self._cell.domain.timestep))
        self._now += MONITOR_PERIOD
        change = self._drive.servo.qd - before
        self._pour.count(self._now, self._cell.outcome(), effort(change, self._cell.torque_share()))

    def _publish_joints(self) -> None:
        """The joint state now: between two ticks the arm goes on at the speed of the last one."""
        settings, seen = self._settings, self._cell.measure()
        q, qd = seen.joint_position, seen.joint_velocity
        q += min(max(self._simulated() - self._now, 0.0), MONITOR_PERIOD) * qd
        if settings.wrapped:
            q[arms.CONTINUOUS] = (q[arms.CONTINUOUS] + np.pi) % (2.0 * np.pi) - np.pi
        if settings.mock_velocity:
            qd[:] = 0.0
        stamp = self.get_clock().now().to_msg()
        self._joints.publish(
            convert.to_joint_state(self._robot.message_joints, q, qd, stamp, self._cell.effort())
        )

    def _publish(self) -> None:
        seen, stamp = self._cell.measure(), self.get_clock().now().to_msg()
        poured, remaining = seen.sensed[POURED].item(), seen.sensed[REMAINING].item()
        self._load_cell.publish(convert.to_wrench(poured, "load_cell", stamp))
        self._wrist.publish(convert.to_wrench(remaining, "wrist", stamp))
        self._target.publish(convert.to_pose(seen.sensed[TARGET], self._robot.message_frame, stamp))
        if round(self._now / MONITOR_PERIOD) % OUTCOME_TICKS == 0:
            self._outcome.publish(outcome_status(self._cell.outcome(), self._pour))

    def _on_second(self) -> None:
        msg = DiagnosticArray(status=[self._driver_status()])
        msg.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(msg)

    def _driver_status(self) -> DiagnosticStatus:
        """Status in the form of a driver's controller manager."""
        said, active = "All controllers are active", FORWARD_CONTROLLER if self._streamed else CONTROLLER
        return convert.to_status(CONTROLLERS, DiagnosticStatus.OK, said, {f"{active}.state": ACTIVE})


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    keep_heap_small()
    return run(SimArm, args)


if __name__ == "__main__":
    sys.exit(main())
