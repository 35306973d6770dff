"""Commands that the simulated arm accepts, and how it follows them: no processes needed."""

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from sim.pouring.gen3 import GEN3, JOINT_NAMES
from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import GRAVITY
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.node import convert
from spillguard_ros.node.actions import ActionMessages

NAN = float("nan")
MESSAGES = ActionMessages(POURING, GEN3)


def command() -> JointTrajectory:
    """Two points, at 10 ms and 30 ms; joint k goes to 0.01 k."""
    q = 0.01 * np.arange(7)
    times = np.array([0.01, 0.03])
    return convert.to_trajectory(
        JOINT_NAMES, Trajectory(times, np.stack([0.5 * q, q]), np.stack([q, np.zeros(7)]))
    )


def test_good_command_comes_through_unchanged() -> None:
    got = convert.trajectory(command(), JOINT_NAMES)
    np.testing.assert_allclose(got.times, [0.01, 0.03], atol=1e-12)
    np.testing.assert_array_equal(got.positions[1], 0.01 * np.arange(7))


def test_a_first_point_at_time_zero_and_the_stamp_come_through() -> None:
    path = Trajectory(np.array([0.0, 0.1]), np.zeros((2, 7)), np.zeros((2, 7)))
    msg = convert.to_trajectory(JOINT_NAMES, path, convert.stamp_of(12.5))
    assert convert.seconds(msg.header.stamp) == 12.5
    assert convert.trajectory(msg, JOINT_NAMES).times.tolist() == [0.0, 0.1]
    unstamped = convert.to_trajectory(JOINT_NAMES, path).header.stamp
    assert convert.stamp_fault(unstamped)


def test_command_is_read_by_joint_name() -> None:
    msg = command()
    msg.joint_names = list(JOINT_NAMES[::-1])
    np.testing.assert_array_equal(
        convert.trajectory(msg, JOINT_NAMES).positions[1], 0.01 * np.arange(7)[::-1]
    )


def nan_position(msg: JointTrajectory) -> None:
    msg.points[0].positions[3] = NAN


def nan_velocity(msg: JointTrajectory) -> None:
    msg.points[1].velocities[3] = NAN


def same_time(msg: JointTrajectory) -> None:
    msg.points[1].time_from_start = msg.points[0].time_from_start


def negative_time(msg: JointTrajectory) -> None:
    msg.points[0].time_from_start = Duration(sec=-1)


def moving_end(msg: JointTrajectory) -> None:
    msg.points[1].velocities[0] = 0.1


def short_point(msg: JointTrajectory) -> None:
    msg.points[0].positions = msg.points[0].positions[:6]


def no_velocities(msg: JointTrajectory) -> None:
    msg.points[0].velocities = []


def double_name(msg: JointTrajectory) -> None:
    msg.joint_names = ["joint_1", *JOINT_NAMES[:6]]


def strange_name(msg: JointTrajectory) -> None:
    msg.joint_names = [*JOINT_NAMES[:6], "finger"]


def no_points(msg: JointTrajectory) -> None:
    msg.points = []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (nan_position, "finite"),
        (nan_velocity, "finite"),
        (same_time, "increase"),
        (negative_time, "must not be negative"),
        (moving_end, "at rest"),
        (short_point, "7 positions"),
        (no_velocities, "7 velocities"),
        (double_name, "joint names must be"),
        (strange_name, "joint names must be"),
        (no_points, "at least one point"),
    ],
)
def test_bad_command_is_refused(damage: object, reason: str) -> None:
    msg = command()
    damage(msg)  # type: ignore[operator]
    with pytest.raises(ValueError, match=reason):
        convert.trajectory(msg, JOINT_NAMES)


def test_joint_state_is_read_by_name_and_may_carry_more_joints() -> None:
    names = ["finger", *JOINT_NAMES[::-1]]
    msg = JointState(name=names, position=[9.0, *map(float, range(7))], velocity=[9.0] + [0.5] * 7)
    q, qd = convert.joint_state(msg, JOINT_NAMES)
    np.testing.assert_array_equal(q, np.arange(7)[::-1])
    np.testing.assert_array_equal(qd, np.full(7, 0.5))


@pytest.mark.parametrize(
    "names", [list(JOINT_NAMES[:6]), [*JOINT_NAMES[:6], "joint_1"], [*JOINT_NAMES, "joint_7"]]
)
def test_joint_state_without_each_joint_once_is_no_number(names: list[str]) -> None:
    zeros = [0.0] * len(names)
    q, qd = convert.joint_state(JointState(name=names, position=zeros, velocity=zeros), JOINT_NAMES)
    assert np.isnan(q).all()
    assert np.isnan(qd).all()


def test_joint_state_without_velocities_is_no_number() -> None:
    q, _ = convert.joint_state(JointState(name=list(JOINT_NAMES), position=[0.0] * 7), JOINT_NAMES)
    assert np.isnan(q).all()


def test_values_in_another_frame_are_no_numbers() -> None:
    pose, twist = PoseStamped(), TwistStamped()
    pose.header.frame_id = twist.header.frame_id = "tool"
    assert np.isnan(convert.position(pose, "base_link")).all()
    assert np.isnan(MESSAGES.action(twist)).all()


def test_twist_about_another_axis_is_no_number() -> None:
    msg = MESSAGES.message(np.zeros(4), JointState().header.stamp)
    assert np.isfinite(MESSAGES.action(msg)).all()
    msg.twist.angular.z = 0.1
    assert np.isnan(MESSAGES.action(msg)).all()


def test_mass_comes_back_from_its_weight() -> None:
    msg = convert.to_wrench(0.25, "scale", JointState().header.stamp)
    assert msg.wrench.force.z == pytest.approx(0.25 * GRAVITY)
    assert convert.mass(msg) == pytest.approx(0.25)
