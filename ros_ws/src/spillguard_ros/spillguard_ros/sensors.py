"""What the cell senses, gathered from its topics: the same for the policy and for the monitor."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from spillguard_core.observation import Measurement
from spillguard_ros import convert

BASE_FRAME = "base_link"
SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)  # matches every kind of publisher

Listener = Callable[[str, object], None]


class Sensors:
    """Latest value of every sensor and the steady time at which it came. Callbacks only store."""

    def __init__(self, node: Node, listener: Listener | None = None) -> None:
        self._listener = listener
        self._received = dict.fromkeys(("joints", "load_cell", "wrist", "target"), -math.inf)
        self._stamps: dict[str, Time] = {}
        self._q = self._qd = np.full(convert.JOINTS, math.nan)
        self._poured = self._remaining = math.nan
        self._target = np.full(3, math.nan)
        self.state_stamp = Time()
        self.subscriptions = [
            node.create_subscription(JointState, "joint_states", self._on_joints, SENSOR_QOS),
            node.create_subscription(WrenchStamped, "load_cell/wrench", self._on_load_cell, SENSOR_QOS),
            node.create_subscription(WrenchStamped, "wrist/wrench", self._on_wrist, SENSOR_QOS),
            node.create_subscription(PoseStamped, "target_pose", self._on_target, SENSOR_QOS),
        ]

    def _note(self, sensor: str, topic: str, msg: Any) -> None:
        # A driver that hangs may repeat its last reading: the same stamp again is no news. Of the joint state
        # the gate itself looks at the stamp.
        if sensor == "joints" or msg.header.stamp != self._stamps.get(sensor):
            self._received[sensor] = time.monotonic()
        self._stamps[sensor] = msg.header.stamp
        if self._listener is not None:
            self._listener(topic, msg)

    def _on_joints(self, msg: JointState) -> None:
        self._q, self._qd = convert.joint_state(msg)
        self.state_stamp = msg.header.stamp
        self._note("joints", "joint_states", msg)

    def _on_load_cell(self, msg: WrenchStamped) -> None:
        self._poured = convert.mass(msg)
        self._note("load_cell", "load_cell/wrench", msg)

    def _on_wrist(self, msg: WrenchStamped) -> None:
        self._remaining = convert.mass(msg)
        self._note("wrist", "wrist/wrench", msg)

    def _on_target(self, msg: PoseStamped) -> None:
        self._target = convert.position(msg, BASE_FRAME)
        self._note("target", "target_pose", msg)

    @property
    def state_received(self) -> float:
        """Steady time [s] of the joint state; -inf before the first."""
        return self._received["joints"]

    @property
    def sensors_received(self) -> float:
        """Steady time [s] of the oldest news of load cell, wrist and target; -inf until all have spoken."""
        return min(age for name, age in self._received.items() if name != "joints")

    def measurement(self) -> Measurement | None:
        """None until the joints have spoken; what has not spoken yet is NaN."""
        if math.isinf(self.state_received):
            return None
        return Measurement(self._q, self._qd, self._poured, self._remaining, self._target)
