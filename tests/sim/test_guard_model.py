"""The monitor's world model against geometry worked out by hand."""

import mujoco
import numpy as np

from sim import cell_model as cell
from spillguard_core.kinematics import NOMINAL_POSTURE
from spillguard_core.world import World

SIGHT = 0.03  # [m]


def surface(radius: float, half_height: float) -> np.ndarray:
    """Points (N, 3) [m] on a cylinder, at most 2 mm apart."""
    around = np.linspace(0.0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around)], axis=1)
    side = [np.column_stack([radius * circle, np.full(200, z)]) for z in np.linspace(-1, 1, 51) * half_height]
    ends = [
        np.column_stack([r * circle, np.full(200, z)])
        for r in np.linspace(0, radius, 22) for z in (-half_height, half_height)
    ]  # fmt: skip
    return np.concatenate(side + ends)


def to_cylinder(points: np.ndarray, radius: float, half_height: float) -> np.ndarray:
    """Distance (N,) of points in the cylinder's frame; negative inside."""
    beside = np.hypot(points[:, 0], points[:, 1]) - radius
    above = np.abs(points[:, 2]) - half_height
    inside = np.minimum(np.maximum(beside, above), 0.0)
    return np.hypot(np.maximum(beside, 0.0), np.maximum(above, 0.0)) + inside


def test_distance_between_the_cups_is_that_of_two_cylinders():
    """Within the 2 mm of the oracle's mesh, for a held cup anywhere around the receiving one."""
    model = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    world, data, rng = World(model, SIGHT - 0.01), mujoco.MjData(model), np.random.default_rng(0)
    held, receiver = model.geom("source"), model.geom("receiver")
    mesh = surface(*held.size[:2])
    found = []
    for _ in range(600):
        q = NOMINAL_POSTURE + rng.uniform(-0.25, 0.25, 7)
        q[6] += rng.uniform(-2.0, 0.0)
        data.qpos[:7] = q
        mujoco.mj_kinematics(model, data)
        rotation, centre = data.geom_xmat[held.id].reshape(3, 3), data.geom_xpos[held.id]
        points = mesh @ rotation.T + centre
        offset = np.array([*rng.uniform(-0.1, 0.1, 2), 0.0])
        target = np.array([centre[0], centre[1], cell.RIM_HEIGHT]) + offset
        oracle = to_cylinder(points - [*target[:2], receiver.pos[2]], *receiver.size[:2]).min()
        model_only = only(model, held.id, receiver.id)
        told = World(model_only, SIGHT - 0.01).clearance(q, q, target)
        assert world.clearance(q, q, target) <= told + 1e-6
        if 0.001 < oracle < SIGHT - 0.002:
            assert oracle - 0.002 <= told <= oracle + 1e-4, (oracle, told)
            found.append(oracle)
        elif oracle >= SIGHT:
            assert told >= SIGHT - 0.002
        else:
            assert told < 0.002 or oracle > 0.001
    assert len(found) > 50


def only(model: mujoco.MjModel, *geoms: int) -> mujoco.MjModel:
    """The model in which no other geom collides."""
    copy = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    others = [geom for geom in range(model.ngeom) if geom not in geoms]
    copy.geom_contype[others] = copy.geom_conaffinity[others] = 0
    return copy


def test_guard_model_encloses_the_staves_of_the_cell():
    """Every corner of a stave lies inside the cylinder that stands for its cup."""
    full = mujoco.MjModel.from_xml_string(cell.cell_model_xml(1))
    guard = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    for cup in ("source", "receiver"):
        around = guard.geom(cup)
        for geom in map(full.geom, range(full.ngeom)):
            if geom.name.startswith(f"{cup}_wall"):
                rotation = np.zeros(9)
                mujoco.mju_quat2Mat(rotation, geom.quat)
                corners = (signs * geom.size) @ rotation.reshape(3, 3).T + geom.pos - around.pos
                assert to_cylinder(corners, *around.size[:2]).max() < 1e-6  # [m] six digits in MJCF


def test_no_two_boxes_of_the_guard_model_can_meet():
    """What MuJoCo says of the distance of two boxes cannot be relied on."""
    model = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    boxes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)
    moving = [box for box in boxes if model.body_weldid[model.geom_bodyid[box]] > 0]
    assert len(boxes) > 0 and not moving
