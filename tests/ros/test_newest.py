"""Of a topic that is faster than it is used only the newest message is read."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState

from spillguard_ros.node.intake import LARGEST, Unread
from spillguard_ros.node.rounds import NodeRounds
from spillguard_ros.node.sensors import SENSOR_QOS
from tests.ros.harness import PATIENCE
from tests.ros.private_graph import private_ros

Send = Callable[[str, float], None]
Read = Callable[[Callable[[bytes], None]], tuple[Any, Callable[[], None]]]
"""What is done with each message -> a subscription's callback, and a look at what waits."""


@pytest.fixture
def topic() -> Iterator[tuple[Node, Send]]:
    """A node, and a sender of joint states from another one."""
    with private_ros():
        node, other = Node("reads"), Node("sends")
        publisher = other.create_publisher(JointState, "joint_states", 50)

        def send(name: str, value: float) -> None:
            publisher.publish(JointState(name=[name], position=[value]))

        yield node, send
        other.destroy_node()
        node.destroy_node()


def heard(topic: tuple[Node, Send], read: Read, other: str = "finger") -> list[tuple[str, float]]:
    """What `read` takes of twelve joint states of the arm, between which a gripper sends three."""
    (node, send), seen = topic, list[tuple[str, float]]()

    def take(data: bytes) -> None:
        msg = deserialize_message(data, JointState)
        seen.append((msg.name[0], msg.position[0]))

    callback, look = read(take)
    subscription = node.create_subscription(JointState, "joint_states", callback, SENSOR_QOS, raw=True)
    rounds, end = NodeRounds(node), time.monotonic() + PATIENCE
    while not seen:  # discovery
        assert time.monotonic() < end
        send("joint_1", -1.0)
        rounds.once()
        look()
    time.sleep(0.2)
    for _ in range(20):
        rounds.once()
        look()
    seen.clear()
    for value in range(12):
        send("joint_1", float(value))
        if value % 4 == 3:
            send(other, float(value))
    time.sleep(0.3)
    rounds.once()
    look()
    node.destroy_subscription(subscription)
    return seen


def newest(take: Callable[[bytes], None]) -> tuple[Any, Callable[[], None]]:
    unread = Unread(["joint_1"])

    def look() -> None:
        for _, data in unread.look():
            take(data)

    return unread, look


def every(take: Callable[[bytes], None]) -> tuple[Any, Callable[[], None]]:
    return lambda data, _: take(data), lambda: None


def test_the_newest_of_the_arm_and_the_newest_of_others(topic: tuple[Node, Send]) -> None:
    """A gripper's own joint states must not displace the arm's, nor be lost on the way to the operator."""
    assert sorted(heard(topic, newest)) == [("finger", 11.0), ("joint_1", 11.0)]


@pytest.mark.parametrize("other", ["finger_joint_1", "joint_10", "joint_1_finger"])
def test_a_name_that_only_holds_the_arms_is_another(topic: tuple[Node, Send], other: str) -> None:
    assert sorted(heard(topic, newest, other)) == sorted([(other, 11.0), ("joint_1", 11.0)])


def test_without_that_every_message_is_read(topic: tuple[Node, Send]) -> None:
    assert len(heard(topic, every)) == 15


def state(*names: str, value: float = 0.0) -> bytes:
    return serialize_message(JointState(name=names, position=[value] * len(names)))


def test_what_waits_keeps_the_time_at_which_it_came() -> None:
    """Read late it is no fresher, and its order is that of arrival."""
    unread = Unread(["joint_1", "joint_2"])
    both, one = state("joint_1", "joint_2"), state("joint_2")
    for at, data in enumerate((one, both, state("finger"), one)):
        unread(data, float(at))
    assert unread.look() == [(1.0, both), (2.0, state("finger")), (3.0, one)]
    assert unread.look() == []


def test_neither_a_huge_message_nor_a_part_of_the_arm_displaces_the_arm() -> None:
    unread = Unread(["joint_1", "joint_2"])
    arm = state("joint_1", "joint_2")
    for at, data in enumerate((arm, state("joint_1", "joint_2", "x" * LARGEST), state("joint_1"))):
        unread(data, float(at))
    assert [at for at, _ in unread.look()] == [0.0, 1.0, 2.0]
