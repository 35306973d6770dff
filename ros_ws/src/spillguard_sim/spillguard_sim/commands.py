"""How a simulated arm hears its commands: trajectories, or positions that are streamed."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from spillguard_ros.node.intake import subscribe
from spillguard_ros.node.outputs import POSITIONS

QUEUE = 20  # positions that may wait for a tick


def hear_positions(
    node: Node, take: Callable[[Float64MultiArray], None], refuse: Callable[[str], None]
) -> Subscription[Any]:
    """Every position counts, so several may wait."""
    return subscribe(node, Float64MultiArray, POSITIONS, lambda msg, _: take(msg), refuse, QUEUE)


def hear_trajectories(
    node: Node, topic: str, take: Callable[[JointTrajectory], None], refuse: Callable[[str], None]
) -> Subscription[Any]:
    """A trajectory replaces the one before it."""
    return subscribe(node, JointTrajectory, topic, lambda msg, _: take(msg), refuse, 1)
