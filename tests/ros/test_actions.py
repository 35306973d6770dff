"""Actions as messages: of the tool's twist and of joints, there and back, and what is refused."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import TwistStamped
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from spillguard_core.robot.arm import load_robot
from spillguard_core.tasks import find_task
from spillguard_ros.node.actions import ActionMessages
from spillguard_ros.node.convert import stamp_of

UR5E = load_robot("ur5e")
Change = Callable[[JointTrajectory], object]


def messages(task: str, prefix: str = "") -> ActionMessages:
    arm = replace(UR5E, prefix=prefix)
    return ActionMessages(find_task(task, arm), arm)


@pytest.mark.parametrize(
    ("task", "kind"),
    [("reach", TwistStamped), ("joint_velocities", JointTrajectory), ("joint_positions", JointTrajectory)],
)
@pytest.mark.parametrize("prefix", ["", "left_"])
def test_an_action_comes_back_as_it_was(task: str, kind: type, prefix: str) -> None:
    told, action = messages(task, prefix), np.array([0.1, -0.2, 0.3, -0.4, 0.5, -0.6])
    msg = told.message(action, stamp_of(2.5))
    assert type(msg) is kind is told.kind
    assert told.fault(msg) == ""
    np.testing.assert_array_equal(told.action(msg), action)
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (2, 500_000_000)


def test_joints_are_told_apart_by_their_names_not_their_order() -> None:
    told = messages("joint_velocities")
    msg = told.message(np.arange(6.0), stamp_of(1.0))
    msg.joint_names = msg.joint_names[::-1]
    msg.points[0].velocities = list(msg.points[0].velocities)[::-1]
    np.testing.assert_array_equal(told.action(msg), np.arange(6.0))
    assert msg.joint_names[0] == "wrist_3_joint"


def drop(msg: JointTrajectory) -> None:
    msg.joint_names = msg.joint_names[:5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop, "got the joints shoulder_pan_joint"),
        (lambda m: setattr(m, "joint_names", ["wrist_3_joint"] * 6), "needed is each of shoulder_pan_joint"),
        (lambda m: setattr(m, "joint_names", []), "got the joints none"),
        (lambda m: setattr(m, "points", []), "got 0 points; needed is one"),
        (lambda m: m.points.append(JointTrajectoryPoint()), "got 2 points"),
        (lambda m: setattr(m.points[0], "velocities", [0.0] * 5), "got 5 velocities; needed are 6"),
        (lambda m: setattr(m.points[0], "velocities", []), "got nothing; needed are 6 velocities"),
        (lambda m: setattr(m.points[0], "positions", [0.0] * 6), "got 6 positions, 6 velocities"),
        (lambda m: setattr(m.points[0], "effort", [1.0]), "1 effort"),
        (lambda m: setattr(m.points[0], "velocities", [math.nan] * 6), "shoulder_pan_joint nan"),
        (lambda m: setattr(m.points[0], "velocities", [0.0] * 5 + [math.inf]), "wrist_3_joint inf"),
    ],
)  # fmt: skip
def test_a_message_that_says_something_else_is_no_number(change: Change, words: str) -> None:
    told = messages("joint_velocities")
    msg = told.message(np.ones(6), stamp_of(1.0))
    change(msg)
    assert words in told.fault(msg)
    assert not np.isfinite(told.action(msg)).all()


def test_positions_are_not_taken_for_velocities() -> None:
    msg = messages("joint_positions").message(np.ones(6), stamp_of(1.0))
    assert np.isnan(messages("joint_velocities").action(msg)).all()


def test_a_point_with_a_time_is_no_action() -> None:
    told = messages("joint_velocities")
    msg = told.message(np.ones(6), stamp_of(1.0))
    msg.points[0].time_from_start = Duration(sec=1)
    assert "got a time_from_start; needed is 0" in told.fault(msg)
    assert np.isnan(told.action(msg)).all()


@pytest.mark.parametrize("far", [13.0, -90.0, 1e300])
def test_a_position_beyond_two_turns_is_no_action(far: float) -> None:
    told = messages("joint_positions")
    msg = told.message(np.array([0.0, far, 0.0, 0.0, 0.0, 0.0]), stamp_of(1.0))
    assert "shoulder_lift_joint" in told.fault(msg) and "is it in degrees?" in told.fault(msg)
    assert np.isnan(told.action(msg)).all()


def test_joints_of_another_arm_are_refused() -> None:
    msg = messages("joint_velocities", "right_").message(np.ones(6), stamp_of(1.0))
    left = messages("joint_velocities", "left_")
    assert np.isnan(left.action(msg)).all()
    assert "right_shoulder_pan_joint" in left.fault(msg)


def test_a_twist_in_another_frame_is_no_number() -> None:
    told = messages("reach")
    msg = told.message(np.ones(6), stamp_of(1.0))
    msg.header.frame_id = "tool0"
    assert np.isnan(told.action(msg)).all() and "tool0" in told.fault(msg)
