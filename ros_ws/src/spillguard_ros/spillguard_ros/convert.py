"""Messages <-> arrays. Nothing else knows how a message is laid out.

What a message lacks becomes NaN, never zero: the gate and the policy refuse NaN.
"""

import math
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from spillguard_core.arm import GRAVITY, JOINT_NAMES, Vec
from spillguard_core.decision import SuspensionRequest
from spillguard_core.trajectory import Trajectory

JOINTS = len(JOINT_NAMES)
_TYPE_NAMES = {
    getattr(ParameterType, name): name.removeprefix("PARAMETER_").lower().replace("_", " ")
    for name in dir(ParameterType)
    if name.startswith("PARAMETER_")
}


def seconds(stamp: Time | Duration) -> float:
    """[s]"""
    return float(stamp.sec + 1e-9 * stamp.nanosec)


def stamp_of(time: float) -> Time:
    """Time stamp of a moment [s] >= 0."""
    whole = math.floor(time)
    return Time(sec=whole, nanosec=min(round(1e9 * (time - whole)), 999_999_999))


def duration_of(time: float) -> Duration:
    """Duration of `time` [s] >= 0, rounded to the nanosecond."""
    whole, nanosec = divmod(round(1e9 * time), 1_000_000_000)
    return Duration(sec=whole, nanosec=nanosec)


def _order(names: list[str]) -> list[int] | None:
    """Where the arm's joints are in `names`; None unless each is there exactly once. Others may be there."""
    if any(names.count(name) != 1 for name in JOINT_NAMES):
        return None
    return [names.index(name) for name in JOINT_NAMES]


def joint_state(msg: JointState) -> tuple[Vec, Vec]:
    """Positions and velocities, each (7,), by joint name; NaN where names or lengths do not fit."""
    order, count = _order(list(msg.name)), len(msg.name)
    if order is None or not len(msg.position) == len(msg.velocity) == count:
        return np.full(JOINTS, math.nan), np.full(JOINTS, math.nan)
    return np.array(msg.position)[order], np.array(msg.velocity)[order]


def to_joint_state(q: Vec, qd: Vec, stamp: Time) -> JointState:
    """q (7,) [rad], qd (7,) [rad/s]."""
    msg = JointState(name=list(JOINT_NAMES), position=q.tolist(), velocity=qd.tolist())
    msg.header.stamp = stamp
    return msg


def mass(msg: WrenchStamped) -> float:
    """Mass [kg] that a tared scale feels as a force along z."""
    return float(msg.wrench.force.z) / GRAVITY


def to_wrench(felt: float, frame: str, stamp: Time) -> WrenchStamped:
    """The weight of a mass [kg]."""
    msg = WrenchStamped()
    msg.header.stamp, msg.header.frame_id = stamp, frame
    msg.wrench.force.z = GRAVITY * felt
    return msg


def position(msg: PoseStamped, frame: str) -> Vec:
    """Position (3,) [m]; NaN if the pose is given in another frame."""
    if msg.header.frame_id != frame:
        return np.full(3, math.nan)
    point = msg.pose.position
    return np.array([point.x, point.y, point.z])


def to_pose(point: Vec, frame: str, stamp: Time) -> PoseStamped:
    """Position (3,) [m] without a rotation."""
    msg = PoseStamped()
    msg.header.stamp, msg.header.frame_id = stamp, frame
    msg.pose.position.x, msg.pose.position.y, msg.pose.position.z = point.tolist()
    return msg


def twist(msg: TwistStamped, frame: str) -> Vec:
    """(vx, vy, vz [m/s], tilt rate [rad/s]); NaN if given in another frame or turning about other axes."""
    linear, angular = msg.twist.linear, msg.twist.angular
    if msg.header.frame_id != frame or not (angular.y == 0.0 and angular.z == 0.0):
        return np.full(4, math.nan)
    return np.array([linear.x, linear.y, linear.z, angular.x])


def to_twist(values: Vec, frame: str, stamp: Time) -> TwistStamped:
    """values (4,): vx, vy, vz [m/s], tilt rate [rad/s]."""
    msg = TwistStamped()
    msg.header.stamp, msg.header.frame_id = stamp, frame
    linear, angular = msg.twist.linear, msg.twist.angular
    linear.x, linear.y, linear.z, angular.x = (float(v) for v in values)
    return msg


def to_trajectory(trajectory: Trajectory) -> JointTrajectory:
    """Starts when it arrives: the stamp stays zero."""
    points = [
        JointTrajectoryPoint(positions=q.tolist(), velocities=qd.tolist(), time_from_start=duration_of(time))
        for time, q, qd in zip(
            trajectory.times.tolist(), trajectory.positions, trajectory.velocities, strict=True
        )
    ]
    return JointTrajectory(joint_names=list(JOINT_NAMES), points=points)


def trajectory(msg: JointTrajectory) -> Trajectory:
    """A command as a joint trajectory controller reads it, or ValueError with the reason for refusing it."""
    order = _order(list(msg.joint_names))
    if order is None or len(msg.joint_names) != JOINTS:
        raise ValueError(f"joint names must be {', '.join(JOINT_NAMES)}, got {list(msg.joint_names)}")
    if not msg.points:
        raise ValueError("a trajectory needs at least one point, got none")
    if not all(len(p.positions) == len(p.velocities) == JOINTS for p in msg.points):
        raise ValueError(f"every point needs {JOINTS} positions and {JOINTS} velocities")
    times = np.array([seconds(p.time_from_start) for p in msg.points])
    positions = np.array([p.positions for p in msg.points])[:, order]
    velocities = np.array([p.velocities for p in msg.points])[:, order]
    if not (np.isfinite(positions).all() and np.isfinite(velocities).all()):
        raise ValueError("positions and velocities must be finite")
    if not (times[0] > 0.0 and (np.diff(times) > 0.0).all()):
        raise ValueError(f"time_from_start must be above zero and increase, got {times.tolist()} s")
    if velocities[-1].any():
        raise ValueError(f"the last point must be at rest, got {velocities[-1].tolist()} rad/s")
    return Trajectory(times, positions, velocities)


def suspension_request(parameters: Sequence[Parameter]) -> SuspensionRequest:
    """What SetParametersAtomically was called with, or ValueError with the reason for refusing it."""
    needed = {"reason": ParameterType.PARAMETER_STRING, "seconds": ParameterType.PARAMETER_DOUBLE}
    got = [(p.name, p.value.type) for p in parameters]
    if sorted(got) != sorted(needed.items()):
        names = ", ".join(f"{name} ({_TYPE_NAMES.get(kind, 'unknown type')})" for name, kind in got)
        raise ValueError(f"needed are reason (string) and seconds (double), got {names or 'nothing'}")
    values = {p.name: p.value for p in parameters}
    return SuspensionRequest(values["reason"].string_value, values["seconds"].double_value)


def to_parameters(asked: SuspensionRequest) -> list[Parameter]:
    """What `suspension_request` reads."""
    text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=asked.reason)
    number = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=asked.seconds)
    return [Parameter(name="reason", value=text), Parameter(name="seconds", value=number)]


def to_status(name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
    """`values` in the order in which they are shown."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, hardware_id="spillguard", message=message, values=pairs)


def status_values(msg: DiagnosticStatus) -> dict[str, str]:
    """Key values of a status."""
    return {pair.key: pair.value for pair in msg.values}
