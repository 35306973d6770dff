"""Relay between the arm and policy and monitor: forwards every message, or applies the ordered fault.

Messages on `raw/<topic>` are forwarded to `<topic>`. An order is JSON on `fault_relay/order`: a number, the
topics, the name of a fault of `messages.py` and its parameters; an order without a fault ends all of them.
The answer on `fault_relay/began` has the number and the steady time [s] at which the first message was
affected. Which topics there are, the parameter `topics` says: their names with spaces between.
"""

import heapq
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rclpy.serialization import deserialize_message
from rclpy.timer import Timer
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from spillguard_ros.node.runtime import ShellNode, run
from tests.faults.messages import FAULTS, Fault

PROPOSAL = "policy/proposal"
KINDS = {
    "joint_states": JointState,
    "load_cell/wrench": WrenchStamped,
    "wrist/wrench": WrenchStamped,
    "target_pose": PoseStamped,
    "goal_pose": PoseStamped,
    PROPOSAL: TwistStamped,
}
TICK = 0.002  # [s] while messages are delayed


class Relay(ShellNode):
    """Single-threaded; delayed messages are sent by a timer."""

    def __init__(self) -> None:
        super().__init__("fault_relay")

    def configure(self) -> None:
        """Open the topics, with no fault active."""
        self._faults: dict[str, Fault] = {}
        self._number, self._begun = 0, True
        self._waiting: list[tuple[float, int, str, Any]] = []
        self._order = itertools.count()
        self._timer: Timer | None = None
        if not self.has_parameter("topics"):
            self.declare_parameter("topics", "")
        kinds = {topic: KINDS[topic] for topic in self.get_parameter("topics").value.split()}
        self._out = {topic: self.create_publisher(kind, topic, 10) for topic, kind in kinds.items()}
        for topic, kind in kinds.items():
            # As raw bytes: unaffected messages need not be deserialised.
            self.create_subscription(kind, f"raw/{topic}", self._listener(topic, kind), 10, raw=True)
        self.create_subscription(String, "fault_relay/order", self._on_order, 10)
        self._answer = self.create_publisher(String, "fault_relay/began", 10)

    def release(self) -> None:
        """The process ends with its topics."""

    def _on_order(self, msg: String) -> None:
        order = json.loads(msg.data)
        fault = order.get("fault")
        self._faults = (
            {topic: FAULTS[fault](**order["figures"]) for topic in order["topics"]} if fault else {}
        )
        self._waiting.clear()
        self._number, self._begun = order["number"], fault is None
        if fault is None:
            self._tell(time.monotonic())

    def _tell(self, began: float) -> None:
        self._answer.publish(String(data=json.dumps({"number": self._number, "began": began})))

    def _listener(self, topic: str, kind: Any) -> Callable[[bytes], None]:
        def on_message(msg: bytes) -> None:
            fault, now = self._faults.get(topic), time.monotonic()
            if fault is None:
                self._out[topic].publish(msg)
                return
            for later, sent in fault(deserialize_message(msg, kind)):
                if later:
                    heapq.heappush(self._waiting, (now + later, next(self._order), topic, sent))
                else:
                    self._out[topic].publish(sent)
            if not self._begun:
                self._begun = True
                self._tell(now)
            if self._waiting and self._timer is None:
                self._timer = self.create_timer(TICK, self._send_due, clock=self.steady)

        return on_message

    def _send_due(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, topic, msg = heapq.heappop(self._waiting)
            self._out[topic].publish(msg)
        if not self._waiting and self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None


if __name__ == "__main__":
    sys.exit(run(Relay))
