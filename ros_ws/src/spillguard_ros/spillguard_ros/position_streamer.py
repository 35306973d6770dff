"""The position streamer: the monitor's verified trajectories in, positions at a fixed rate out.

For arms whose controller takes positions as they are (`forward_position_controller`). A thin shell around
`spillguard_core.gate.interpolator`. Silence leaves the arm at rest where the last trajectory ends. A stream
begins only where the arm is measured to be, at rest. Some time after everything is at rest it
falls silent, so that an arm that somebody moves by hand has no old target to jump back to. With another
publisher beside the monitor no trajectory is taken until that one is gone.
"""

import math
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.gate.decision import SLOWEST
from spillguard_core.gate.interpolator import PositionInterpolator, window
from spillguard_core.robot.arm import load_robot
from spillguard_ros.node import convert
from spillguard_ros.node.intake import Unread, reader, subscribe
from spillguard_ros.node.outputs import POSITIONS
from spillguard_ros.node.params import optional, read_parameters, required
from spillguard_ros.node.runtime import ShellNode, run
from spillguard_ros.node.sensors import JOINTS, SENSOR_QOS

DIAGNOSTICS, NAME = "/diagnostics", "position_streamer: stream"
QUEUE = 4  # trajectories that may wait; of two that come together the first one is not lost
STILL = 0.05  # [rad/s]
LONGEST_REST = 2.0  # [s] in which a trajectory is followed to its end before the process ends


@dataclass(frozen=True)
class StreamerParameters:
    """Parameters of the position streamer."""

    robot: str = required("name of the arm, or a folder with its robot.yaml, which has to have a jerk limit")
    rate: int = required("positions per second", 100, 1000)
    delay: float = required("[s] a trajectory may be under way before it counts as late", 0.0, 0.05)
    max_deviation: float = required("[rad] off the verified path to join a late trajectory", 0.001, 0.1)
    state_timeout: float = required("age of the joint state [s] from which no stream begins", 0.01, 1.0)
    linger: float = required("[s] for which a posture at rest is repeated before silence", 0.0, 10.0)
    speed_scale: float = optional(1.0, "share of its speed at which every motion is made", SLOWEST, 1.0)
    joint_prefix: str = optional("", "before the names of joints and base frame in messages; empty: none")


