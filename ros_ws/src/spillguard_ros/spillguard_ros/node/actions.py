"""Actions as messages: a twist of the tool, or a trajectory of one point for the joints.

What a message carries follows from the task (`spillguard_core.gate.task.Carrier`). Values missing in a
message become NaN, never zero, and so does everything in a message that says more than the action has.
"""

import math
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import TwistStamped
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from spillguard_core.gate.task import Carrier, Task
from spillguard_core.robot.arm import Robot, Vec
from spillguard_ros.node.convert import frame_fault, number_fault, shown

FARTHEST = 4.0 * math.pi  # [rad] of a position to go to: two turns
FIELDS = ("positions", "velocities", "accelerations", "effort")


class ActionMessages:
    """The messages that carry the actions of one task and arm."""

    def __init__(self, task: Task, robot: Robot) -> None:
        self._axes, self._frame, self._carrier = task.action, robot.message_frame, task.carrier
        self._joints = tuple(robot.prefix + axis.name for axis in task.action)
        self.kind: type = TwistStamped if self._carrier is Carrier.TWIST else JointTrajectory
        """Type of the messages."""

    def action(self, msg: Any) -> Vec:
        """(A,) in the units of the task; NaN where `fault` finds one."""
        if self._carrier is not Carrier.TWIST:
            return np.full(len(self._axes), math.nan) if self.fault(msg) else self._of_joints(msg)
        parts = _parts(msg)
        values = np.array([parts.pop(axis.part) for axis in self._axes])
        if msg.header.frame_id != self._frame or not all(value == 0.0 for value in parts.values()):
            return np.full(len(self._axes), math.nan)
        return values

    def fault(self, msg: Any) -> str:
        """What was received and what is needed if a message is unusable; empty if none."""
        return self._twist_fault(msg) if self._carrier is Carrier.TWIST else self._joints_fault(msg)

    def message(self, action: Vec, stamp: Time) -> Any:
        """The message of an action (A,)."""
        if self._carrier is not Carrier.TWIST:
            point = JointTrajectoryPoint(**{self._carrier.value: action.tolist()})
            joints = JointTrajectory(joint_names=list(self._joints), points=[point])
            joints.header.stamp = stamp
            return joints
        msg = TwistStamped()
        msg.header.stamp, msg.header.frame_id = stamp, self._frame
        for axis, value in zip(self._axes, action.tolist(), strict=True):
            kind, name = axis.part.split(".")
            setattr(getattr(msg.twist, kind), name, value)
        return msg

    def _twist_fault(self, msg: TwistStamped) -> str:
        parts = _parts(msg)
        numbers = {axis.part: parts.pop(axis.part) for axis in self._axes}
        strange = [f"{name} {value}" for name, value in parts.items() if value != 0.0]
        if strange:
            return f"got {' and '.join(strange)}; needed is 0, the action is {', '.join(numbers)} alone"
        return frame_fault(msg.header.frame_id, self._frame) or number_fault(numbers)

    def _joints_fault(self, msg: JointTrajectory) -> str:
        wanted = self._carrier.value
        if sorted(msg.joint_names) != sorted(self._joints):
            got = shown(", ".join(msg.joint_names))
            return f"got the joints {got or 'none'}; needed is each of {', '.join(self._joints)} once"
        if len(msg.points) != 1:
            return f"got {len(msg.points)} points; needed is one"
        given = {field: len(getattr(msg.points[0], field)) for field in FIELDS}
        if given != {field: len(self._joints) * (field == wanted) for field in FIELDS}:
            told = ", ".join(f"{count} {field}" for field, count in given.items() if count)
            return f"got {told or 'nothing'}; needed are {len(self._joints)} {wanted} and nothing else"
        if msg.points[0].time_from_start != Duration():
            return "got a time_from_start; needed is 0, an action holds from now until the next"
        said = dict(zip(msg.joint_names, getattr(msg.points[0], wanted), strict=True))
        far = [name for name, value in said.items() if abs(value) > FARTHEST]
        if far and self._carrier is Carrier.POSITIONS:
            got = f"got {far[0]} {said[far[0]]:.4g} rad"
            return f"{got}, allowed are {FARTHEST:.4g} either way; is it in degrees?"
        return number_fault(said)

    def _of_joints(self, msg: JointTrajectory) -> Vec:
        said = dict(zip(msg.joint_names, getattr(msg.points[0], self._carrier.value), strict=True))
        return np.array([said[name] for name in self._joints])


def _parts(msg: TwistStamped) -> dict[str, float]:
    """Every component of a twist: "linear.x" to "angular.z"."""
    linear, angular = msg.twist.linear, msg.twist.angular
    return {
        "linear.x": linear.x, "linear.y": linear.y, "linear.z": linear.z,
        "angular.x": angular.x, "angular.y": angular.y, "angular.z": angular.z,
    }  # fmt: skip
