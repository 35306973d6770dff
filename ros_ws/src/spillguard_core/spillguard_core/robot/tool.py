"""Pose and motion of the robot's own tool site, and the joint velocities that move it: any arm, any model.

Shapes: J joints.
"""

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.arm import ArmLimits, Robot, Vec, compact, joint_differences

DAMPING = 0.02  # of the least squares; bounds joint speed near singularities
POSTURE_GAIN = 0.5  # [1/s] in the null space
TWIST = 6  # entries of a twist
BRAKING = (
    0.7  # of the speed from which a joint could just brake to its target: it is decided period by period
)
NEAR = 1e-6  # [rad]
APPROACH = 10.0  # [1/s] of the way left to a target: of two periods of a policy at 20 Hz, all but a seventh


class ToolState(NamedTuple):
    """The tool site in the base frame."""

    position: Vec  # (3,) [m]
    rotation: NDArray[np.float64]  # (3, 3)
    velocity: Vec  # (3,) [m/s]
    angular_velocity: Vec  # (3,) [rad/s]


class ToolKinematics:
    """Forward and differential kinematics of a MuJoCo model with the robot's joints and its tool site.

    Not thread-safe: every call reuses one scratch state.
    """

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        """ValueError if the model lacks a joint or the site."""
        self._model, self._data = model, mujoco.MjData(model)
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in robot.joint_names]
        self._site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, robot.tool_site)
        if min(joints) < 0 or self._site < 0:
            wanted = ", ".join(robot.joint_names)
            raise ValueError(f"the model needs the joints {wanted} and a site {robot.tool_site!r}")
        self._qpos, self._dofs = compact(model.jnt_qposadr[joints]), compact(model.jnt_dofadr[joints])
        self._limits, self._rest = robot.limits, robot.rest
        # With six joints or fewer a twist leaves no freedom in which to tend to the rest posture.
        self._redundant = len(joints) > TWIST
        self._jacobian = np.zeros((TWIST, model.nv))
        self._position = self._data.site_xpos[self._site]
        self._rotation = self._data.site_xmat[self._site].reshape(3, 3)
        self._damped = DAMPING**2 * np.eye(TWIST)

    def _update(self, q: Vec) -> NDArray[np.float64]:
        """Move the scratch state to q (J,) [rad]; returns the site's Jacobian (6, J), linear rows first."""
        self._data.qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        return self._jacobian[:, self._dofs]

    def pose(self, q: Vec) -> ToolState:
        """The tool at rest at joint positions q (J,) [rad]."""
        self._data.qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        return ToolState(self._position.copy(), self._rotation.copy(), np.zeros(3), np.zeros(3))

    def state(self, q: Vec, qd: Vec) -> ToolState:
        """The tool for joint positions q (J,) [rad] and velocities qd (J,) [rad/s]."""
        twist = self._update(q).dot(qd)
        return ToolState(self._position.copy(), self._rotation.copy(), twist[:3], twist[3:])

    def joint_velocity(self, q: Vec, action: Vec) -> Vec:
        """Joint velocities (J,) [rad/s] that give the tool the twist (6,) [m/s, rad/s] in the base frame.

        Damped least squares: qd = n + J^T (J J^T + d^2 I)^-1 (w - J n). For more than six joints n tends to
        the robot's rest posture, for others it is 0. Scaled as a whole into the velocity limits, which keeps
        its direction.
        """
        jacobian = self._update(q)
        posture = np.zeros(len(q))
        if self._redundant:
            posture = POSTURE_GAIN * np.array(joint_differences(self._rest, q, self._limits.turn))
        gram, wanted = jacobian.dot(jacobian.T) + self._damped, action - jacobian.dot(posture)
        mujoco.mju_cholFactor(gram, 0.0)  # positive definite because of the damping
        mujoco.mju_cholSolve(wanted, gram, wanted)
        return within(posture + jacobian.T.dot(wanted), self._limits.velocity)


class JointSpeeds(ToolKinematics):
    """The same tool, where an action is a velocity of each joint."""

    def joint_velocity(self, q: Vec, action: Vec) -> Vec:
        """The action (J,) [rad/s], scaled as a whole into the velocity limits."""
        del q
        return within(action, self._limits.velocity)


def within(qd: Vec, limit: Vec) -> Vec:
    """Joint velocities (J,), scaled as a whole so that none exceeds its limit (J,) [rad/s]."""
    excess = max((np.abs(qd) / limit).tolist())
    return qd / excess if excess > 1.0 else qd


def towards(target: Vec, q: Vec, limits: ArmLimits) -> Vec:
    """Joint velocities (J,) [rad/s] straight from q to a target (J,) [rad], no faster than it takes to rest
    there within the acceleration limits.

    Joints without end stops take the shorter way round.
    """
    left = np.array(joint_differences(target, q, limits.turn))
    room = np.maximum(np.abs(left), NEAR)
    rate = min(APPROACH, float((BRAKING * np.sqrt(2.0 * limits.acceleration / room)).min()))
    return within(rate * left, limits.velocity)
