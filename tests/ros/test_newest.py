"""Of a topic that is faster than it is used only the newest message is read. Real nodes."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from rclpy.node import Node
from sensor_msgs.msg import JointState

from spillguard_ros.node.intake import subscribe
from spillguard_ros.node.rounds import NodeRounds
from spillguard_ros.node.sensors import SENSOR_QOS
from tests.ros.harness import PATIENCE, private_ros

Send = Callable[[str, float], None]


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


def heard(topic: tuple[Node, Send], newest: str, other: str = "finger") -> list[tuple[str, float]]:
    """What is read of twelve joint states of the arm, between which a gripper sends three."""
    (node, send), seen = topic, list[tuple[str, float]]()

    def take(msg: Any) -> None:
        seen.append((msg.name[0], msg.position[0]))

    listen = partial(subscribe, node, JointState, "joint_states", take, lambda why: None, SENSOR_QOS)
    subscription = listen(newest=newest)
    rounds, end = NodeRounds(node), time.monotonic() + PATIENCE
    while not seen:  # discovery
        assert time.monotonic() < end
        send("joint_1", -1.0)
        rounds.once()
    time.sleep(0.2)
    for _ in range(20):
        rounds.once()
    seen.clear()
    for value in range(12):
        send("joint_1", float(value))
        if value % 4 == 3:
            send(other, float(value))
    time.sleep(0.3)
    rounds.once()
    node.destroy_subscription(subscription)
    return seen


def test_the_newest_of_the_arm_and_the_newest_of_others(topic: tuple[Node, Send]) -> None:
    """A gripper's own joint states must not displace the arm's, nor be lost on the way to the operator."""
    assert sorted(heard(topic, newest="joint_1")) == [("finger", 11.0), ("joint_1", 11.0)]


@pytest.mark.parametrize("other", ["finger_joint_1", "joint_10", "joint_1_finger"])
def test_a_name_that_only_holds_the_arms_is_another(topic: tuple[Node, Send], other: str) -> None:
    assert sorted(heard(topic, newest="joint_1", other=other)) == sorted([(other, 11.0), ("joint_1", 11.0)])


def test_without_that_every_message_is_read(topic: tuple[Node, Send]) -> None:
    assert len(heard(topic, newest="")) == 15
