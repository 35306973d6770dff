"""Faults of messages in transit: what is sent instead, and with which delay [s].

A fault is created with its parameters and then called for every message, in order.
"""

import math
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from sensor_msgs.msg import JointState

from spillguard_ros.node import convert

Sent = list[tuple[float, Any]]
Fault = Callable[[Any], Sent]


def lose(share: float) -> Fault:
    """This share of the messages is lost."""
    rng = random.Random(0)
    return lambda msg: [] if rng.random() < share else [(0.0, msg)]


def thin(every: int) -> Fault:
    """Only one message in `every` arrives."""
    count = 0

    def fault(msg: Any) -> Sent:
        nonlocal count
        count += 1
        return [(0.0, msg)] if count % every == 0 else []

    return fault


def delay(seconds: float) -> Fault:
    """All messages arrive late."""
    return lambda msg: [(seconds, msg)]


def duplicate(times: int, spacing: float = 0.0) -> Fault:
    """Each message arrives several times."""
    return lambda msg: [(number * spacing, msg) for number in range(times)]


def reorder() -> Fault:
    """Every second message overtakes the one before it."""
    kept: list[Any] = []

    def fault(msg: Any) -> Sent:
        if not kept:
            kept.append(msg)
            return []
        return [(0.0, msg), (0.0, kept.pop())]

    return fault


def freeze() -> Fault:
    """The first message, repeated."""
    first: list[Any] = []

    def fault(msg: Any) -> Sent:
        if not first:
            first.append(msg)
        return [(0.0, first[0])]

    return fault


def freeze_values() -> Fault:
    """The first message's values with current stamps."""
    first: list[Any] = []

    def fault(msg: Any) -> Sent:
        if not first:
            first.append(msg)
        again = deepcopy(first[0])
        again.header.stamp = msg.header.stamp
        return [(0.0, again)]

    return fault


def freeze_stamp() -> Fault:
    """The first message's stamp with current values."""
    first: list[Any] = []

    def fault(msg: Any) -> Sent:
        if not first:
            first.append(msg)
        msg.header.stamp = first[0].header.stamp
        return [(0.0, msg)]

    return fault


def zero_stamp() -> Fault:
    """A stamp that was never set."""

    def fault(msg: Any) -> Sent:
        msg.header.stamp = convert.stamp_of(0.0)
        return [(0.0, msg)]

    return fault


def shift_stamp(seconds: float) -> Fault:
    """Stamps from another clock."""

    def fault(msg: Any) -> Sent:
        msg.header.stamp = convert.stamp_of(convert.seconds(msg.header.stamp) + seconds)
        return [(0.0, msg)]

    return fault


def joints(kind: str) -> Fault:
    """Names, order or count of a joint state changed; "fewer" lacks the last joint."""

    def fault(msg: JointState) -> Sent:
        match kind:
            case "renamed":
                msg.name = [f"other_{name}" for name in msg.name]
            case "twice":
                msg.name = [msg.name[0], *msg.name[:-1]]
            case "fewer":
                msg.name, msg.position, msg.velocity = msg.name[:-1], msg.position[:-1], msg.velocity[:-1]
            case "fewer values":
                msg.position = msg.position[:-1]
            case "reversed":
                msg.name = list(msg.name[::-1])
                msg.position, msg.velocity = msg.position[::-1], msg.velocity[::-1]
            case "gripper":
                msg.name = ["finger", *msg.name]
                msg.position, msg.velocity = [0.3, *msg.position], [0.0, *msg.velocity]
            case "values swapped":
                msg.position = msg.position[::-1]
            case "turned":  # a full turn: for a continuous joint the same posture
                msg.position[2] += 2.0 * math.pi
            case _:
                raise ValueError(f"no such change of a joint state: {kind}")
        return [(0.0, msg)]

    return fault


def gripper_between() -> Fault:
    """After each joint state comes one of a gripper alone, as from a second broadcaster."""

    def fault(msg: JointState) -> Sent:
        alone = JointState(header=msg.header, name=["finger"], position=[0.3], velocity=[0.0])
        return [(0.0, msg), (0.0, alone)]

    return fault


def frame(frame_id: str) -> Fault:
    """Another frame id."""

    def fault(msg: Any) -> Sent:
        msg.header.frame_id = frame_id
        return [(0.0, msg)]

    return fault


def position(joint: int, value: float, add: bool = False) -> Fault:
    """One joint reads `value` [rad], or is off by that much."""

    def fault(msg: JointState) -> Sent:
        msg.position[joint] = msg.position[joint] + value if add else value
        return [(0.0, msg)]

    return fault


def velocity(joint: int, value: float) -> Fault:
    """One joint reads `value` [rad/s]."""

    def fault(msg: JointState) -> Sent:
        msg.velocity[joint] = value
        return [(0.0, msg)]

    return fault


def twist(value: float) -> Fault:
    """The proposal's upward speed is `value` [m/s]."""

    def fault(msg: TwistStamped) -> Sent:
        msg.twist.linear.z = value
        return [(0.0, msg)]

    return fault


def scale(factor: float) -> Fault:
    """The proposal, times `factor`."""

    def fault(msg: TwistStamped) -> Sent:
        speed = msg.twist.linear
        speed.x, speed.y, speed.z = factor * speed.x, factor * speed.y, factor * speed.z
        return [(0.0, msg)]

    return fault


def force(value: float) -> Fault:
    """A scale reads `value` [N]."""

    def fault(msg: WrenchStamped) -> Sent:
        msg.wrench.force.z = value
        return [(0.0, msg)]

    return fault


def point(value: float) -> Fault:
    """A place reads `value` [m] along x."""

    def fault(msg: PoseStamped) -> Sent:
        msg.pose.position.x = value
        return [(0.0, msg)]

    return fault


FAULTS: dict[str, Callable[..., Fault]] = {
    made.__name__: made
    for made in (
        lose, thin, delay, duplicate, reorder, freeze, freeze_values, freeze_stamp, zero_stamp, shift_stamp,
        joints, gripper_between, frame, position, velocity, twist, scale, force, point,
    )
}  # fmt: skip
