"""Latest sensor readings of the cell, gathered from its topics: the same for the policy and the monitor."""

import math
from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.task import Kind, Sensor, Task
from spillguard_core.robot.arm import Robot, Vec
from spillguard_ros.node import convert
from spillguard_ros.node.intake import Serialized, Unread, reader, subscribe
from spillguard_ros.node.params import read_parameters, required

# Best effort matches every kind of publisher. The depth leaves room for other publishers on the same topic
# between two reads: a gripper's own joint states must not displace the arm's.
SENSOR_QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
JOINTS = "joint_states"
MESSAGES = {Kind.MASS: WrenchStamped, Kind.POINT: PoseStamped}
STANDS_STILL = "got the same header.stamp again; needed is the time of each measurement, which has to advance"

Listener = Callable[[str, Serialized], None]


class Frame(NamedTuple):
    """Frame in which a scale reports, and its upward direction.

    A wrench in any other frame is refused: the axis along which the weight acts would be unknown. `up` is the
    bottom row of the fixed rotation from that frame into one whose z points up.
    """

    name: str
    up: tuple[float, float, float]

    @classmethod
    def of(cls, prefix: str, name: str, up: tuple[float, ...]) -> "Frame":
        """ValueError if `up` is not a valid direction."""
        if not (len(up) == 3 and abs(math.hypot(*up) - 1.0) <= 1e-3):
            raise ValueError(f"{prefix}_up is {list(up)}, it has to be three numbers of length 1")
        return cls(name, (up[0], up[1], up[2]))


def frame_parameters(task: Task) -> type:
    """Parameters for the frames of the task's scales, for `params.read_parameters`."""
    entries: list[tuple[str, Any, Any]] = []
    for sensor in task.sensors:
        if sensor.prefix:
            name, words = (
                required(f"header.frame_id of the wrench on {sensor.topic}"),
                "along which weight is",
            )
            up = required(f"unit vector in that frame {words} positive")
            entries += [(f"{sensor.prefix}_frame", str, name)]
            entries += [(f"{sensor.prefix}_up", tuple[float, float, float], up)]
    return make_dataclass("SensorFrames", entries, frozen=True)


def read_frames(node: Node, task: Task) -> dict[str, Frame]:
    """Frames by prefix. ValueError for a parameter that is missing or not a direction."""
    told: Any = read_parameters(node, frame_parameters(task))
    prefixes = [sensor.prefix for sensor in task.sensors if sensor.prefix]
    return {p: Frame.of(p, getattr(told, f"{p}_frame"), getattr(told, f"{p}_up")) for p in prefixes}


