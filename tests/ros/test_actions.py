"""Actions as messages: of the tool's twist and of joints, there and back, and what is refused."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Transform, Twist, TwistStamped
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint, MultiDOFJointTrajectory

from spillguard_core.bundle.manifest import Ahead
from spillguard_core.gate.proposals import MOST_ACTIONS
from spillguard_core.robot.arm import load_robot
from spillguard_core.tasks import find_task
from spillguard_ros.node.actions import ActionMessages, proposal_messages
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


AHEAD = Ahead(actions=4, period=0.1)


def chunk_messages(task: str, prefix: str = "") -> ActionMessages:
    arm = replace(UR5E, prefix=prefix)
    return proposal_messages(find_task(task, arm), arm, AHEAD)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("reach", MultiDOFJointTrajectory), ("joint_velocities", JointTrajectory),
        ("joint_positions", JointTrajectory), ("carry", MultiDOFJointTrajectory),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "left_"])
def test_a_chunk_comes_back_as_it_was(task: str, kind: type, prefix: str) -> None:
    told = chunk_messages(task, prefix)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 3 if task == "carry" else 6))
    msg = told.message(actions, stamp_of(2.5))
    assert type(msg) is kind is told.kind
    assert told.fault(msg) == ""
    proposal = told.proposal(msg, 7.0, 2.5)
    assert proposal.chunk is not None and (proposal.received, proposal.stamp) == (7.0, 2.5)
    np.testing.assert_array_equal(proposal.chunk.actions, actions)
    np.testing.assert_array_equal(proposal.twist, actions[0])
    np.testing.assert_allclose(proposal.chunk.ends, [0.1, 0.2, 0.3, 0.4], atol=1e-9)
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (2, 500_000_000)


def test_one_action_alone_is_a_chunk_of_one() -> None:
    told = chunk_messages("joint_velocities")
    proposal = told.proposal(told.message(np.ones(6), stamp_of(1.0)), 0.0, 1.0)
    assert proposal.chunk is not None and proposal.chunk.actions.shape == (1, 6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop, "got the joints shoulder_pan_joint"),
        (lambda m: setattr(m, "points", []), f"got 0 points; needed are 1 to {MOST_ACTIONS}"),
        (lambda m: setattr(m, "points", 40 * m.points), "got 160 points"),
        (lambda m: setattr(m.points[0], "time_from_start", Duration()), "got time_from_start 0 s of point 0"),
        (lambda m: setattr(m.points[2], "time_from_start", Duration(nanosec=150_000_000)),
         "got time_from_start 0.15 s of point 2; needed is later than 0.2 s"),
        (lambda m: setattr(m.points[3], "velocities", [0.0] * 5), "point 3: got 5 velocities; needed are 6"),
        (lambda m: setattr(m.points[3], "positions", [0.0] * 6), "point 3: got 6 positions, 6 velocities"),
        (lambda m: setattr(m.points[1], "velocities", [math.nan] * 6), "point 1: got shoulder_pan_joint nan"),
    ],
)  # fmt: skip
def test_a_chunk_that_says_something_else_is_no_number(change: Change, words: str) -> None:
    told = chunk_messages("joint_velocities")
    msg = told.message(np.ones((4, 6)), stamp_of(1.0))
    change(msg)
    assert words in told.fault(msg)
    proposal = told.proposal(msg, 0.0, 1.0)
    assert proposal.chunk is None and np.isnan(proposal.twist).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: setattr(m.header, "frame_id", "tool0"), "got header.frame_id 'tool0'"),
        (lambda m: setattr(m, "joint_names", ["camera"]), "got the joint_names camera; needed is"),
        (lambda m: setattr(m, "joint_names", 2 * [*m.joint_names]), " alone, or none"),
        (lambda m: setattr(m.points[1], "velocities", []), "point 1: got 0 transforms, 0 velocities"),
        (lambda m: setattr(m.points[1], "velocities", [Twist(), Twist()]), "2 velocities"),
        (lambda m: setattr(m.points[1], "transforms", [Transform()]), "got 1 transforms"),
        (lambda m: setattr(m.points[1], "accelerations", [Twist()]), "1 accelerations"),
        (lambda m: setattr(m.points[3].velocities[0].angular, "z", 0.1), "point 3: got angular.z 0.1"),
        (lambda m: setattr(m.points[3].velocities[0].linear, "z", math.inf), "point 3: got linear.z inf"),
    ],
)  # fmt: skip
def test_a_chunk_of_twists_that_says_something_else_is_no_number(change: Change, words: str) -> None:
    told = chunk_messages("carry")  # three speeds; the cup's turns are not its to ask for
    msg = told.message(np.ones((4, 3)), stamp_of(1.0))
    change(msg)
    assert words in told.fault(msg)
    assert np.isnan(told.action(msg)).all()


def test_a_chunk_of_twists_that_does_not_say_what_moves_is_of_the_tool() -> None:
    told = chunk_messages("carry")
    msg = told.message(np.ones((4, 3)), stamp_of(1.0))
    msg.joint_names = []
    assert told.fault(msg) == ""
