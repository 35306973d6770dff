"""Pose of the cup's lip, and the joint velocities that move it: the same code in sim and on the robot.

Shapes: J joints.
"""

import math
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.arm import Robot, Vec, compact, joint_differences

DAMPING = 0.02  # of the least squares; bounds joint speed near singularities
ORIENTATION_GAIN = 4.0  # [1/s]
POSTURE_GAIN = 0.5  # [1/s] in the null space
DAMPED = DAMPING**2 * np.eye(6)
DAMPED.setflags(write=False)
SITE = "lip"


class LipPose(NamedTuple):
    """The pour point on the rim, in the base frame."""

    position: Vec  # (3,) [m]
    tilt: float  # [rad] of the cup about base +x; 0 upright, positive pours


class LipState(NamedTuple):
    """The pour point on the rim, in the base frame. An upright cup has rotation = identity."""

    position: Vec  # (3,) [m]
    rotation: NDArray[np.float64]  # (3, 3)
    tilt: float  # [rad] about base +x; 0 upright, positive pours
    velocity: Vec  # (3,) [m/s]
    tilt_rate: float  # [rad/s]


class LipKinematics:
    """Forward and differential kinematics of any MuJoCo model with the robot's joints and a site ``lip``.

    Not thread-safe: every call reuses one scratch state.
    """

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        """ValueError if the model lacks a joint or the site."""
        self._model, self._data = model, mujoco.MjData(model)
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in robot.joint_names]
        self._site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, SITE)
        if min(joints) < 0 or self._site < 0:
            raise ValueError(f"the model needs the joints {', '.join(robot.joint_names)} and a site {SITE!r}")
        self._qpos = compact(model.jnt_qposadr[joints])
        self._dofs = compact(model.jnt_dofadr[joints])
        self._velocity_limit, self._turn, self._rest = robot.limits.velocity, robot.limits.turn, robot.rest
        self._jacobian = np.zeros((6, model.nv))
        # Views: creating one costs as much as a small sum. They always show the latest posture.
        self._linear, self._angular = self._jacobian[:3], self._jacobian[3:]
        self._all_qpos = self._data.qpos
        self._position = self._data.site_xpos[self._site]
        self._rotation = self._data.site_xmat[self._site].reshape(3, 3)

    def _update(self, q: Vec) -> NDArray[np.float64]:
        """Move the scratch state to q (J,) [rad]; returns the lip's Jacobian (6, J), linear rows first."""
        self._all_qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._linear, self._angular, self._site)
        return self._jacobian[:, self._dofs]

    def pose(self, q: Vec) -> LipPose:
        """The lip at joint positions q (J,) [rad]."""
        self._all_qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        rotation = self._rotation
        return LipPose(self._position.copy(), math.atan2(rotation.item(2, 1), rotation.item(2, 2)))

    def state(self, q: Vec, qd: Vec) -> LipState:
        """The lip for joint positions q (J,) [rad] and velocities qd (J,) [rad/s]."""
        twist = self._update(q).dot(qd)
        rotation = self._rotation.copy()
        tilt = math.atan2(rotation.item(2, 1), rotation.item(2, 2))
        return LipState(self._position.copy(), rotation, tilt, twist[:3], twist.item(3))

    def lip_twist(self, q: Vec, qd: Vec) -> Vec:
        """(vx, vy, vz [m/s], tilt rate [rad/s]) of the lip, base frame. Shape (4,)."""
        twist: Vec = self._update(q).dot(qd)[:4]
        return twist

    def joint_velocity(self, q: Vec, action: Vec) -> Vec:
        """Joint velocities (J,) [rad/s] that give the lip the twist (4,) [m/s, rad/s].

        Damped least squares on the six-dimensional task "this velocity, this tilt rate, tool level":
        qd = n + J^T (J J^T + d^2 I)^-1 (w - J n), with n pulling towards the robot's rest posture. The result
        is scaled as a whole into the velocity limits, which keeps its direction.
        """
        jacobian = self._update(q)
        (_, r01, r02), (r10, r11, r12), (r20, r21, r22) = self._rotation.tolist()
        norm = math.hypot(r21, r22) or 1.0
        cos, sin = r22 / norm, r21 / norm
        # Vector part of E = Rx(tilt) R^T, the rotation that brings the cup back into the pouring plane.
        # Written out: creating arrays this small costs more than the arithmetic.
        gain = 0.5 * ORIENTATION_GAIN
        about_x = gain * (sin * (r11 + r22) + cos * (r12 - r21))
        about_y = gain * (r20 - sin * r01 - cos * r02)
        about_z = gain * (cos * r01 - sin * r02 - r10)
        vx, vy, vz, tilt_rate = action.tolist()
        wanted = np.array([vx, vy, vz, tilt_rate + about_x, about_y, about_z])
        posture = np.array([POSTURE_GAIN * away for away in joint_differences(self._rest, q, self._turn)])
        gram = jacobian.dot(jacobian.T)  # `dot` takes a third of the time of `@` on arrays this small
        gram += DAMPED
        wanted -= jacobian.dot(posture)
        mujoco.mju_cholFactor(gram, 0.0)  # positive definite because of the damping
        mujoco.mju_cholSolve(wanted, gram, wanted)
        qd: Vec = posture + jacobian.T.dot(wanted)
        excess = max((np.abs(qd) / self._velocity_limit).tolist())
        return qd / excess if excess > 1.0 else qd