class Sensors:
    """Latest value of every sensor and the steady time of its arrival. Callbacks only store.

    Joint states may come at 1 kHz: they wait as bytes, and only the newest is read when somebody asks.
    """

    def __init__(
        self,
        node: Node,
        robot: Robot,
        task: Task,
        frames: Mapping[str, Frame],
        listener: Listener | None = None,
    ) -> None:
        """`frames` from `read_frames`; `listener` is called with every message that was read."""
        self._joints, self._base, self._frames = robot.message_joints, robot.message_frame, frames
        topics = [JOINTS, *(sensor.topic for sensor in task.sensors)]
        self._received = dict.fromkeys(topics, -math.inf)
        self._stamps: dict[str, Time] = {}
        # Fault of the newest message on each topic, evaluated on demand.
        self._doubts: dict[str, Callable[[], str]] = dict.fromkeys(topics, lambda: "got nothing yet")
        self._passed_over: Callable[[], str] = str  # the same for a joint state that was ignored
        self._q = self._qd = np.full(len(robot.message_joints), math.nan)
        self._sensed = {sensor.name: np.full(sensor.kind.width, math.nan) for sensor in task.sensors}
        self._state_stamp = Time()
        self._unread = Unread(robot.message_joints)
        self._tell_joints = None if listener is None else partial(listener, JOINTS)
        self.subscriptions = [
            node.create_subscription(JointState, JOINTS, self._unread, SENSOR_QOS, raw=True)
        ]
        for sensor in task.sensors:
            take, refuse = partial(self._on_sensor, sensor), partial(self._refuse, sensor.topic)
            tell = None if listener is None else partial(listener, sensor.topic)
            self.subscriptions.append(
                subscribe(node, MESSAGES[sensor.kind], sensor.topic, take, refuse, SENSOR_QOS, tell=tell)
            )

    def _refuse(self, topic: str, why: str) -> None:
        # Its sender is unknown: the last valid state stays in use until it is stale.
        if topic == JOINTS:
            self._passed_over = lambda: why
        else:
            self._doubts[topic] = lambda: why

    def _note(self, topic: str, msg: Any, received: float, doubt: Callable[[], str]) -> None:
        # A hung driver may repeat its last reading: a repeated stamp does not count as a new one. For the
        # joint state the gate itself checks the stamp.
        again = msg.header.stamp == self._stamps.get(topic)
        if topic == JOINTS or not again:
            self._received[topic] = received
        self._stamps[topic] = msg.header.stamp
        self._doubts[topic] = (lambda: doubt() or STANDS_STILL) if again else doubt

    def _look(self) -> None:
        """Read the joint states that wait."""
        for received, data in self._unread.look():
            take, refuse = partial(self._on_joints, received=received), partial(self._refuse, JOINTS)
            reader(JointState, take, refuse, tell=self._tell_joints)(data)

    def _on_joints(self, msg: JointState, received: float) -> None:
        """A joint state is used as a whole or not at all: one with only some of the arm's joints is invalid.

        Combined from several messages, the posture would mix joints of different ages. A message that names
        none of the arm's joints, such as a gripper's, is ignored, and the age of the arm's last state keeps
        increasing.
        """
        fault = partial(convert.joint_state_fault, msg, self._joints)
        if convert.names_no_joint(msg, self._joints):
            self._passed_over = fault
            return
        self._q, self._qd = convert.joint_state(msg, self._joints)
        self._state_stamp = msg.header.stamp
        self._note(JOINTS, msg, received, fault)

    def _on_sensor(self, sensor: Sensor, msg: Any, received: float) -> None:
        if sensor.kind is Kind.MASS:
            frame, up = self._frames[sensor.prefix]
            value: Vec = np.array([convert.mass(msg, frame, up)])
            fault = partial(convert.wrench_fault, msg, frame)
        else:
            value = convert.position(msg, self._base)
            fault = partial(convert.position_fault, msg, self._base)
        self._sensed = {
            **self._sensed,
            sensor.name: value,
        }  # a new mapping: a measurement already handed out must not change
        self._note(sensor.topic, msg, received, fault)

    @property
    def state_stamp(self) -> Time:
        """Stamp of the joint state; 0 before the first."""
        self._look()
        return self._state_stamp

    @property
    def state_received(self) -> float:
        """Steady time [s] at which the joint state arrived; -inf before the first."""
        self._look()
        return self._received[JOINTS]

    @property
    def sensors_received(self) -> float:
        """Steady time [s] of the oldest of the task's sensor readings; -inf until all have reported.

        For a task without sensors of its own, that of the joint state.
        """
        self._look()
        return min(
            (t for topic, t in self._received.items() if topic != JOINTS), default=self._received[JOINTS]
        )

    @property
    def state_words(self) -> str:
        """Fault in the joint states received: topic, what was received, what is needed; empty if none."""
        if math.isinf(self.state_received):
            why = self._passed_over() or self._doubts[JOINTS]()
        else:
            why = self._doubts[JOINTS]() or self._passed_over()
        return f"{JOINTS}: {why}" if why else ""

    @property
    def sensor_words(self) -> str:
        """The same for the task's sensors."""
        wrong = {topic: doubt() for topic, doubt in self._doubts.items() if topic != JOINTS}
        return "; ".join(f"{topic}: {why}" for topic, why in wrong.items() if why)

    def measurement(self) -> Measurement | None:
        """None before the first joint state; sensors that have not reported yet are NaN."""
        if math.isinf(self.state_received):
            return None
        return Measurement(self._q, self._qd, self._sensed)
