"""Any arm with the topics of its own driver, in real time, and goals for its tool.

Its controller takes, joins and refuses messages as ros2_control's joint_trajectory_controller does, or takes
positions that are streamed (parameter `output`); its servos trail their command (`sim/reaching/scene.py`).
One service and one topic exist only in simulation: the next goal, and how it stands with this one.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sim.reaching.scene import Reached, ReachScene
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import MONITOR_PERIOD, load_robot
from spillguard_core.tasks.reach import SENSORS
from spillguard_ros.monitor.driver import CONTROLLERS, DIAGNOSTICS, JOINS
from spillguard_ros.monitor.driver_reports import ACTIVE
from spillguard_ros.node import convert
from spillguard_ros.node.outputs import FORWARD_CONTROLLER, Output
from spillguard_ros.node.params import optional, read_parameters, required
from spillguard_ros.node.runtime import ShellNode, run
from spillguard_sim.commands import hear_positions, hear_trajectories
from spillguard_sim.heap import keep_heap_small

MOST_TICKS = 5  # most ticks made up at once after the process was preempted; further delay is lost time
OUTCOME_TICKS = 5  # between two outcome messages


@dataclass(frozen=True)
class AnyArmParameters:
    """Parameters of the simulated arm."""

    bundle: str = required("directory of the bundle, whose world model is that of the arm")
    robot: str = required("name of the arm, or a folder with its robot.yaml")
    seed: int = required("seed of the sequence of goals", 0, 2**31 - 1)
    output: str = optional("trajectory", "what the controller takes: trajectory or positions")
    interpolate_from_desired_state: bool = optional(
        True, "the controller joins messages to its last command; else to where the arm is measured to be"
    )
    driver_status: str = optional(CONTROLLERS, "name of its controller manager's status on /diagnostics")
    joint_prefix: str = optional("", "before the names of joints and base frame in messages; empty: none")


class AnyArm(ShellNode):
    """`ReachScene` as a ROS node."""

    def __init__(self) -> None:
        super().__init__("any_arm")

    def configure(self) -> None:
        """Build the scene and the topics."""
        self._settings = told = read_parameters(self, AnyArmParameters)
        self._robot = robot = load_robot(told.robot, told.joint_prefix)
        self._streamed = Output.named(told.output) is Output.POSITIONS
        self._scene = ReachScene(
            load_bundle(Path(told.bundle), robot), told.seed,
            streamed=self._streamed, from_desired=told.interpolate_from_desired_state,
        )  # fmt: skip
        self._base = time.monotonic()  # a command may come before anything is active
        trajectories = robot.command_topic.rpartition("/")[0]
        self._controller_name = FORWARD_CONTROLLER if self._streamed else trajectories
        qos = QoSProfile(depth=10)
        self._joints = self.create_lifecycle_publisher(JointState, "joint_states", qos)
        self._goal = self.create_lifecycle_publisher(PoseStamped, SENSORS[0].topic, qos)
        self._outcome = self.create_lifecycle_publisher(DiagnosticStatus, "~/outcome", qos)
        self._diagnostics = self.create_lifecycle_publisher(DiagnosticArray, DIAGNOSTICS, qos)
        # rclpy keeps its own list of services as `_services`.
        self._offered = [self.create_service(Trigger, "~/new_goal", self._on_new_goal)]
        if self._streamed:
            self._command = hear_positions(self, self._on_positions, self._refuse)
        else:
            self._command = hear_trajectories(self, robot.command_topic, self._on_command, self._refuse)
            self._offered.append(
                self.create_service(GetParameters, f"{trajectories}/get_parameters", self._on_get_parameters)
            )

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start simulated time."""
        self._base = time.monotonic() - self._scene.now
        self._timer = self.create_timer(MONITOR_PERIOD, self._on_timer, clock=self.steady)
        self._slow_timer = self.create_timer(1.0, self._on_second, clock=self.steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop simulated time."""
        self.destroy_timer(self._timer)
        self.destroy_timer(self._slow_timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Drop the topics."""
        if hasattr(self, "_offered"):
            for publisher in (self._joints, self._goal, self._outcome, self._diagnostics):
                self.destroy_lifecycle_publisher(publisher)
            self.destroy_subscription(self._command)
            for service in self._offered:
                self.destroy_service(service)

    def _on_command(self, msg: JointTrajectory) -> None:
        since = convert.seconds(self.get_clock().now().to_msg()) - convert.seconds(msg.header.stamp)
        self._catch_up()  # simulate up to now under the old command
        now = time.monotonic() - self._base
        stamped = convert.stamp_fault(msg.header.stamp) == ""
        try:
            trajectory = convert.trajectory(msg, self._robot.message_joints)
            self._scene.controller.accept(trajectory, now - since if stamped else 0.0, now)
        except ValueError as error:
            self._refuse(str(error))

    def _on_positions(self, msg: Float64MultiArray) -> None:
        self._catch_up()
        try:
            self._scene.positions.accept(np.array(msg.data), time.monotonic() - self._base)
        except ValueError as error:
            self._refuse(str(error))

    def _refuse(self, why: str) -> None:
        self.get_logger().error(f"command refused: {why}", throttle_duration_sec=1.0)

    def _on_new_goal(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        try:
            self._scene.next_goal()
        except ValueError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, f"goal {self._scene.goals}"
        return response

    def _on_get_parameters(
        self, request: GetParameters.Request, response: GetParameters.Response
    ) -> GetParameters.Response:
        """The controller's own node has these; unknown ones are answered as not set."""
        joins = ParameterValue(
            type=ParameterType.PARAMETER_BOOL, bool_value=self._settings.interpolate_from_desired_state
        )
        response.values = [joins if name == JOINS else ParameterValue() for name in request.names]
        return response

    def _catch_up(self) -> None:
        due = int((time.monotonic() - self._base - self._scene.now) / MONITOR_PERIOD + 1e-6)
        if due > MOST_TICKS:
            self._base = time.monotonic() - self._scene.now - MOST_TICKS * MONITOR_PERIOD
        for _ in range(min(due, MOST_TICKS)):
            self._advance()

    def _advance(self) -> None:
        """One tick."""
        self._scene.advance()

    def _on_timer(self) -> None:
        self._catch_up()
        scene, stamp = self._scene, self.get_clock().now().to_msg()
        self._joints.publish(
            convert.to_joint_state(self._robot.message_joints, scene.position, scene.velocity, stamp)
        )
        self._goal.publish(convert.to_pose(scene.goal, self._robot.message_frame, stamp))
        if round(scene.now / MONITOR_PERIOD) % OUTCOME_TICKS == 0:
            self._outcome.publish(_status(scene.outcome(), scene.goals))

    def _on_second(self) -> None:
        msg = DiagnosticArray(status=[self._driver_status()])
        msg.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(msg)

    def _driver_status(self) -> DiagnosticStatus:
        """Status in the form of a driver's controller manager."""
        said = {f"{self._controller_name}.state": ACTIVE}
        name, words = self._settings.driver_status, "All controllers are active"
        return convert.to_status(name, DiagnosticStatus.OK, words, said)


def _status(outcome: Reached, goal: int) -> DiagnosticStatus:
    """As every ROS tool can show it."""
    level = DiagnosticStatus.ERROR if outcome.violated else DiagnosticStatus.OK
    told = {
        "goal": goal, "distance": f"{outcome.distance:.4f}", "reached": outcome.reached,
        "contact": outcome.contact, "limit_broken": outcome.limit_broken,
    }  # fmt: skip
    words = f"goal {goal}: {1e3 * outcome.distance:.0f} mm away"
    return convert.to_status("any_arm: goal", level, words, {k: str(v).lower() for k, v in told.items()})


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    keep_heap_small()
    return run(AnyArm, args)


if __name__ == "__main__":
    sys.exit(main())
