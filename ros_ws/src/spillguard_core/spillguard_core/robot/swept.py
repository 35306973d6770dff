"""How far parts of an arm move, at most, on a straight way between two postures.

Two parts come closer by no more than one of them moves as seen from the other. The bounds hold for every
point of the arm, as seen from any link before it and from what stands still. For joints i and j, i before j,
and a point p behind both (Featherstone 2008, section 2.9),

    dp/dq_j = a_j x (p - o_j)    and    |d2p / dq_i dq_j| = |a_i x (a_j x (p - o_j))| <= r_j

with an axis a_j through o_j, and r_j the largest distance from that axis of any point behind it, in any
posture: `reach`. A sliding joint moves every point by as much as itself.

Shapes: J joints, N parts as seen from links, P points.
"""

import functools
from collections.abc import Sequence
from itertools import product

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.arm import Vec, compact

CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))  # of a box of half-lengths 1
YZX, ZXY = np.array([1, 2, 0]), np.array([2, 0, 1])
BASE = -1  # in place of the joint that moves something last


class Swept:
    """Bounds for the geoms of a MuJoCo model that can touch anything and that `joints` move."""

    def __init__(self, model: mujoco.MjModel, joints: Sequence[int]) -> None:
        """`joints` (J,): ids; no other joint is ever moved. ValueError for any that neither turns nor slides,
        and for one without an end that slides behind one that turns."""
        self._model, self._joints = model, list(joints)
        kinds = model.jnt_type[self._joints]
        self._slides = kinds == mujoco.mjtJoint.mjJNT_SLIDE
        if not (self._slides | (kinds == mujoco.mjtJoint.mjJNT_HINGE)).all():
            raise ValueError("an arm's joints have to turn or to slide")
        last, before = self._order()
        moved = last[model.geom_bodyid]
        touching = (model.geom_contype | model.geom_conaffinity) != 0
        touching[np.concatenate([model.pair_geom1, model.pair_geom2])] = True
        self._geoms = np.flatnonzero((moved != BASE) & touching)
        centre, half = model.geom_aabb[self._geoms, :3], model.geom_aabb[self._geoms, 3:]
        # The point of a box that is furthest from an axis, and the fastest one, is a corner.
        self._corners = centre[:, None] + CORNERS * half[:, None]
        self._mover = np.repeat(moved[self._geoms], len(CORNERS))
        self.reach = self._reaches(before)
        """(J,) [m/rad], or 1 for a joint that slides."""
        order = np.arange(len(joints))
        # Where every joint moves all those behind it, a point is moved by the joints up to its own.
        self._chain = bool((before == order - 1).all())
        # (N,) every part of the arm, and a body of every link before it, from which it can be seen.
        links = [0, *model.jnt_bodyid[self._joints].tolist()]
        seen = [(g, links[at]) for g in self._geoms for at in range(int(moved[g]) + 1)]
        self._part, self._observer = np.array(seen, dtype=int).reshape(-1, 2).T.copy()
        self._body, self._radius = model.geom_bodyid[self._part], model.geom_rbound[self._part]
        self._dofs, self._root = compact(model.jnt_dofadr[self._joints]), int(model.body_rootid[links[-1]])

    def _order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The last of the joints that moves each body, and the last one that moves each joint (J,)."""
        model = self._model
        last, before = np.full(model.nbody, BASE), np.full(len(self._joints), BASE)
        number = {joint: at for at, joint in enumerate(self._joints)}
        for body in range(1, model.nbody):  # a parent comes first
            last[body] = last[model.body_parentid[body]]
            first = int(model.body_jntadr[body])
            for joint in range(first, first + int(model.body_jntnum[body])):
                if joint in number:
                    before[number[joint]] = last[body]
                    last[body] = number[joint]
        return last, before

    def _reaches(self, before: NDArray[np.int64]) -> Vec:
        """What turns with a joint keeps its distance from the axis and from any point on it. The next axis is
        a part of it, and how far what lies behind that one is from a point on it is known by then."""
        model, data = self._model, mujoco.MjData(self._model)
        mujoco.mj_kinematics(model, data)
        points, at, axes = self._points(data), data.xanchor[self._joints], data.xaxis[self._joints]

        @functools.cache
        def far(joint: int, perpendicular: bool) -> float:
            """[m] from the joint's axis, or from the point on it, of whatever is furthest behind it."""
            across = np.eye(3) - (np.outer(axes[joint], axes[joint]) if perpendicular else 0.0)
            own = np.linalg.norm((points[self._mover == joint] - at[joint]) @ across, axis=1)
            found: list[float] = [0.0, *own.tolist()]
            for behind in np.flatnonzero(before == joint).tolist():
                away = float(np.linalg.norm((at[behind] - at[joint]) @ across))
                found.append(away + far(behind, False) + self._slide(behind))
            return max(found)

        return np.array([1.0 if slides else far(j, True) for j, slides in enumerate(self._slides)])

    def _slide(self, joint: int) -> float:
        """[m] that it may slide away from where the model shows it."""
        if not self._slides[joint]:
            return 0.0
        model, number = self._model, self._joints[joint]
        if not model.jnt_limited[number]:
            raise ValueError(f"the joint {model.joint(number).name!r} slides without an end")
        away: Vec = np.abs(model.jnt_range[number] - model.qpos0[model.jnt_qposadr[number]])
        return float(away.max())

    def _points(self, data: mujoco.MjData) -> NDArray[np.float64]:
        """Corners (P, 3) [m] of all boxes."""
        turned = np.matmul(self._corners, data.geom_xmat[self._geoms].reshape(-1, 3, 3).transpose(0, 2, 1))
        every: NDArray[np.float64] = (turned + data.geom_xpos[self._geoms][:, None]).reshape(-1, 3)
        return every

    def anywhere(self, step: Vec) -> float:
        """[m] that any point moves while the joints move by `step` (J,), wherever they are."""
        return float(self.reach.dot(np.abs(step)))

    def speed(self, data: mujoco.MjData, step: Vec) -> tuple[float, float]:
        """[m per step] of the fastest point as seen from any link, and by how much that may grow on the step.

        At the posture in `data`, whose kinematics are up to date, while the joints move by `step` (J,).
        """
        if not self._chain or not len(self._part):
            return self.anywhere(step), 0.0
        data.qvel[self._dofs] = step
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_comVel(self._model, data)
        # Twists of bodies about one point: their difference is what the one sees of the other.
        twist = data.cvel.take(self._body, axis=0) - data.cvel.take(self._observer, axis=0)
        arm = data.geom_xpos.take(self._part, axis=0) - data.subtree_com[self._root]
        turning, linear = twist[:, :3], twist[:, 3:]
        linear += turning.take(YZX, axis=1) * arm.take(ZXY, axis=1)
        linear -= turning.take(ZXY, axis=1) * arm.take(YZX, axis=1)
        squares = np.einsum("nkc,nkc->nk", *[twist.reshape(-1, 2, 3)] * 2)
        moves = np.abs(step)
        growth = float((self.reach * moves).dot(moves + 2.0 * (np.add.accumulate(moves) - moves)))
        speeds = np.sqrt(squares)
        return float((speeds[:, 1] + self._radius * speeds[:, 0]).max()), growth


def joint_ids(model: mujoco.MjModel, names: Sequence[str]) -> list[int]:
    """ValueError if the model lacks one."""
    found = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in names]
    if min(found) < 0:
        raise ValueError(f"the world model needs the joints {', '.join(names)}")
    return found
