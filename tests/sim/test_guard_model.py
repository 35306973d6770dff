"""The monitor's world model against geometry computed by hand, and against the manufacturers' meshes.

``tests/data/gen3_hulls.npz`` holds the vertices of the convex hull of every link and of every part of the
gripper [10 um], measured by ``tests/data/make_hulls.py``, which names their sources.
"""

from itertools import combinations
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from sim.pouring import cell_model as cell
from sim.pouring.cell import guard_kinematics
from sim.pouring.gen3 import FLANGE_OFFSET, GEN3_LIMITS, JOINT_NAMES, NOMINAL_POSTURE
from sim.pouring.scenario import sample_scenario
from spillguard_core.robot.world import World
from spillguard_core.tasks.pouring import TASK as POURING

SIGHT = 0.03  # [m]
HULLS = np.load(Path(__file__).parents[1] / "data" / "gen3_hulls.npz")
PARTS = {part: 1e-5 * HULLS[part] for part in HULLS.files}  # (N, 3) [m]
POSTURES = 6_000
CAMERA = np.array([0.0, -0.05639, -0.058475])  # lens of the vision module in the bracelet's frame [m]


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
    """Within the 2 mm resolution of the oracle's mesh, for a held cup anywhere around the receiving one."""
    model = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    world, data, rng = (
        World(model, SIGHT - 0.01, JOINT_NAMES, POURING.placed),
        mujoco.MjData(model),
        np.random.default_rng(0),
    )
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
        told = World(model_only, SIGHT - 0.01, JOINT_NAMES, POURING.placed).near([q], [target]).least
        assert world.near([q], [target]).least <= told + 1e-6
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
    """Every corner of a stave lies inside the cylinder that represents its cup."""
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
    """MuJoCo's distance between two boxes is not reliable."""
    model = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    boxes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)
    moving = [box for box in boxes if model.body_weldid[model.geom_bodyid[box]] > 0]
    assert len(boxes) > 0 and not moving


@pytest.fixture(scope="module")
def guard() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(cell.guard_model_xml())


@pytest.fixture(scope="module")
def simulated() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(cell.cell_model_xml(0))


def owner(part: str) -> str:
    """Body to which a part of the table belongs."""
    return part if part.endswith("_link") else "tool"


def outside(model: mujoco.MjModel, geom: int, points: np.ndarray) -> np.ndarray:
    """Distance (N,) [m] of points in the body's frame outside a capsule or a cylinder; negative inside."""
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    points = (points - model.geom_pos[geom]) @ rotation.reshape(3, 3)
    radius, half = model.geom_size[geom, :2]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return to_cylinder(points, radius, half)
    assert model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE
    beyond = np.maximum(np.abs(points[:, 2]) - half, 0.0)
    return np.hypot(np.hypot(points[:, 0], points[:, 1]), beyond) - radius


def hull_surface(vertices: np.ndarray, step: float) -> np.ndarray:
    """Points (M, 3) on the hull of the vertices, at most a step [m] apart along and across its triangles."""
    points = [vertices]
    for corners in vertices[ConvexHull(vertices).simplices]:
        longest = max(np.linalg.norm(a - b) for a, b in combinations(corners, 2))
        count = int(np.ceil(longest / step))
        shares = np.array([(i, j, count - i - j) for i in range(count + 1) for j in range(count + 1 - i)])
        points.append(shares @ corners / count)
    return np.concatenate(points)


def excess(model: mujoco.MjModel, part: str) -> float:
    """Largest protrusion [m] of a part's hull from its body's primitives; negative if enclosed."""
    body = model.body(owner(part))
    geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
    around = min(float(outside(model, geom, PARTS[part]).max()) for geom in geoms)
    if around <= 0.0 or len(geoms) == 1:
        return around  # one convex primitive contains every vertex, and so the hull
    surface = hull_surface(PARTS[part], 0.002)
    return float(np.min([outside(model, geom, surface) for geom in geoms], axis=0).max())


@pytest.mark.parametrize("part", PARTS)
def test_guard_encloses_the_meshes_of_arm_and_gripper(guard, part):
    assert excess(guard, part) <= 0.0


@pytest.mark.parametrize("part", ["half_arm_1_link", "bracelet_link", "palm", "left_finger_tip"])
def test_a_guard_thinned_by_two_millimetres_is_caught(part):
    model = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    model.geom_size[:, 0] -= 0.002
    assert excess(model, part) > 0.0005


def test_table_of_extreme_points_is_that_of_the_arm():
    """Against URDF figures that are independent of the meshes, to detect swapped frames."""
    bracelet, palm = PARTS["bracelet_link"], PARTS["palm"]
    assert bracelet[:, 2].min() == pytest.approx(FLANGE_OFFSET[2], abs=0.004)  # ends at the flange
    around = np.abs(ConvexHull(bracelet).equations @ np.append(CAMERA, 1.0))
    assert around.min() < 0.007  # the lens is at the surface of the vision module
    assert palm[:, 0].min() == pytest.approx(0.0, abs=0.004)  # mounted on the flange
    for side, sign in (("left", 1), ("right", -1)):
        pad = (sign * PARTS[f"{side}_finger_tip"][:, 1]).min()
        assert pad == pytest.approx(cell.SOURCE_RADIUS + cell.WALL, abs=0.001)  # closed on the cup


