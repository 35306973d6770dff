"""The monitor's world model: how close the arm comes to the table, the fixtures, the cups and itself.

The geometry is that of ``guard.xml``, or of a site file in its place. Contact classes in the file say which
pairs count. A body named ``receiver``, if there is one, stands where the target was measured.
"""

import copy
import math

import mujoco

from spillguard_core.arm import JOINT_NAMES, Vec
from spillguard_core.kinematics import compact

BEYOND = 0.01  # [m] seen beyond the clearance asked for; who is further away need not be measured
PATH_STEP = 0.03  # [rad] between the postures that are looked at on a path
RECEIVER = "receiver"


class World:
    """Distances in a MuJoCo model. Not thread-safe: one scratch state is reused by every call."""

    def __init__(self, model: mujoco.MjModel, clearance: float) -> None:
        """`clearance` [m] is what will be asked of the arm; distances are told up to a little more."""
        self._sight = clearance + BEYOND
        self._model = copy.deepcopy(model)  # margins are ours to change
        # A pair sees with both of its margins; bodies are sorted out by the margins of their own.
        self._model.geom_margin[:] = 0.5 * self._sight
        self._model.body_margin[:] = 0.5 * self._sight
        self._data = mujoco.MjData(self._model)
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in JOINT_NAMES]
        if min(joints) < 0:
            raise ValueError(f"the world model needs the joints {', '.join(JOINT_NAMES)}")
        self._qpos = compact(model.jnt_qposadr[joints])
        self._all_qpos = self._data.qpos  # a view, as below: making one takes as long as a small sum
        self._receiver = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, RECEIVER)
        self._receiver_place = self._model.body_pos[self._receiver, :2]

    def clearance(self, start: Vec, end: Vec, target: Vec) -> float:
        """Smallest distance [m], negative inside, on the straight path between two postures (J,) [rad].

        `target` (3,) [m] is the measured centre of the receiving cup's rim, base frame. The end of the path
        is always looked at; from one decision to the next it moves by millimetres only.
        """
        if self._receiver >= 0:
            self._receiver_place[:] = target[:2]
        way = end - start
        plain = way.tolist()
        if not math.isfinite(sum(plain)):
            return -math.inf  # nothing is known of it
        farthest = max(map(abs, plain))
        if farthest <= PATH_STEP:
            return self._distance(end)
        count = math.ceil(farthest / PATH_STEP)
        return min(self._distance(start + share / count * way) for share in range(1, count + 1))

    def _distance(self, q: Vec) -> float:
        self._all_qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        return min(self._sight, float(self._data.contact.dist.min())) if self._data.ncon else self._sight
