"""A task and the world of an arm that exist in the tests alone: touch a ball with the tip of a stick."""

import math
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np

from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.task import Axis, Curve, Kind, Sensor, Task, Term
from spillguard_core.robot.arm import Robot, Vec

ROBOT = Path(__file__).parent / "stick"
GOAL = "ball_position"
DAMPING = 0.05
PARTS = (  # joint, its axis, the rod that it moves [m], and the radius of that
    ("base", "0 0 1", "0 0 0.15", 0.05),
    ("shoulder", "0 1 0", "0 0 0.35", 0.04),
    ("elbow", "0 1 0", "0 0 0.30", 0.04),
    ("roll", "0 0 1", "0 0 0.10", 0.035),
    ("pitch", "0 1 0", "0 0 0.12", 0.03),
    ("yaw", "0 0 1", "0 0 0.10", 0.02),
)


def guard_xml() -> str:
    """MJCF of the arm, a floor, a post to run into, and the ball."""
    inner = '<site name="tip" pos="0 0 0.10"/>'
    for name, axis, rod, radius in reversed(PARTS):
        place = "0 0 0" if name == "base" else dict((p[0], p[2]) for p in PARTS)[before(name)]
        inner = (
            f'<body name="{name}_link" pos="{place}"><joint name="{name}" axis="{axis}"/>'
            f'<geom name="{name}_rod" type="capsule" fromto="0 0 0 {rod}" size="{radius}"/>{inner}</body>'
        )
    return (
        '<mujoco><compiler angle="radian"/><worldbody>'
        '<geom name="floor" type="box" pos="0 0 -0.1" size="1.5 1.5 0.1"/>'
        '<geom name="post" type="cylinder" pos="0.45 0.35 0.3" size="0.05 0.3"/>'
        '<body name="ball" pos="0.5 -0.3 0.24"><geom name="ball" type="sphere" size="0.03"/></body>'
        f'<body name="mount" pos="0 0 0.06">{inner}</body></worldbody>'
        '<contact><exclude body1="world" body2="base_link"/></contact></mujoco>'
    )


def before(name: str) -> str:
    """The joint before this one."""
    names = [part[0] for part in PARTS]
    return names[names.index(name) - 1]


class Tip(NamedTuple):
    """Where the tip is, and how it moves."""

    position: Vec  # (3,) [m]
    velocity: Vec  # (3,) [m/s]


class Stick:
    """Kinematics of the tip alone: a tool of three speeds."""

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        self._site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, robot.tool_site)
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in robot.joint_names]
        if self._site < 0 or min(joints) < 0:
            raise ValueError(f"the model needs the joints {robot.joint_names} and a site {robot.tool_site!r}")
        self._qpos, self._dofs = model.jnt_qposadr[joints], model.jnt_dofadr[joints]

    def _jacobian(self, q: Vec) -> Vec:
        self._data.qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        jacobian = np.zeros((3, self._model.nv))
        mujoco.mj_jacSite(self._model, self._data, jacobian, None, self._site)
        return jacobian[:, self._dofs]

    def pose(self, q: Vec) -> Tip:
        """See `spillguard_core.gate.rule.Tool`."""
        return self.state(q, np.zeros_like(q))

    def state(self, q: Vec, qd: Vec) -> Tip:
        """See `spillguard_core.gate.rule.Tool`."""
        velocity = self._jacobian(q) @ qd
        return Tip(self._data.site_xpos[self._site].copy(), velocity)

    def joint_velocity(self, q: Vec, action: Vec) -> Vec:
        """See `spillguard_core.gate.rule.Tool`."""
        jacobian = self._jacobian(q)
        inner = jacobian @ jacobian.T + DAMPING**2 * np.eye(3)
        return jacobian.T @ np.linalg.solve(inner, action)


def tip_to_ball(measurement: Measurement, tip: Tip) -> list[float]:
    """(3,) [m]"""
    return (tip.position - measurement.sensed[GOAL]).tolist()


TASK = Task(
    name="touch",
    sensors=(Sensor(GOAL, "ball", Kind.POINT, "ball"),),
    action=tuple(Axis(f"v{a}", "m/s", 0.3, f"linear.{a}") for a in "xyz"),
    terms={"tip_to_ball": Term(3, "m", (0.0,) * 3, (0.3,) * 3, tip_to_ball)},
    tool=Stick,
    placed={"ball": GOAL},
    curves=(
        Curve("way to the ball [m]", "distance", lambda m, tip: math.dist(tip.position, m.sensed[GOAL])),
    ),
)
