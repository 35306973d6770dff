"""Actions as messages: a twist of the tool, or a trajectory of one point for the joints; and chunks of them
as trajectories of several points, `time_from_start` being when each action is over.

What a message carries follows from the task (`spillguard_core.gate.task.Carrier`). Values missing in a
message become NaN, never zero, and so does everything in a message that says more than the action has.
"""

import math
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Twist, TwistStamped
from trajectory_msgs.msg import (
    JointTrajectory,
    JointTrajectoryPoint,
    MultiDOFJointTrajectory,
    MultiDOFJointTrajectoryPoint,
)

from spillguard_core.bundle.manifest import Ahead
from spillguard_core.gate.decision import Chunk, Proposal
from spillguard_core.gate.proposals import MOST_ACTIONS
from spillguard_core.gate.task import Carrier, Task
from spillguard_core.robot.arm import Robot, Vec
from spillguard_ros.node.convert import duration_of, frame_fault, number_fault, seconds, shown

FARTHEST = 4.0 * math.pi  # [rad] of a position to go to: two turns
FIELDS = ("positions", "velocities", "accelerations", "effort")


class ActionMessages:
    """The messages that carry the actions of one task and arm, one action each."""

    def __init__(self, task: Task, robot: Robot) -> None:
        self._axes, self._frame, self._carrier = task.action, robot.message_frame, task.carrier
        self._joints = tuple(robot.prefix + axis.name for axis in task.action)
        self.kind: type = TwistStamped if self._carrier is Carrier.TWIST else JointTrajectory
        """Type of the messages."""

    def proposal(self, msg: Any, received: float, stamp: float) -> Proposal:
        """What a message proposes; its times as in `Proposal`."""
        return Proposal(self.action(msg), received, stamp)

    def action(self, msg: Any) -> Vec:
        """(A,) in the units of the task; NaN where `fault` finds one."""
        if self._carrier is not Carrier.TWIST:
            nothing = np.full(len(self._axes), math.nan)
            return nothing if self.fault(msg) else self._of_joints(msg, msg.points[0])
        parts = _parts(msg.twist)
        values = np.array([parts.pop(axis.part) for axis in self._axes])
        if msg.header.frame_id != self._frame or not all(value == 0.0 for value in parts.values()):
            return np.full(len(self._axes), math.nan)
        return values

    def fault(self, msg: Any) -> str:
        """What was received and what is needed if a message is unusable; empty if none."""
        return self._twist_fault(msg) if self._carrier is Carrier.TWIST else self._joints_fault(msg)

    def message(self, action: Vec, stamp: Time) -> Any:
        """The message of an action (A,) or (1, A)."""
        action = action.reshape(len(self._axes))
        if self._carrier is not Carrier.TWIST:
            point = JointTrajectoryPoint(**{self._carrier.value: action.tolist()})
            joints = JointTrajectory(joint_names=list(self._joints), points=[point])
            joints.header.stamp = stamp
            return joints
        msg = TwistStamped()
        msg.header.stamp, msg.header.frame_id = stamp, self._frame
        self._fill(msg.twist, action)
        return msg

    def _fill(self, twist: Twist, action: Vec) -> None:
        for axis, value in zip(self._axes, action.tolist(), strict=True):
            kind, name = axis.part.split(".")
            setattr(getattr(twist, kind), name, value)

    def _twist_fault(self, msg: TwistStamped) -> str:
        return self._parts_fault(msg.twist) or frame_fault(msg.header.frame_id, self._frame)

    def _parts_fault(self, twist: Twist) -> str:
        parts = _parts(twist)
        numbers = {axis.part: parts.pop(axis.part) for axis in self._axes}
        strange = [f"{name} {value}" for name, value in parts.items() if value != 0.0]
        if strange:
            return f"got {' and '.join(strange)}; needed is 0, the action is {', '.join(numbers)} alone"
        return number_fault(numbers)

    def _joints_fault(self, msg: JointTrajectory) -> str:
        if why := self._names_fault(msg):
            return why
        if len(msg.points) != 1:
            return f"got {len(msg.points)} points; needed is one"
        if msg.points[0].time_from_start != Duration():
            return "got a time_from_start; needed is 0, an action holds from now until the next"
        return self._point_fault(msg, msg.points[0])

    def _names_fault(self, msg: JointTrajectory) -> str:
        if sorted(msg.joint_names) == sorted(self._joints):
            return ""
        got = shown(", ".join(msg.joint_names))
        return f"got the joints {got or 'none'}; needed is each of {', '.join(self._joints)} once"

    def _point_fault(self, msg: JointTrajectory, point: JointTrajectoryPoint) -> str:
        wanted = self._carrier.value
        given = {field: len(getattr(point, field)) for field in FIELDS}
        if given != {field: len(self._joints) * (field == wanted) for field in FIELDS}:
            told = ", ".join(f"{count} {field}" for field, count in given.items() if count)
            return f"got {told or 'nothing'}; needed are {len(self._joints)} {wanted} and nothing else"
        said = dict(zip(msg.joint_names, getattr(point, wanted), strict=True))
        far = [name for name, value in said.items() if abs(value) > FARTHEST]
        if far and self._carrier is Carrier.POSITIONS:
            got = f"got {far[0]} {said[far[0]]:.4g} rad"
            return f"{got}, allowed are {FARTHEST:.4g} either way; is it in degrees?"
        return number_fault(said)

    def _of_joints(self, msg: JointTrajectory, point: JointTrajectoryPoint) -> Vec:
        said = dict(zip(msg.joint_names, getattr(point, self._carrier.value), strict=True))
        return np.array([said[name] for name in self._joints])


