"""Pairs of near links that their joints keep apart, although their capsules overlap now and then.

Capsules are thicker than links, and the links of a wrist are a finger's breadth from one another. Between
such two there are two joints at most, so that all their postures can be gone through: on a
grid that is as fine as lever arms and gap ask for.
"""

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
from scipy.spatial import ConvexHull, QhullError

from sim.robots.capsules import Capsule, Numbers
from sim.robots.urdf_tree import UrdfJoint

APART = 0.01  # [m] that shapes have to keep everywhere
SEEN = 0.05  # [m] more than that is not told apart
STEPS = 60  # of each joint to begin with; where that is too coarse for the gap, steps are halved
MOST_LOOKS = 50_000  # at postures, for one pair
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
    text: str,
    pair: tuple[str, str],
    parts: Mapping[str, Sequence[Numbers]],
    between: Sequence[UrdfJoint],
    demanded: float = APART,
) -> float:
    """How close two links of a world model come [m], at most `SEEN`; `between`: joints, from the base on.

    `parts` maps a link to its convex pieces (M, 3) [m] in its frame. Between the postures that are looked at,
    no point moves farther than its lever arm times the angle: what is more than `demanded` [m] is so in every
    posture. Where that cannot be shown with `MOST_LOOKS`, or the pieces are not known, the answer is 0.
    """
    if not 0 < len(between) <= MOST_JOINTS or not all(parts[link] for link in pair):
        return 0.0
    try:
        model = _hulls(text, pair, parts)
    except ValueError:  # a piece too thin for MuJoCo
        return 0.0
    data, least = mujoco.MjData(model), SEEN
    levers = _levers(model, data, pair, parts, between)
    ranges = [_range(joint) for joint in between]
    half = np.array([high - low for low, high in ranges]) / (2.0 * STEPS)
    steps = [
        low + width * (2.0 * np.arange(STEPS) + 1.0) for (low, _), width in zip(ranges, half, strict=True)
    ]
    seen = max(SEEN, demanded + 2.0 * float(levers @ half))  # [m] within which a gap is measured
    model.geom_margin[:] = seen
    cells = [(centre, half) for centre in np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, len(between))]
    looks = MOST_LOOKS
    while cells:
        centre, half = cells.pop()
        looks -= 1
        for joint, angle in zip(between, centre, strict=True):
            data.joint(joint.name).qpos[0] = angle
        mujoco.mj_kinematics(model, data)
        moved = levers * half
        mujoco.mj_collision(model, data)
        gap = min([seen, *data.contact.dist.tolist()])
        least = min(least, gap)
        if gap < demanded:
            return max(float(gap), 0.0)
        if gap - moved.sum() < demanded:
            if looks < len(cells):
                return 0.0
            part = np.where(np.arange(len(half)) == moved.argmax(), 0.5 * half, 0.0)
            cells += [(centre - part, half - part), (centre + part, half - part)]
    return least


def _hulls(text: str, pair: tuple[str, str], parts: Mapping[str, Sequence[Numbers]]) -> mujoco.MjModel:
    """A world model in which two links have their pieces and nothing else has a shape."""
    spec = mujoco.MjSpec.from_string(text)
    for geom in list(spec.geoms):
        spec.delete(geom)
    for link in pair:
        for number, corners in enumerate(parts[link]):
            name = f"{link}:{number}"
            convex = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
            spec.add_mesh(name=name, uservert=corners.ravel().tolist(), inertia=convex)
            spec.body(link).add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, mass=0)
    return spec.compile()


def _levers(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    pair: tuple[str, str],
    parts: Mapping[str, Sequence[Numbers]],
    between: Sequence[UrdfJoint],
) -> Numbers:
    """[m/rad] how fast each joint (J,) can at most change a gap: the lesser lever arm of both links.

    A link beside the joint is always as far from its axis. One beyond the other joint too is at most as far
    as a point on that other axis, and as its own corners are from there.
    """
    mujoco.mj_kinematics(model, data)
    points = [
        np.concatenate(parts[link]) @ data.body(link).xmat.reshape(3, 3).T + data.body(link).xpos
        for link in pair
    ]
    axes = [(data.joint(joint.name).xanchor, data.joint(joint.name).xaxis) for joint in between]
    if len(axes) == 1:
        return np.array([min(_farthest(cloud, *axes[0]) for cloud in points)])
    moving = int(model.jnt_bodyid[model.joint(between[0].name).id])
    if _carries(model, moving, model.body(pair[0]).id):  # the first is the upper one
        points.reverse()
    lower, upper = points

    def beyond(cloud: Numbers, middle: int, axis: int) -> float:
        anchor, along = axes[middle]
        pivot = anchor + ((cloud.mean(axis=0) - anchor) @ along) * along
        far = float(np.linalg.norm(cloud - pivot, axis=1).max())
        return _farthest(pivot[None], *axes[axis]) + far

    return np.array([
        min(_farthest(lower, *axes[0]), beyond(upper, 1, 0)),
        min(_farthest(upper, *axes[1]), beyond(lower, 0, 1)),
    ])  # fmt: skip


def _carries(model: mujoco.MjModel, body: int, other: int) -> bool:
    while other > 0 and other != body:
        other = int(model.body_parentid[other])
    return other == body


def _farthest(points: Numbers, anchor: Numbers, axis: Numbers) -> float:
    """[m] of points (N, 3) from a line."""
    return float(np.linalg.norm(np.cross(points - anchor, axis), axis=1).max())


def _range(joint: UrdfJoint) -> tuple[float, float]:
    """[rad] of a joint, or a full turn of one that has more."""
    low, high = joint.low or 0.0, joint.high or 0.0
    return (low, high) if high - low <= 2.0 * np.pi else (-np.pi, np.pi)
