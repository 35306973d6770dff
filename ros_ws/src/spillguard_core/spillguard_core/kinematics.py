"""Where the cup's lip is, and the joint velocities that move it: the same code in sim and on the robot."""

import math
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.arm import CONTINUOUS, GEN3_LIMITS, JOINT_NAMES, Vec

NOMINAL_POSTURE = np.array([-0.05, 1.06, -0.05, 2.10, -0.08, -1.58, -1.52])
"""Tool level and pointing along base +x, cup upright, lip over the middle of the table [rad]."""
NOMINAL_POSTURE.setflags(write=False)

DAMPING = 0.02  # of the least squares; bounds joint speed near singular postures
ORIENTATION_GAIN = 4.0  # [1/s]
POSTURE_GAIN = 0.5  # [1/s] in the null space


TWO_PI = 2.0 * math.pi
TURN = [TWO_PI if continuous else 0.0 for continuous in CONTINUOUS.tolist()]
DAMPED = DAMPING**2 * np.eye(6)
DAMPED.setflags(write=False)


def joint_differences(target: Vec, q: Vec) -> list[float]:
    """target - q, J values [rad], continuous joints on the circle. In plain Python, twice as fast here."""
    plain = zip((target - q).tolist(), TURN, strict=True)
    # Within half a turn there is none to take off; `round` takes longer than all the rest.
    return [d if not turn or -math.pi <= d <= math.pi else d - turn * round(d / TWO_PI) for d, turn in plain]


def compact(indices: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """The same indices as a slice where they follow one another, which they nearly always do."""
    first = int(indices[0])
    run = slice(first, first + len(indices))
    return run if (indices == np.arange(run.start, run.stop)).all() else indices


class LipState(NamedTuple):
    """The pour point on the rim, in the base frame. An upright cup has rotation = identity."""

    position: Vec  # (3,) [m]
    rotation: NDArray[np.float64]  # (3, 3)
    tilt: float  # [rad] about base +x; 0 upright, positive pours
    velocity: Vec  # (3,) [m/s]
    tilt_rate: float  # [rad/s]


class ArmKinematics:
    """Forward and differential kinematics of any MuJoCo model with joint_1..7 and a site ``lip``.

    Not thread-safe: one scratch state is reused by every call.
    """

    def __init__(self, model: mujoco.MjModel, velocity_limit: Vec = GEN3_LIMITS.velocity) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in JOINT_NAMES]
        self._site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, "lip")
        if min(joints) < 0 or self._site < 0:
            raise ValueError(f"the model needs the joints {', '.join(JOINT_NAMES)} and a site 'lip'")
        self._qpos = compact(model.jnt_qposadr[joints])
        self._dofs = compact(model.jnt_dofadr[joints])
        self._velocity_limit = velocity_limit
        self._jacobian = np.zeros((6, model.nv))
        # Views: making one takes as long as a small sum. They always show the latest posture.
        self._linear, self._angular = self._jacobian[:3], self._jacobian[3:]
        self._all_qpos = self._data.qpos
        self._position = self._data.site_xpos[self._site]
        self._rotation = self._data.site_xmat[self._site].reshape(3, 3)

    def _update(self, q: Vec) -> NDArray[np.float64]:
        """Move the scratch state to q (7,) [rad]; returns the lip's Jacobian (6, 7), linear rows first."""
        self._all_qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._linear, self._angular, self._site)
        return self._jacobian[:, self._dofs]

    def lip_position(self, q: Vec) -> Vec:
        """Lip (3,) [m] in the base frame."""
        return self.lip_pose(q)[0]

    def lip_pose(self, q: Vec) -> tuple[Vec, float]:
        """Lip (3,) [m] in the base frame, and the tilt [rad] of the cup about base +x."""
        self._all_qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        rotation = self._rotation
        return self._position.copy(), math.atan2(rotation.item(2, 1), rotation.item(2, 2))

    def lip(self, q: Vec, qd: Vec) -> LipState:
        """Lip state for joint positions q (7,) [rad] and velocities qd (7,) [rad/s]."""
        twist = self._update(q).dot(qd)
        rotation = self._rotation.copy()
        tilt = math.atan2(rotation.item(2, 1), rotation.item(2, 2))
        return LipState(self._position.copy(), rotation, tilt, twist[:3], twist.item(3))

    def lip_twist(self, q: Vec, qd: Vec) -> Vec:
        """(vx, vy, vz [m/s], tilt rate [rad/s]) of the lip, base frame. Shape (4,)."""
        twist: Vec = self._update(q).dot(qd)[:4]
        return twist

    def joint_velocity(self, q: Vec, twist: Vec) -> Vec:
        """Joint velocities (7,) [rad/s] that give the lip the twist (4,) [m/s, rad/s].

        Damped least squares on the six-dimensional task "this velocity, this tilt rate, tool level":
        qd = n + J^T (J J^T + d^2 I)^-1 (w - J n), with n pulling towards `NOMINAL_POSTURE`. The result
        is scaled as a whole into the velocity limits, which keeps its direction.
        """
        jacobian = self._update(q)
        (_, r01, r02), (r10, r11, r12), (r20, r21, r22) = self._rotation.tolist()
        norm = math.hypot(r21, r22) or 1.0
        cos, sin = r22 / norm, r21 / norm
        # Vector part of E = Rx(tilt) R^T, the turn that brings the cup back into the pouring plane.
        # Written out: arrays this small cost more to build than to compute.
        gain = 0.5 * ORIENTATION_GAIN
        about_x = gain * (sin * (r11 + r22) + cos * (r12 - r21))
        about_y = gain * (r20 - sin * r01 - cos * r02)
        about_z = gain * (cos * r01 - sin * r02 - r10)
        vx, vy, vz, tilt_rate = twist.tolist()
        wanted = np.array([vx, vy, vz, tilt_rate + about_x, about_y, about_z])
        posture = np.array([POSTURE_GAIN * away for away in joint_differences(NOMINAL_POSTURE, q)])
        gram = jacobian.dot(jacobian.T)  # `dot` takes a third of the time of `@` on arrays this small
        gram += DAMPED
        wanted -= jacobian.dot(posture)
        mujoco.mju_cholFactor(gram, 0.0)  # positive definite through the damping
        mujoco.mju_cholSolve(wanted, gram, wanted)
        qd: Vec = posture + jacobian.T.dot(wanted)
        excess = max((np.abs(qd) / self._velocity_limit).tolist())
        return qd / excess if excess > 1.0 else qd
