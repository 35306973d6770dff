"""The made-up arm's driver as a process: it follows its commands exactly, and a camera sees the ball."""

import time

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from sim.pouring.controller import JointTrajectoryController
from spillguard_core.robot.arm import load_robot
from spillguard_ros.node import convert
from tests.made_up.touch import ROBOT

BALL = np.array([0.55, -0.25, 0.24])
PERIOD = 0.01  # [s]


class Driver(Node):
    """Joint states, the ball, and nothing else."""

    def __init__(self) -> None:
        super().__init__("stick_driver")
        self._robot = load_robot(str(ROBOT))
        self._controller = JointTrajectoryController(self._robot.rest)
        self._joints = self.create_publisher(JointState, "joint_states", 10)
        self._ball = self.create_publisher(PoseStamped, "ball", 10)
        self.create_subscription(JointTrajectory, self._robot.command_topic, self._on_command, 1)
        self.create_timer(PERIOD, self._sense, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_command(self, msg: JointTrajectory) -> None:
        now, late = time.monotonic(), self.get_clock().now() - Time.from_msg(msg.header.stamp)
        begun = now - 1e-9 * late.nanoseconds
        self._controller.accept(convert.trajectory(msg, self._robot.joint_names), begun, now)

    def _sense(self) -> None:
        stamp = self.get_clock().now().to_msg()
        now, still = time.monotonic(), np.zeros(len(self._robot.joint_names))
        q, qd = self._controller.update(now, self._controller.command, still), self._controller.velocity
        self._joints.publish(convert.to_joint_state(self._robot.joint_names, q, qd, stamp))
        self._ball.publish(convert.to_pose(BALL, self._robot.base_frame, stamp))


if __name__ == "__main__":
    rclpy.init()
    rclpy.spin(Driver())
