"""Messages <-> arrays. No other module depends on message layouts.

Values missing in a message become NaN, never zero: the gate and the policy reject NaN.
"""

import math
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rcl_interfaces.msg import Parameter, ParameterType
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from spillguard_core.gate.decision import SuspensionRequest
from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import GRAVITY, Vec

Names = Sequence[str]
"""Names of the arm's joints, in order."""
Direction = tuple[float, float, float]
"""A unit vector in a sensor's own frame."""
LONGEST_SHOWN = 160  # characters
MOST_FORCE = 1e3  # [N] largest plausible force on a scale or wrist along an axis
UP: Direction = (0.0, 0.0, 1.0)
_TYPE_NAMES = {
    getattr(ParameterType, name): name.removeprefix("PARAMETER_").lower().replace("_", " ")
    for name in dir(ParameterType)
    if name.startswith("PARAMETER_")
}


def seconds(stamp: Time | Duration) -> float:
    """[s]"""
    return float(stamp.sec + 1e-9 * stamp.nanosec)


def stamp_of(time: float) -> Time:
    """Time stamp for a time [s] >= 0."""
    whole = math.floor(time)
    return Time(sec=whole, nanosec=min(round(1e9 * (time - whole)), 999_999_999))


def duration_of(time: float) -> Duration:
    """Duration of `time` [s] >= 0, rounded to the nanosecond."""
    whole, nanosec = divmod(round(1e9 * time), 1_000_000_000)
    return Duration(sec=whole, nanosec=nanosec)


def shown(text: str) -> str:
    """`text` from a message, made safe for one line of output: printable, limited in length."""
    plain = "".join(c if c.isprintable() else "?" for c in text[: LONGEST_SHOWN + 1])
    return plain if len(plain) <= LONGEST_SHOWN else f"{plain[: LONGEST_SHOWN - 3]}..."


def _order(names: list[str], joints: Names) -> list[int] | None:
    """Indices of the arm's joints in `names`; None unless each occurs exactly once. Others are allowed."""
    if any(names.count(name) != 1 for name in joints):
        return None
    return [names.index(name) for name in joints]


def joint_state(msg: JointState, joints: Names) -> tuple[Vec, Vec]:
    """Positions and velocities, each (J,), of these joints; NaN if names or lengths do not match."""
    order, count = _order(list(msg.name), joints), len(msg.name)
    if order is None or not len(msg.position) == len(msg.velocity) == count:
        return np.full(len(joints), math.nan), np.full(len(joints), math.nan)
    return np.array(msg.position)[order], np.array(msg.velocity)[order]


def names_no_joint(msg: JointState, joints: Names) -> bool:
    """Whether it has none of the arm's joints, as a gripper's own joint state on the same topic."""
    return not any(name in joints for name in msg.name)


def joint_state_fault(msg: JointState, joints: Names) -> str:
    """What was received and what is needed if the joint state or its stamp is unusable; empty if none."""
    names, count = list(msg.name), len(msg.name)
    if _order(names, joints) is None:
        twice = sorted({name for name in names if name in joints and names.count(name) > 1})
        listed = ", ".join(names) or "of no joint"
        got = f"{', '.join(twice)} more than once in {listed}" if twice else f"the names {listed}"
        return f"got {shown(got)}; needed is each of {', '.join(joints)} once"
    if not len(msg.position) == len(msg.velocity) == count:
        lengths = f"{count} names, {len(msg.position)} positions, {len(msg.velocity)} velocities"
        return f"got {lengths}; needed are a position and a velocity for each name"
    for what, values in (("position", msg.position), ("velocity", msg.velocity)):
        for name, value in zip(names, values, strict=True):
            if name in joints and not math.isfinite(value):
                return f"got {what} {value} of {name}; needed is a finite number"
    return stamp_fault(msg.header.stamp)


def stamp_fault(stamp: Time) -> str:
    """Fault of a stamp that was never set; empty if none."""
    unset = stamp.sec == 0 and stamp.nanosec == 0
    return "got header.stamp 0; needed is the time of the measurement, which has to advance" if unset else ""


def frame_fault(got: str, frame: str) -> str:
    return "" if got == frame else f"got header.frame_id '{shown(got)}'; needed is '{frame}'"


def number_fault(named: dict[str, float]) -> str:
    for name, value in named.items():
        if not math.isfinite(value):
            return f"got {name} {value}; needed is a finite number"
    return ""


def to_joint_state(joints: Names, q: Vec, qd: Vec, stamp: Time, effort: Vec | None = None) -> JointState:
    """q (J,) [rad], qd (J,) [rad/s], effort (J,) [N m]; None: none is reported."""
    msg = JointState(name=list(joints), position=q.tolist(), velocity=qd.tolist())
    if effort is not None:
        msg.effort = effort.tolist()
    msg.header.stamp = stamp
    return msg