@pytest.mark.parametrize("part", PARTS)
def test_simulated_arm_has_the_shape_of_the_meshes(simulated, part):
    """Within a millimetre, and nowhere larger."""
    geom = simulated.geom(part)
    mesh = int(geom.dataid[0])
    first = simulated.mesh_vertadr[mesh]
    vertices = simulated.mesh_vert[first : first + simulated.mesh_vertnum[mesh]]
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, geom.quat)
    vertices = vertices @ rotation.reshape(3, 3).T + geom.pos
    for inner, outer, room in ((vertices, PARTS[part], 2e-5), (PARTS[part], vertices, 0.00102)):
        planes = ConvexHull(outer).equations
        assert (inner @ planes[:, :3].T + planes[:, 3]).max() < room


def touching(model: mujoco.MjModel, q: np.ndarray, target: np.ndarray) -> list[set[tuple[str, str]]]:
    """Pairs of bodies in contact, for every posture (N, 7) [rad] and receiving cup (N, 2) [m]."""
    data, found = mujoco.MjData(model), []
    names = np.array([model.body(body).name for body in model.geom_bodyid])
    for posture, place in zip(q, target, strict=True):
        model.body("receiver").pos[:2] = place
        data.qpos[:7] = posture
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        pairs = names[data.contact.geom[data.contact.dist <= 0.0]]
        found.append({(str(min(pair)), str(max(pair))) for pair in pairs})
    return found


def postures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random postures, half anywhere, half around pouring; each with a place for the receiving cup."""
    rng = np.random.default_rng(5)
    high = np.where(np.isfinite(GEN3_LIMITS.position_max), GEN3_LIMITS.position_max, np.pi)
    q = rng.uniform(-high, high, (count, 7))
    near = NOMINAL_POSTURE + rng.normal(size=(count // 2, 7)) * [0.3, 0.3, 0.3, 0.3, 0.5, 0.5, 1.0]
    q[: count // 2] = near.clip(-high, high)
    return q, rng.uniform([0.5, -0.2], [0.8, 0.2], (count, 2))


def unseen(guard: mujoco.MjModel, simulated: mujoco.MjModel, count: int) -> tuple[list, int]:
    """Postures with contacts that the guard misses, compared pair by pair, and the number with contacts."""
    q, target = postures(count)
    real, seen = touching(simulated, q, target), touching(guard, q, target)
    missed = [(n, pairs - seen[n]) for n, pairs in enumerate(real) if not pairs <= seen[n]]
    return missed, sum(map(bool, real))


def test_every_contact_of_the_simulated_arm_is_seen_by_the_guard(guard, simulated):
    missed, touched = unseen(guard, simulated, POSTURES)
    assert touched > POSTURES // 10 and missed == []


@pytest.mark.parametrize("model", ["guard", "simulated"])
def test_the_hand_meets_the_arm_that_carries_it(model, request):
    """Both models take their classes from one table, so neither would reveal an omission in it."""
    met = set().union(*touching(request.getfixturevalue(model), *postures(POSTURES)))
    for hand in ("tool", "cup", "bracelet_link"):
        for arm in ("base_link", "half_arm_1_link"):
            assert (min(hand, arm), max(hand, arm)) in met


def test_a_thin_guard_lets_the_simulated_arm_touch(simulated):
    """By a centimetre, as with the earlier guard of capsules around the link axes, and more."""
    thin = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    thin.geom_size[thin.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE, 0] -= 0.01
    missed, _ = unseen(thin, simulated, 4000)
    assert {"table"} & {name for _, pairs in missed for pair in pairs for name in pair}


def test_no_pour_starts_within_the_clearance_of_the_receiving_cup(guard):
    """The hand starts upright at any place: the receiving cup is moved around it instead of the arm."""
    held = np.isin([guard.body(body).name for body in guard.geom_bodyid], ["tool", "cup", "bracelet_link"])
    model = mujoco.MjModel.from_xml_string(cell.guard_model_xml())
    receiver = model.body("receiver")
    others = ~held & (model.geom_bodyid != receiver.id)
    model.geom_contype[others] = model.geom_conaffinity[others] = 0
    model.geom_margin[:] = model.body_margin[:] = 0.004  # per geom, so 8 mm
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    data.qpos[:7] = NOMINAL_POSTURE
    lip = guard_kinematics().pose(NOMINAL_POSTURE).position.copy()
    for _ in range(6000):
        scenario = sample_scenario(rng)
        place = np.append(scenario.receiver_position, 0.0)
        model.body_pos[receiver.id] = lip + place - scenario.lip_start
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        assert data.ncon == 0, scenario


def test_no_pair_of_the_guard_is_always_in_contact(guard):
    q, target = postures(4000)
    found = touching(guard, q, target)
    pairs = set().union(*found)
    assert max(sum(pair in seen for seen in found) for pair in pairs) < 0.5 * len(found)
    assert touching(guard, NOMINAL_POSTURE[None] + [0, -0.3, 0, 0, 0, 0, 0], target[:1]) == [set()]
