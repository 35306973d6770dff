"""The bare peer of policy and monitor: a process that forwards one number. Started by `benchmarks.latency`.

Parameter `second`: false takes the policy's place (load cell in, proposal out), true the monitor's (proposal
in, command out). Parameter `period` [s]: above zero a steady timer forwards the latest number, as the nodes
do; with zero each message is forwarded at once.
"""

import signal
from types import FrameType

import rclpy
from geometry_msgs.msg import TwistStamped, WrenchStamped
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.experimental import EventsExecutor  # type: ignore[attr-defined]
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

COMMAND = "joint_trajectory_controller/joint_trajectory"


class Echo(Node):
    """Keeps the latest number and forwards it."""

    def __init__(self) -> None:
        super().__init__("echo")
        self._value: float | None = None
        self._second = bool(self.declare_parameter("second", False).value)
        period = float(self.declare_parameter("period", 0.0).value)
        self._at_once = period == 0.0
        if self._second:
            self.create_subscription(TwistStamped, "policy/proposal", self._on_twist, 1)
            self._out = self.create_publisher(JointTrajectory, COMMAND, 1)
        else:
            self.create_subscription(WrenchStamped, "load_cell/wrench", self._on_wrench, 1)
            self._out = self.create_publisher(TwistStamped, "policy/proposal", 1)
        if not self._at_once:
            self.create_timer(period, self._hand_on, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_wrench(self, msg: WrenchStamped) -> None:
        self._take(msg.wrench.force.z)

    def _on_twist(self, msg: TwistStamped) -> None:
        self._take(msg.twist.linear.z)

    def _take(self, value: float) -> None:
        self._value = value
        if self._at_once:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._value is None:
            return
        if self._second:
            point = JointTrajectoryPoint(positions=[self._value] * 7, velocities=[self._value] * 7)
            self._out.publish(JointTrajectory(points=[point] * 3))
        else:
            msg = TwistStamped()
            msg.twist.linear.z = self._value
            self._out.publish(msg)


def main() -> None:
    """Until SIGINT or SIGTERM."""
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor = EventsExecutor()
    executor.add_node(Echo())
    while not ended:
        executor.spin_once(timeout_sec=0.05)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
