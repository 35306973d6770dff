"""Observation terms, action entries and curves that every arm has: its joints and its own tool.

Shapes: J joints.
"""

import math
from functools import partial

from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.task import Axis, Curve, Task, TaskFamily, Term
from spillguard_core.robot.arm import Robot
from spillguard_core.robot.tool import JointSpeeds, ToolState, towards

FASTEST_TOOL = 0.25  # [m/s] along an axis at an action of 1: the reduced speed of ISO 10218-1
FASTEST_TURN = 1.0  # [rad/s]
TWIST = (
    *(Axis(f"v{axis}", "m/s", FASTEST_TOOL, f"linear.{axis}") for axis in "xyz"),
    *(Axis(f"w{axis}", "rad/s", FASTEST_TURN, f"angular.{axis}") for axis in "xyz"),
)
"""All entries of the tool's twist, base frame."""


def joint_position(measurement: Measurement, tool: ToolState) -> list[float]:
    """(J,) [rad], as measured: joints without end stops are not wrapped."""
    del tool
    values: list[float] = measurement.joint_position.tolist()
    return values


def joint_velocity(measurement: Measurement, tool: ToolState) -> list[float]:
    """(J,) [rad/s]."""
    del tool
    values: list[float] = measurement.joint_velocity.tolist()
    return values


def tool_position(measurement: Measurement, tool: ToolState) -> list[float]:
    """(3,) [m], base frame."""
    del measurement
    values: list[float] = tool.position.tolist()
    return values


def tool_axes(measurement: Measurement, tool: ToolState) -> list[float]:
    """The first two columns of the tool's rotation matrix (6,): continuous, and enough to tell it
    (Zhou et al. 2019, "On the continuity of rotation representations in neural networks")."""
    del measurement
    values: list[float] = tool.rotation[:, :2].T.ravel().tolist()
    return values


def tool_velocity(measurement: Measurement, tool: ToolState) -> list[float]:
    """(6,) [m/s, rad/s], base frame."""
    del measurement
    values: list[float] = [*tool.velocity.tolist(), *tool.angular_velocity.tolist()]
    return values


def arm_terms(robot: Robot) -> dict[str, Term]:
    """Terms of this arm, by name."""
    joints, limits = len(robot.joint_names), robot.limits
    span = [
        (math.pi, 0.0) if math.isinf(low) or math.isinf(high) else (0.5 * (high - low), 0.5 * (low + high))
        for low, high in zip(limits.position_min.tolist(), limits.position_max.tolist(), strict=True)
    ]
    middle = 0.5 * (limits.workspace_min + limits.workspace_max)
    half = 0.5 * (limits.workspace_max - limits.workspace_min)
    fastest = (FASTEST_TOOL,) * 3 + (FASTEST_TURN,) * 3
    return {
        "joint_position": Term(
            joints, "rad", tuple(at for _, at in span), tuple(wide for wide, _ in span), joint_position
        ),
        "joint_velocity": Term(
            joints, "rad/s", (0.0,) * joints, tuple(limits.velocity.tolist()), joint_velocity
        ),
        "tool_position": Term(3, "m", tuple(middle.tolist()), tuple(half.tolist()), tool_position),
        "tool_axes": Term(6, "-", (0.0,) * 6, (1.0,) * 6, tool_axes),
        "tool_velocity": Term(6, "m/s, rad/s", (0.0,) * 6, fastest, tool_velocity),
    }


TOOL_CURVES = tuple(
    Curve("tool [m]", axis, partial(lambda number, measurement, tool: tool.position.item(number), number))
    for number, axis in enumerate("xyz")
)


def joint_task(name: str, *, positions: bool) -> TaskFamily:
    """A task of nothing but the arm: every joint's velocity, or a position to go to."""

    def of(robot: Robot) -> Task:
        unit, part = ("rad", "positions") if positions else ("rad/s", "velocities")
        largest = [2.0 * math.pi] * len(robot.joint_names) if positions else robot.limits.velocity.tolist()
        axes = zip(robot.joint_names, largest, strict=True)
        return Task(
            name=name, sensors=(), action=tuple(Axis(joint, unit, most, part) for joint, most in axes),
            terms=arm_terms(robot), tool=JointSpeeds, aim=towards if positions else None, curves=TOOL_CURVES,
        )  # fmt: skip

    return TaskFamily(name, of)