class PositionStreamer(ShellNode):
    """`spillguard_core.gate.interpolator` on a timer."""

    in_rounds = True

    def __init__(self) -> None:
        super().__init__("position_streamer")
        self._stream: PositionInterpolator | None = None
        self._active = False

    def configure(self) -> None:
        """Load the robot, open the topics."""
        self._settings = read_parameters(self, StreamerParameters)
        robot = load_robot(self._settings.robot, self._settings.joint_prefix)
        self._joints = robot.message_joints
        # What a slowed gate sends is slow; what joins a late trajectory has to be, too.
        slow = self._settings.speed_scale * robot.limits.velocity
        self._limits = replace(robot.limits, velocity=slow)
        samples = window(robot.limits, self._settings.rate)
        self._close()
        self._positions = self.create_lifecycle_publisher(Float64MultiArray, POSITIONS, 1)
        self._diagnostics = self.create_lifecycle_publisher(DiagnosticArray, DIAGNOSTICS, 1)
        topic, self._unread = robot.command_topic, Unread(robot.message_joints)
        self._heard = [
            subscribe(self, JointTrajectory, topic, self._on_trajectory, self._refuse, QUEUE),
            self.create_subscription(JointState, JOINTS, self._unread, SENSOR_QOS, raw=True),
        ]
        self._topic = self.resolve_topic_name(topic)
        self.get_logger().info(f"{self._settings.rate} positions per second, each the mean of {samples}")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ready to stream; nothing is sent yet."""
        self._close()
        self._active = True
        self._timer = self.create_timer(1.0 / self._settings.rate, self._tick, clock=self.steady)
        self._slow_timer = self.create_timer(1.0, self._report, clock=self.steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Follow the last trajectory to its end, then fall silent."""
        self.last_words()
        self._active = False
        self.destroy_timer(self._timer)
        self.destroy_timer(self._slow_timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Drop the topics."""
        if hasattr(self, "_heard"):
            for subscription in self._heard:
                self.destroy_subscription(subscription)
            for publisher in (self._positions, self._diagnostics):
                self.destroy_lifecycle_publisher(publisher)

    def last_words(self) -> None:
        """The last position is at rest, whatever ends the process."""
        end, period = time.monotonic() + LONGEST_REST, 1.0 / self._settings.rate
        while self._stream is not None and not self._stream.at_rest and time.monotonic() < end:
            time.sleep(period)
            self._send(time.monotonic())
        self._stream = None

    def _close(self) -> None:
        self._stream = None
        self._rested = 0  # periods since everything is at rest
        self._writers, self._refused, self._pauses = 1, "", 0

    def _state(self) -> tuple[JointState, float]:
        """The newest joint state that names the arm's joints, and its steady time [s] of arrival."""
        newest = JointState(), -math.inf
        for received, data in self._unread.look():
            heard: list[JointState] = []
            reader(JointState, heard.append, lambda _: None)(data)
            if heard and not convert.names_no_joint(heard[0], self._joints):
                newest = heard[0], received
        return newest

    def _on_trajectory(self, msg: JointTrajectory, received: float) -> None:
        del received
        if not self._active:
            return
        now = time.monotonic()
        age = convert.seconds(self.get_clock().now().to_msg()) - convert.seconds(msg.header.stamp)
        try:
            writers = self._count_writers()
            if writers > 1:
                raise ValueError(f"{writers} nodes publish trajectories, allowed is the monitor alone")
            unset = convert.stamp_fault(msg.header.stamp)
            if unset:
                raise ValueError(unset)
            trajectory = convert.trajectory(msg, self._joints)
            stream = self._stream or self._begun(now)
            stream.accept(trajectory, now - age, now)
            self._stream, self._rested = stream, 0
        except ValueError as error:
            self._refuse(str(error))

    def _begun(self, now: float) -> PositionInterpolator:
        """A stream from where the arm is measured to be. ValueError says why there is none."""
        settings, (state, received) = self._settings, self._state()
        if not now - received <= settings.state_timeout:
            raise ValueError("a stream begins where the arm is, and no joint state says where")
        q, qd = convert.joint_state(state, self._joints)
        if not np.abs(qd).max() <= STILL:
            raise ValueError(f"a stream begins with an arm at rest, it moves at {np.abs(qd).max():.3f} rad/s")
        return PositionInterpolator(
            q, now, self._limits, settings.rate, settings.delay, settings.max_deviation
        )

    def _refuse(self, why: str) -> None:
        self._refused = why
        self.get_logger().error(f"trajectory refused: {why}", throttle_duration_sec=1.0)

    def _count_writers(self) -> int:
        """With every message: none of another node's is taken, however soon it comes."""
        self._writers = self.count_publishers(self._topic)
        return self._writers

    def _tick(self) -> None:
        if self._stream is None:
            return
        self._send(time.monotonic())
        self._rested = self._rested + 1 if self._stream.at_rest else 0
        if self._rested > self._settings.linger * self._settings.rate:
            self._pauses, self._stream = self._pauses + self._stream.pauses, None

    def _send(self, now: float) -> None:
        assert self._stream is not None
        for position in self._stream.advance(now):
            self._positions.publish(Float64MultiArray(data=position.tolist()))

    def _report(self) -> None:
        streaming = "streaming" if self._stream else "silent"
        level = DiagnosticStatus.WARN if self._refused else DiagnosticStatus.OK
        said = f"trajectory refused: {self._refused}" if self._refused else streaming
        pauses = self._pauses + (self._stream.pauses if self._stream else 0)
        values = {"state": streaming, "pauses": str(pauses), "trajectory_writers": str(self._writers)}
        msg = DiagnosticArray(status=[convert.to_status(NAME, level, convert.shown(said), values)])
        msg.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(msg)
        self._refused = ""


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    return run(PositionStreamer, args)


if __name__ == "__main__":
    sys.exit(main())
