"""Pairs of near links that their joints keep apart, although their capsules overlap now and then.

Capsules are thicker than links, and the links of a wrist are a finger's breadth from one another. Between
such two there are two joints at most, so that all their postures can be gone through.
"""

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
from scipy.spatial import ConvexHull, QhullError

from sim.robots.capsules import Capsule, Numbers
from sim.robots.urdf_tree import UrdfJoint

APART = 0.01  # [m] that shapes have to keep everywhere
SEEN = 0.05  # [m] within which a gap is measured
STEPS = 60  # of each joint: 0.1 rad for a full turn, by which links of a wrist move less than their gap
MOST_JOINTS = 2


def pieces(triangles: Numbers, rods: Sequence[Capsule]) -> list[Numbers]:
    """A surface (N, 3, 3) [m] in parts, each the corners (M, 3) of the convex hull of what one capsule holds.

    Empty if a part is flat.
    """
    corners = triangles.reshape(-1, 3)
    depths = [rod.outside(corners).reshape(-1, 3).max(axis=1) for rod in rods]
    owner = np.argmin(depths, axis=0)
    found = []
    for number in np.unique(owner):
        points = triangles[owner == number].reshape(-1, 3)
        try:
            found.append(points[ConvexHull(points).vertices])
        except (QhullError, ValueError):
            return []
    return found


def least_gap(
    text: str, pair: tuple[str, str], parts: Mapping[str, Sequence[Numbers]], between: Sequence[UrdfJoint]
) -> float:
    """How close two links of a world model come [m], at most `SEEN`, over a grid of the joints between them.

    `parts` maps a link to its convex pieces (M, 3) [m] in its frame. 0 where they touch, or are not known.
    """
    if len(between) > MOST_JOINTS or not all(parts[link] for link in pair):
        return 0.0
    spec = mujoco.MjSpec.from_string(text)
    for geom in list(spec.geoms):
        spec.delete(geom)
    for link in pair:
        for number, corners in enumerate(parts[link]):
            name = f"{link}:{number}"
            convex = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
            spec.add_mesh(name=name, uservert=corners.ravel().tolist(), inertia=convex)
            spec.body(link).add_geom(
                name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, mass=0, margin=SEEN
            )
    model = spec.compile()
    data, least = mujoco.MjData(model), SEEN
    grids = [_angles(joint) for joint in between]
    for angles in np.stack(np.meshgrid(*grids), axis=-1).reshape(-1, len(between)):
        for joint, angle in zip(between, angles, strict=True):
            data.joint(joint.name).qpos[0] = angle
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        least = min([least, *data.contact.dist.tolist()])
        if least < APART:
            break
    return max(least, 0.0)


def _angles(joint: UrdfJoint) -> Numbers:
    """[rad] over the range of a joint, or a full turn of one that has more."""
    low, high = joint.low or 0.0, joint.high or 0.0
    if high - low > 2.0 * np.pi:
        low, high = -np.pi, np.pi
    return np.linspace(low, high, STEPS)
