"""The braking check against the world model."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sim.pouring.cell_model import RIM_HEIGHT
from sim.pouring.gen3 import JOINT_NAMES, NOMINAL_POSTURE
from spillguard_core.gate import reasons
from spillguard_core.gate.reasons import Verdict
from spillguard_core.robot.ways import straight
from spillguard_core.robot.world import BEYOND, World
from spillguard_core.tasks.pouring import TASK as POURING
from tests.core.robot.towards import ASIDE, LEFT, run_towards

UP = np.array([0.0, 0.0, 1.0])
DOWN = np.array([0.0, 0.0, -0.25, 0.0])


def contacts(model, q, target):
    """Names of the pairs in contact according to plain MuJoCo."""
    data = mujoco.MjData(model)
    model.body("receiver").pos[:2] = target[:2]
    data.qpos[:7] = q
    mujoco.mj_forward(model, data)
    return [{model.geom(g).name for g in c.geom} for c in data.contact]


def test_distance_is_the_height_of_the_cup_over_the_table():
    # A ball of 2 cm radius on a rail, 5 mm above a plane.
    joints = "".join(f"<body><joint name='joint_{i}' axis='0 0 1'/><geom size='.001' contype='0'"
                     " conaffinity='0'/></body>" for i in range(1, 7))  # fmt: skip
    ball = "<body pos='0 0 .025'><joint name='joint_7' type='slide' axis='0 0 1'/><geom size='.02'/></body>"
    xml = f"<mujoco><worldbody><geom type='plane' size='1 1 1'/>{joints}{ball}</worldbody></mujoco>"
    world = World(mujoco.MjModel.from_xml_string(xml), 0.0, JOINT_NAMES, POURING.placed)
    lowered = np.zeros(7)
    assert world.near([lowered], [ASIDE]).least == pytest.approx(0.005, abs=1e-6)
    lowered[6] = -0.008
    assert world.near(straight(np.zeros(7), lowered), [ASIDE]).least == pytest.approx(-0.003, abs=1e-6)
    raised = np.zeros(7)
    raised[6] = 0.5
    assert world.near([raised], [ASIDE]).least == BEYOND


def test_path_is_looked_at_between_its_ends(model):
    world = World(model, 0.01, JOINT_NAMES, POURING.placed)
    left = NOMINAL_POSTURE + np.array([0.5, 0, 0, 0, 0, 0, 0])
    right = NOMINAL_POSTURE - np.array([0.5, 0, 0, 0, 0, 0, 0])
    cup = np.array([0.68, 0.0, 0.12])  # between the two
    assert min(world.near([q], [cup]).least for q in (left, right)) > 0.0
    assert world.near(straight(left, right), [cup]).least < 0.0


@pytest.mark.parametrize(("twist", "target"), [(DOWN, ASIDE), (LEFT, ASIDE)], ids=["table", "machine"])
def test_arm_stops_short_of_what_is_in_its_way(guarded, model, twist, target):
    guarded.follow(2, np.zeros(4))
    run_towards(guarded, twist, target)
    assert (guarded.decision.verdict, guarded.decision.reason) == (Verdict.LIMIT, reasons.COLLISION)
    assert np.abs(guarded.qd).max() < 0.02
    assert contacts(model, guarded.q, target) == []
    assert guarded.decision.margins["clearance"] == pytest.approx(0.0, abs=0.004)


def test_held_cup_does_not_touch_the_receiving_cup(guarded, model):
    target = np.array([*guarded.models.tool.pose(NOMINAL_POSTURE).position[:2], 0.12])
    guarded.follow(30, np.array([0.0, 0.0, 0.2, 0.0]))
    run_towards(guarded, DOWN, target)
    assert guarded.decision.reason is reasons.COLLISION
    assert contacts(model, guarded.q, target) == []


def test_without_a_world_model_the_same_motion_goes_on(guarded):
    guarded.models = replace(guarded.models, world=None)
    guarded.follow(2, np.zeros(4))
    run_towards(guarded, DOWN, ASIDE, 100)
    assert guarded.decision.reason is reasons.OK


def test_arm_that_starts_too_close_may_leave_but_not_come_closer(guarded):
    guarded.follow(2, np.zeros(4))
    run_towards(guarded, DOWN, ASIDE)
    guarded.config = replace(guarded.config, clearance=0.015)  # now too close
    height = guarded.models.tool.pose(guarded.q).position[2]
    run_towards(guarded, DOWN, ASIDE, 50)
    assert guarded.models.tool.pose(guarded.q).position[2] == pytest.approx(height, abs=1e-3)
    run_towards(guarded, -DOWN, ASIDE, 50)
    assert guarded.models.tool.pose(guarded.q).position[2] > height + 0.02


def test_world_leaves_the_model_it_was_given_alone(model):
    World(model, 0.01, JOINT_NAMES, POURING.placed)
    assert not model.geom_margin.any()


def lowest_point(model, data, geom):
    """Height [m] of the lowest point of a box, cylinder or capsule, in closed form."""
    size, rotation, up = model.geom_size[geom], data.geom_xmat[geom].reshape(3, 3), data.geom_xpos[geom][2]
    match model.geom_type[geom]:
        case mujoco.mjtGeom.mjGEOM_BOX:
            return up - np.abs(rotation[2]) @ size
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            return up - abs(rotation[2, 2]) * size[1] - size[0] * np.sqrt(max(0.0, 1.0 - rotation[2, 2] ** 2))
        case _:
            return up - abs(rotation[2, 2]) * size[1] - size[0]


def test_distance_to_the_table_is_that_of_the_lowest_point_of_the_arm(model):
    moving = model.body_weldid[model.geom_bodyid] > 0
    model.geom_contype[:], model.geom_conaffinity[:] = moving, 0
    model.geom_conaffinity[model.geom("table_top").id] = 1  # the only geom the arm can collide with
    world, data = World(model, 0.005, JOINT_NAMES, POURING.placed), mujoco.MjData(model)
    rng, checked = np.random.default_rng(0), 0
    for _ in range(1500):
        q = NOMINAL_POSTURE + rng.normal(size=7) * [0.1, 0.3, 0.1, 0.3, 0.4, 0.4, 0.4]
        data.qpos[:7] = q
        mujoco.mj_kinematics(model, data)
        height = min(lowest_point(model, data, g) for g in np.flatnonzero(moving))
        if -0.005 < height < 0.014:
            assert world.near([q], [ASIDE]).least == pytest.approx(height, abs=2e-4)
            checked += 1
    assert checked > 50


def test_every_contact_that_the_simulation_sees_is_a_negative_distance(model):
    world, rng, touching = World(model, 0.005, JOINT_NAMES, POURING.placed), np.random.default_rng(1), 0
    for _ in range(500):
        q = NOMINAL_POSTURE + rng.normal(size=7) * 0.5
        target = np.array([rng.uniform(0.5, 0.75), rng.uniform(-0.2, 0.2), 0.12])
        if contacts(model, q, target):
            assert world.near([q], [target]).least <= 0.0
            touching += 1
    assert touching > 50


def test_a_posture_that_is_not_a_number_has_no_clearance(model):
    unknown = NOMINAL_POSTURE.copy()
    unknown[3] = np.nan
    near = World(model, 0.005, JOINT_NAMES, POURING.placed).near(straight(NOMINAL_POSTURE, unknown), [ASIDE])
    assert near.least == -np.inf and not any(gap >= -np.inf for gap in near.close.values())


def test_a_receiving_cup_that_is_sensed_higher_than_modelled_is_raised_by_as_much(model, guarded):
    world = World(model, 0.3, JOINT_NAMES, POURING.placed)
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position
    pair = tuple(sorted((model.geom("source").id, model.geom("receiver").id)))

    def gap(height):
        return world.near([NOMINAL_POSTURE], [np.array([lip[0], lip[1] + 0.035, height])]).close[pair]

    for rise in (0.01, 0.02, 0.03):
        assert gap(RIM_HEIGHT) - gap(RIM_HEIGHT + rise) == pytest.approx(rise, abs=1e-5)
    assert gap(RIM_HEIGHT - 0.03) == gap(RIM_HEIGHT)  # never lowered


@pytest.mark.parametrize("rise", [0.02, 0.1, 0.15, 0.4])
def test_what_is_sensed_higher_is_taller_and_leaves_nothing_free_below(model, guarded, rise):
    """A target that is sensed far too high: the real cup still stands where it stood."""
    world = World(model, 0.3, JOINT_NAMES, POURING.placed)
    lip = guarded.models.tool.pose(NOMINAL_POSTURE).position
    pair = tuple(sorted((model.geom("source").id, model.geom("receiver").id)))
    beside = np.array([lip[0], lip[1] + 0.2, RIM_HEIGHT])
    lowered = NOMINAL_POSTURE.copy()
    lowered[1] += 0.25  # the held cup at the height of the receiving one
    true = world.near([lowered], [beside]).close[pair]
    slack = 0.03 if rise <= 0.03 else 1e-9
    assert world.near([lowered], [beside + rise * UP]).close[pair] <= true + slack


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_place_that_is_not_a_number_has_no_clearance(model, axis, wrong):
    place = ASIDE.copy()
    place[axis] = wrong
    near = World(model, 0.005, JOINT_NAMES, POURING.placed).near([NOMINAL_POSTURE], [place])
    assert near.least == -np.inf


def test_round_an_edge_the_smallest_distance_lies_between_two_postures():
    """A ball that turns past a pin: At both ends of the path it is 2.1 mm away, in the middle 1 mm."""
    joints = "".join(f"<body><joint name='joint_{i}' axis='0 0 1'/><geom size='.001' contype='0'"
                     " conaffinity='0'/></body>" for i in range(1, 7))  # fmt: skip
    ball = "<body><joint name='joint_7' axis='0 0 1'/><geom pos='.7 0 0' size='.01'/></body>"
    pin = "<geom pos='.721 0 0' size='.01'/>"
    xml = f"<mujoco><worldbody>{pin}{joints}{ball}</worldbody></mujoco>"
    world = World(mujoco.MjModel.from_xml_string(xml), 0.0, JOINT_NAMES, POURING.placed)
    start, end = np.zeros(7), np.zeros(7)
    start[6], end[6] = -0.0099, 0.0099
    ends = [world.near([q], [ASIDE]).least for q in (start, end)]
    assert min(ends) == pytest.approx(0.00215, abs=1e-5)
    assert world.near(straight(start, end), [ASIDE]).least == pytest.approx(0.001, abs=1e-6)