class ChunkMessages(ActionMessages):
    """The messages that carry chunks of actions: trajectories of joints, or of one frame that is moved by the
    twists of its points."""

    def __init__(self, task: Task, robot: Robot, period: float) -> None:
        """`period` [s] between the actions of messages that are made here."""
        super().__init__(task, robot)
        self._period, self._site = period, robot.tool_site
        twists = self._carrier is Carrier.TWIST
        self.kind = MultiDOFJointTrajectory if twists else JointTrajectory

    def proposal(self, msg: Any, received: float, stamp: float) -> Proposal:
        """What a message proposes; its times as in `Proposal`."""
        if self.fault(msg):
            return Proposal(np.full(len(self._axes), math.nan), received, stamp)
        actions = np.array([self._action(msg, point) for point in msg.points])
        ends = np.array([seconds(point.time_from_start) for point in msg.points])
        return Proposal(actions[0], received, stamp, Chunk(actions, ends))

    def action(self, msg: Any) -> Vec:
        """(A,) the first one; NaN where `fault` finds one."""
        return self.proposal(msg, math.nan, math.nan).twist

    def fault(self, msg: Any) -> str:
        """What was received and what is needed if a message is unusable; empty if none."""
        twists = self._carrier is Carrier.TWIST
        if why := self._moved_fault(msg) if twists else self._names_fault(msg):
            return why
        if not 1 <= len(msg.points) <= MOST_ACTIONS:
            return f"got {len(msg.points)} points; needed are 1 to {MOST_ACTIONS}"
        before = 0.0
        for number, point in enumerate(msg.points):
            end = seconds(point.time_from_start)
            if not end > before:
                return (
                    f"got time_from_start {end:.6g} s of point {number}; needed is later than {before:.6g} s"
                )
            before = end
            if why := self._move_fault(point) if twists else self._point_fault(msg, point):
                return f"point {number}: {why}"
        return ""

    def message(self, action: Vec, stamp: Time) -> Any:
        """The message of the actions (H, A) of a chunk, or of one (A,)."""
        twists = self._carrier is Carrier.TWIST
        msg = MultiDOFJointTrajectory() if twists else JointTrajectory(joint_names=list(self._joints))
        msg.header.stamp = stamp
        if twists:
            msg.header.frame_id, msg.joint_names = self._frame, [self._site]
        for number, row in enumerate(np.atleast_2d(action), start=1):
            after = duration_of(number * self._period)
            if twists:
                point = MultiDOFJointTrajectoryPoint(velocities=[Twist()], time_from_start=after)
                self._fill(point.velocities[0], row)
            else:
                point = JointTrajectoryPoint(**{self._carrier.value: row.tolist()}, time_from_start=after)
            msg.points.append(point)
        return msg

    def _action(self, msg: Any, point: Any) -> Vec:
        if self._carrier is not Carrier.TWIST:
            return self._of_joints(msg, point)
        parts = _parts(point.velocities[0])
        return np.array([parts[axis.part] for axis in self._axes])

    def _moved_fault(self, msg: MultiDOFJointTrajectory) -> str:
        """Of what is moved, and in which frame. A message that does not say what means the tool."""
        if [*msg.joint_names] not in ([], [self._site]):
            got = shown(", ".join(msg.joint_names))
            return f"got the joint_names {got}; needed is {self._site} alone, or none"
        return frame_fault(msg.header.frame_id, self._frame)

    def _move_fault(self, point: MultiDOFJointTrajectoryPoint) -> str:
        given = [len(point.transforms), len(point.velocities), len(point.accelerations)]
        if given != [0, 1, 0]:
            told = "{} transforms, {} velocities and {} accelerations".format(*given)
            return f"got {told}; needed is one velocity and nothing else"
        return self._parts_fault(point.velocities[0])


def proposal_messages(task: Task, robot: Robot, ahead: Ahead | None) -> ActionMessages:
    """The messages of a policy that puts out chunks like `ahead`; None: one action each."""
    return ActionMessages(task, robot) if ahead is None else ChunkMessages(task, robot, ahead.period)


def _parts(twist: Twist) -> dict[str, float]:
    """Every component of a twist: "linear.x" to "angular.z"."""
    linear, angular = twist.linear, twist.angular
    return {
        "linear.x": linear.x, "linear.y": linear.y, "linear.z": linear.z,
        "angular.x": angular.x, "angular.y": angular.y, "angular.z": angular.z,
    }  # fmt: skip
