"""Floods a safety monitor from a separate process for some seconds. Tests only.

Prints when it begins, and at the end how many messages or calls it has sent. Each message is harmless in
itself: calls that change nothing, other nodes' messages, and repetitions of the cell's newest messages.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rcl_interfaces.srv import GetParameters
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

CELL = {
    "joint_states": JointState, "load_cell/wrench": WrenchStamped, "wrist/wrench": WrenchStamped,
    "target_pose": PoseStamped, "policy/proposal": TwistStamped,
}  # fmt: skip
MANY = 20_000  # joints

Send = Callable[[], object]


def calls(node: Node) -> Send:
    """A reset of a monitor that is not stopped changes nothing. No answer is awaited."""
    client = node.create_client(Trigger, "safety_monitor/reset")
    client.wait_for_service(10.0)
    return lambda: client.remove_pending_request(client.call_async(Trigger.Request()))


def parameters(node: Node) -> Send:
    """Requests of the monitor's parameters."""
    client = node.create_client(GetParameters, "safety_monitor/get_parameters")
    client.wait_for_service(10.0)
    request = GetParameters.Request(names=["bundle", "coast_time", "clearance"])
    return lambda: client.remove_pending_request(client.call_async(request))


def _publish(node: Node, topic: str, msg: Any) -> Send:
    publisher, data = node.create_publisher(type(msg), topic, 1), serialize_message(msg)
    return lambda: publisher.publish(data)


def gripper(node: Node) -> Send:
    """Joint states of a gripper on the arm's topic."""
    return _publish(node, "joint_states", JointState(name=["finger"], position=[0.3], velocity=[0.0]))


def diagnostics(node: Node) -> Send:
    """Diagnostics of other nodes."""
    pairs = [KeyValue(key=f"key {number}", value="x" * 80) for number in range(100)]
    return _publish(
        node, "/diagnostics", DiagnosticArray(status=[DiagnosticStatus(name="camera", values=pairs)])
    )


def many_joints(node: Node) -> Send:
    """A joint state of MANY joints; a few per second already are a flood."""
    names, zeros = [f"joint_{number}" for number in range(MANY)], [0.0] * MANY
    send = _publish(node, "joint_states", JointState(name=names, position=zeros, velocity=zeros))
    return lambda: (send(), time.sleep(0.3))


def cell(node: Node) -> Send:
    """The newest messages of the cell, repeated."""
    newest: dict[str, bytes] = {}
    publishers = {topic: node.create_publisher(kind, topic, 1) for topic, kind in CELL.items()}
    for topic, kind in CELL.items():
        node.create_subscription(
            kind, topic, lambda data, topic=topic: newest.__setitem__(topic, data), 1, raw=True
        )
    executor = EventsExecutor()
    executor.add_node(node)

    def send() -> None:
        executor.spin_once(timeout_sec=0.0)
        for topic, data in newest.items():
            publishers[topic].publish(data)

    return send


FLOODS = {made.__name__: made for made in (calls, parameters, gripper, diagnostics, many_joints, cell)}


def main(kind: str, seconds: float) -> None:
    """Send for `seconds`, as fast as one process can.

    Without real-time priority: Linux throttles all real-time processes together for 50 ms of every second.
    """
    rclpy.init()
    send, sent = FLOODS[kind](Node("flood")), 0
    print("begun", flush=True)  # noqa: T201
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        send()
        sent += 1
    print(f"sent {sent}", flush=True)  # noqa: T201
    rclpy.try_shutdown()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