def mass(msg: WrenchStamped, frame: str | None = None, up: Direction = UP) -> float:
    """Mass [kg] that a tared scale feels as a force along `up` in its own frame, a unit vector (3,).

    NaN if the wrench is given in another frame than `frame`; None: any frame is accepted.
    """
    if frame is not None and msg.header.frame_id != frame:
        return math.nan
    force = msg.wrench.force
    return (force.x * up[0] + force.y * up[1] + force.z * up[2]) / GRAVITY if up != UP else force.z / GRAVITY


def wrench_fault(msg: WrenchStamped, frame: str) -> str:
    """What was received and what is needed if a wrench is unusable; empty if none."""
    force = msg.wrench.force
    numbers = {f"force.{axis}": getattr(force, axis) for axis in "xyz"}
    too_much = [
        f"got {name} {value:.4g}; needed are at most {MOST_FORCE:g} N"
        for name, value in numbers.items()
        if abs(value) > MOST_FORCE
    ]
    fault = frame_fault(msg.header.frame_id, frame) or number_fault(numbers) or "".join(too_much[:1])
    return fault or stamp_fault(msg.header.stamp)


def to_wrench(felt: float, frame: str, stamp: Time) -> WrenchStamped:
    """The weight of a mass [kg] as a force."""
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


def position_fault(msg: PoseStamped, frame: str) -> str:
    """What was received and what is needed if a position is unusable; empty if none."""
    point = msg.pose.position
    numbers = {f"position.{axis}": getattr(point, axis) for axis in "xyz"}
    return frame_fault(msg.header.frame_id, frame) or number_fault(numbers) or stamp_fault(msg.header.stamp)


def to_pose(point: Vec, frame: str, stamp: Time) -> PoseStamped:
    """Position (3,) [m] without a rotation."""
    msg = PoseStamped()
    msg.header.stamp, msg.header.frame_id = stamp, frame
    msg.pose.position.x, msg.pose.position.y, msg.pose.position.z = point.tolist()
    return msg


def to_trajectory(joints: Names, trajectory: Trajectory, stamp: Time | None = None) -> JointTrajectory:
    """`stamp` is when the trajectory's time begins, on the controller's clock; None or 0: on arrival."""
    points = [
        JointTrajectoryPoint(positions=q.tolist(), velocities=qd.tolist(), time_from_start=duration_of(time))
        for time, q, qd in zip(
            trajectory.times.tolist(), trajectory.positions, trajectory.velocities, strict=True
        )
    ]
    msg = JointTrajectory(joint_names=list(joints), points=points)
    if stamp is not None:
        msg.header.stamp = stamp
    return msg


def trajectory(msg: JointTrajectory, joints: Names) -> Trajectory:
    """A command as a joint trajectory controller reads it, or ValueError with the reason for refusing it."""
    order = _order(list(msg.joint_names), joints)
    if order is None or len(msg.joint_names) != len(joints):
        raise ValueError(f"joint names must be {', '.join(joints)}, got {list(msg.joint_names)}")
    if not msg.points:
        raise ValueError("a trajectory needs at least one point, got none")
    if not all(len(p.positions) == len(p.velocities) == len(joints) for p in msg.points):
        raise ValueError(f"every point needs {len(joints)} positions and {len(joints)} velocities")
    times = np.array([seconds(p.time_from_start) for p in msg.points])
    positions = np.array([p.positions for p in msg.points])[:, order]
    velocities = np.array([p.velocities for p in msg.points])[:, order]
    if not (np.isfinite(positions).all() and np.isfinite(velocities).all()):
        raise ValueError("positions and velocities must be finite")
    if not (times[0] >= 0.0 and (np.diff(times) > 0.0).all()):
        raise ValueError(f"time_from_start must not be negative and increase, got {times.tolist()} s")
    if velocities[-1].any():
        raise ValueError(f"the last point must be at rest, got {velocities[-1].tolist()} rad/s")
    return Trajectory(times, positions, velocities)


def suspension_request(parameters: Sequence[Parameter]) -> SuspensionRequest:
    """Arguments of a SetParametersAtomically call; ValueError with the reason if they are refused."""
    needed = {"reason": ParameterType.PARAMETER_STRING, "seconds": ParameterType.PARAMETER_DOUBLE}
    got = [(p.name, p.value.type) for p in parameters]
    if sorted(got) != sorted(needed.items()):
        names = ", ".join(f"{name} ({_TYPE_NAMES.get(kind, 'unknown type')})" for name, kind in got)
        raise ValueError(f"needed are reason (string) and seconds (double), got {names or 'nothing'}")
    values = {p.name: p.value for p in parameters}
    return SuspensionRequest(values["reason"].string_value, values["seconds"].double_value)


def to_status(name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
    """A status with `values` in display order."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, hardware_id="spillguard", message=message, values=pairs)


def status_values(msg: DiagnosticStatus) -> dict[str, str]:
    """Key-value pairs of a status."""
    return {pair.key: pair.value for pair in msg.values}
