"""Distances between two boxes: against the nearest points of both, found without MuJoCo."""

import mujoco
import numpy as np
import pytest

from spillguard_core.robot.boxes import Boxes
from spillguard_core.robot.world import BEYOND, Tolerance, World

JOINTS = ("turn", "tilt")


def cell(sizes: tuple[str, str], place: str, turned: str) -> mujoco.MjModel:
    """A box that turns about two axes, and a fixed one."""
    moving = f"<geom type='box' size='{sizes[1]}' mass='1'/>"
    joints = "<joint name='turn' axis='0 0 1'/><joint name='tilt' axis='0 1 0'/>"
    fixed = f"<body name='fixed'><geom type='box' size='{sizes[0]}'/></body>"
    arm = f"<body pos='{place}' quat='{turned}'>{joints}{moving}</body>"
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{fixed}{arm}</worldbody></mujoco>")


def nearest(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[float, float]:
    """[m] between two boxes and the vertical share of the way: from the one to the other, back and forth."""
    places, axes, half = data.geom_xpos, data.geom_xmat.reshape(-1, 3, 3), model.geom_size
    point, before, gap = places[1], np.inf, 1.0
    while before - gap > 1e-12:
        ends = []
        for box in (0, 1):
            inside = np.clip(axes[box].T @ (point - places[box]), -half[box], half[box])
            point = places[box] + axes[box] @ inside
            ends.append(point)
        way = ends[1] - ends[0]
        before, gap = gap if before < np.inf else 2.0, float(np.linalg.norm(way))
    return gap, float(way[2]) / max(gap, 1e-12)


def cases(count: int):
    """Boxes beside one another, turned in any way, with their nearest points; every gap is in sight."""
    rng = np.random.default_rng(1)
    while count:
        sizes = tuple(" ".join(map(str, rng.uniform(0.02, 0.1, 3))) for _ in range(2))
        turned, way = rng.normal(size=4), rng.normal(size=3)
        place = way / np.linalg.norm(way) * rng.uniform(0.05, 0.25)
        model = cell(sizes, " ".join(map(str, place)), " ".join(map(str, turned)))
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        gap, up = nearest(model, data)
        if 5e-4 < gap < 0.02:
            count -= 1
            yield model, gap, up


def test_two_boxes_are_as_far_apart_as_their_nearest_points():
    """Contacts alone told up to 8 mm more of some, and nothing or a deep penetration of others."""
    unlike = 0
    for model, gap, _ in cases(100):
        world = World(model, 0.015, JOINTS)
        near = world.near([np.zeros(2)], [])
        assert near.least == pytest.approx(min(gap, 0.015 + BEYOND), abs=5e-6)
        assert near.close == ({} if gap >= 0.015 else {(0, 1): pytest.approx(gap, abs=5e-6)})
        unlike += abs(min(world._data.contact.dist.tolist(), default=np.inf) - gap) > 5e-4
    assert unlike > 1


def test_a_box_that_may_stand_elsewhere_is_told_closer_by_as_much():
    for model, gap, up in cases(40):
        world = World(model, 0.04, JOINTS, ["fixed"], Tolerance(0.006, 0.002))
        less = 0.006 * np.sqrt(1.0 - up**2) + 0.002 * abs(up)
        assert world.near([np.zeros(2)], [np.zeros(3)]).close[0, 1] == pytest.approx(gap - less, abs=2e-5)


def test_boxes_in_one_another_are_as_deep_as_the_shortest_way_out():
    for model, _, _ in cases(30):
        model.body_pos[2] *= 0.8
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        depth = overlap(model, data)
        if depth > 1e-4:
            world = World(model, 0.01, JOINTS, ["fixed"])
            assert world.near([np.zeros(2)], [np.zeros(3)]).least == pytest.approx(-depth, abs=5e-5)
            assert world.depth(np.zeros(2), [np.zeros(3)]) == pytest.approx(depth, abs=5e-5)


def overlap(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """[m] that two boxes overlap along the axis on which they do least: of a face or across two edges."""
    one, other = data.geom_xmat.reshape(-1, 3, 3)
    axes = [*one.T, *other.T, *(np.cross(a, b) for a in one.T for b in other.T)]
    axes = [axis / np.linalg.norm(axis) for axis in axes if np.linalg.norm(axis) > 1e-6]
    apart = data.geom_xpos[1] - data.geom_xpos[0]
    half = model.geom_size
    return min(
        np.abs(one.T @ axis) @ half[0] + np.abs(other.T @ axis) @ half[1] - abs(apart @ axis) for axis in axes
    )


def test_a_small_box_over_a_wide_one():
    """Whichever comes first, and only as far as is asked."""
    for sizes in (("2 2 0.1", "0.02 0.03 0.04"), ("0.02 0.03 0.04", "2 2 0.1")):
        told = [World(cell(sizes, f"0.5 -0.7 {z}", "1 0 0 0"), 0.01, JOINTS) for z in (0.145, 0.155, 0.165)]
        least = [world.near([np.zeros(2)], []).least for world in told]
        assert least == pytest.approx([0.005, 0.015, 0.02], abs=1e-9)


def test_pairs_are_those_that_mujoco_lets_touch():
    box = "<geom type='box' size='.05 .05 .05' mass='1' {}/>"
    inner = f"<body name='c' pos='.2 0 0'><joint name='c'/>{box.format('')}</body>"
    ghost = box.format("contype='0' conaffinity='0'")
    middle = f"<body name='b' pos='.2 0 0'><joint name='b'/>{box.format('')}{ghost}{inner}</body>"
    arm = f"<body name='a'><joint name='a'/>{box.format('')}{middle}</body>"
    shut = f"<body name='s' pos='0 0 1'>{box.format('')}</body>"
    xml = f"""<mujoco><worldbody>{box.format("pos='0 0 -1'")}{shut}{arm}</worldbody>
        <contact><exclude body1='s' body2='c'/></contact></mujoco>"""
    model = mujoco.MjModel.from_xml_string(xml)
    # Geoms: 0 the floor, 1 what is shut off from c, 2 a, 3 b, 4 the ghost, 5 c. a and c are not neighbours.
    pairs = Boxes(model, 10.0)._pairs.tolist()
    assert pairs == [[0, 2], [0, 3], [0, 5], [1, 2], [1, 3], [2, 5]]
    data = mujoco.MjData(model)
    model.geom_margin[:] = model.body_margin[:] = 2.0
    mujoco.mj_forward(model, data)
    assert {tuple(pair) for pair in data.contact.geom.tolist()} == {tuple(pair) for pair in pairs}
