"""The only place of the monitor that commands the arm. In shadow it does not exist."""

from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.gate.decision import Decision, GateConfig
from spillguard_core.gate.trajectory import braking_trajectory
from spillguard_core.robot.arm import Robot
from spillguard_ros.node import convert

LAST_WORD_TIMEOUT = 0.2  # [s] to wait for the acknowledgement of the last command


class ArmOutput:
    """Makes commands of decisions, and publishes them."""

    def __init__(self, node: LifecycleNode, robot: Robot, config: GateConfig) -> None:
        """ValueError for a gate in shadow."""
        if config.shadow:
            raise ValueError("a gate in shadow has no output: nothing may command the arm")
        self._joints, self._config = robot.message_joints, config
        self.publisher = node.create_lifecycle_publisher(JointTrajectory, robot.command_topic, 1)

    def send(self, decision: Decision, stamp: Time) -> JointTrajectory:
        """Publish what was decided; `stamp` is the moment of the decision on the node's clock."""
        command = convert.to_trajectory(self._joints, braking_trajectory(decision, self._config), stamp)
        self.publisher.publish(command)
        return command

    def wait_until_heard(self) -> None:
        """Until the last command is acknowledged, at most `LAST_WORD_TIMEOUT`."""
        self.publisher.wait_for_all_acked(Duration(seconds=LAST_WORD_TIMEOUT))


def arm_output(node: LifecycleNode, robot: Robot, config: GateConfig) -> ArmOutput | None:
    """The output of a gate that commands the arm; None in shadow."""
    return None if config.shadow else ArmOutput(node, robot, config)
