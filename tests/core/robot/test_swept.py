"""Bounds on how far parts of an arm move: against what they do, on every shipped arm and by hand."""

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_allclose

from spillguard_core.robot.arm import load_robot
from spillguard_core.robot.swept import Swept, joint_ids
from tests.core.robot.shipped import ARMS, guard_of

FOLDED = 3.0  # [rad]


def plane_arm(*links: str) -> mujoco.MjModel:
    """Links behind one another, each turning about z where the last one ends."""
    inside = ""
    for number, link in reversed(list(enumerate(links))):
        place = "0 0 0" if number == 0 else "0.5 0 0"
        inside = f"<body pos='{place}'><joint name='j{number}' axis='0 0 1'/>{link}{inside}</body>"
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{inside}</worldbody></mujoco>")


ROD = "<geom type='capsule' size='.01' fromto='0.01 0 0 0.49 0 0'/>"
BALL = "<geom size='.1' pos='0.2 0 0'/>"


def test_reach_of_a_plane_arm_by_hand():
    swept = Swept(plane_arm(ROD, BALL), [0, 1])
    # The furthest corner of the box round the ball: 0.3 along, 0.1 aside, 0.1 above.
    assert_allclose(swept.reach, [0.5 + np.sqrt(0.11), np.hypot(0.3, 0.1)], atol=1e-9)
    assert swept.anywhere(np.array([-0.1, 0.2])) == pytest.approx(0.1 * swept.reach[0] + 0.2 * swept.reach[1])


def test_speed_of_a_plane_arm_by_hand():
    model = plane_arm(ROD, BALL)
    swept, data = Swept(model, [0, 1]), mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    # Stretched, both joints turning: the ball's middle at 0.7 and 0.2 m from them, turning by the sum.
    speed, growth = swept.speed(data, np.array([0.1, 0.3]))
    assert speed == pytest.approx(0.1 * 0.7 + 0.3 * 0.2 + 0.4 * 0.1)
    reach = swept.reach
    assert growth == pytest.approx(reach[0] * 0.1 * 0.1 + reach[1] * 0.3 * (0.3 + 2.0 * 0.1))
    # Turning against one another the middle stands nearly still, but the first link sees it turn.
    speed, _ = swept.speed(data, np.array([-0.1, 0.3]))
    assert speed == pytest.approx(0.3 * (0.2 + 0.1))


def test_speed_is_that_of_the_arm_whatever_else_there_is():
    """A heavy thing beside it moves the middle of all masses, about which nothing of the arm turns."""
    alone = plane_arm(ROD, BALL)
    inside = "<body pos='.5 0 0'><joint name='j1' axis='0 0 1'/>" + BALL + "</body>"
    heavy = "<body pos='3 5 7'><geom size='.1' mass='100'/></body>"
    arm = f"<body><joint name='j0' axis='0 0 1'/>{ROD}{inside}</body>"
    beside = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{heavy}{arm}</worldbody></mujoco>")
    told = []
    for model in (alone, beside):
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        told.append(Swept(model, [0, 1]).speed(data, np.array([0.1, 0.3])))
    assert_allclose(told[1], told[0], rtol=1e-9)


def test_two_joints_of_one_body_are_a_chain():
    joints = "<joint name='a' axis='0 0 1'/><joint name='b' axis='0 1 0' pos='.3 0 0'/>"
    body = f"<body>{joints}<geom size='.1' pos='.5 0 0'/></body>"
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
    corner = np.array([0.3, 0.1, 0.1])
    behind = [0.3 + np.linalg.norm(corner), np.hypot(corner[0], corner[2])]
    assert_allclose(Swept(model, [0, 1]).reach, behind, atol=1e-9)


def test_a_shape_reaches_as_far_as_its_box_which_need_not_be_about_its_middle():
    mesh = "<mesh name='m' vertex='0 0 0  1 0 0  0 .1 0  0 0 .1'/>"
    body = "<body><joint name='a' axis='0 0 1'/><geom type='mesh' mesh='m'/></body>"
    xml = f"<mujoco><asset>{mesh}</asset><worldbody>{body}</worldbody></mujoco>"
    assert Swept(mujoco.MjModel.from_xml_string(xml), [0]).reach[0] >= 1.0


def test_a_sliding_joint_moves_everything_behind_it_alike():
    slide = "<joint name='s' type='slide' axis='1 0 0' range='-.2 .3' limited='true'/>"
    slide = f"<body>{slide}<geom size='.1'/></body>"
    weight = "<geom size='.1' contype='0' conaffinity='0'/>"
    turning = f"<body><joint name='t' axis='0 0 1'/>{weight}{slide}</body>"
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{turning}</worldbody></mujoco>")
    swept = Swept(model, [0, 1])
    assert_allclose(swept.reach, [0.3 + np.sqrt(0.03), 1.0], atol=1e-9)
    shown = turning.replace("type='slide'", "type='slide' ref='-.2'")  # at one end, the other is 0.5 m away
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{shown}</worldbody></mujoco>")
    assert_allclose(Swept(model, [0, 1]).reach, [0.5 + np.sqrt(0.03), 1.0], atol=1e-9)
    endless = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody>{turning.replace('true', 'false')}</worldbody></mujoco>"
    )
    with pytest.raises(ValueError, match="'s' slides without an end"):
        Swept(endless, [0, 1])
    free = "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    with pytest.raises(ValueError, match="to turn or to slide"):
        Swept(mujoco.MjModel.from_xml_string(free), [0])


def test_what_cannot_touch_does_not_count_and_pairs_do():
    ghost = ROD.replace("/>", " contype='0' conaffinity='0' name='ghost'/>")
    assert Swept(plane_arm(ghost, ghost.replace("ghost", "other")), [0, 1]).reach.max() == 0.0 + 0.5
    arm = f"<body><joint name='j'/>{ghost}</body>"
    xml = f"""<mujoco><worldbody><geom name='wall' size='.1'/>{arm}</worldbody>
        <contact><pair geom1='wall' geom2='ghost'/></contact></mujoco>"""
    assert Swept(mujoco.MjModel.from_xml_string(xml), [0]).reach[0] > 0.5


def test_joints_that_are_no_chain_are_bounded_by_their_sum():
    body = "<body><joint name='{}' axis='0 0 1'/><geom size='.1' pos='.5 0 0'/></body>"
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody>{body.format('a')}{body.format('b')}</worldbody></mujoco>"
    )
    swept, step = Swept(model, joint_ids(model, ["a", "b"])), np.array([0.1, -0.1])
    assert swept.speed(mujoco.MjData(model), step) == (swept.anywhere(step), 0.0)


@pytest.mark.parametrize("name", ARMS)
def test_no_point_of_a_shipped_arm_moves_further(name):
    """Seen from the base and from every link, on steps of every size, points on the surface included."""
    robot, model, rng = load_robot(name), guard_of(name), np.random.default_rng(0)
    joints = joint_ids(model, robot.joint_names)
    swept, data = Swept(model, joints), mujoco.MjData(model)
    geoms = [g for g in range(model.ngeom) if model.body_weldid[model.geom_bodyid[g]] != 0]
    frames = [0, *model.jnt_bodyid[joints].tolist()]
    directions = rng.normal(size=(6, 3))
    directions *= 1.0 / np.linalg.norm(directions, axis=1)[:, None]
    tight = []
    for _ in range(150):
        q, size = rng.uniform(-FOLDED, FOLDED, len(joints)), 10.0 ** rng.uniform(-3.0, -0.5)
        step = size * rng.uniform(-1.0, 1.0, len(joints)) * rng.integers(0, 2, len(joints))
        before = seen_from(model, data, q, frames, geoms, directions)
        speed, growth = swept.speed(data, step)
        moved = np.zeros(())
        for share in (0.25, 0.5, 0.75, 1.0):
            after = seen_from(model, data, q + share * step, frames, geoms, directions)
            ways = [a - b for a, b in zip(after, before, strict=True)]
            furthest = max(float(np.linalg.norm(way, axis=-1).max()) for way in ways)
            assert furthest <= share * speed + 0.5 * share**2 * growth + 1e-12
            moved = np.maximum(moved, furthest)
        if size < 0.01 and speed > 0.0:
            tight.append(float(moved) / speed)
    assert np.median(tight) > 0.9  # the bound says something, too


def seen_from(model, data, q, frames, geoms, directions):
    """Points on the spheres round the geoms, in the frame of each link before them."""
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    found = []
    for number, frame in enumerate(frames):
        place, turned = data.xpos[frame], data.xmat[frame].reshape(3, 3)
        for geom in geoms:
            if moves(model, int(model.geom_bodyid[geom]), frames) < number:
                continue
            axes = data.geom_xmat[geom].reshape(3, 3)
            points = data.geom_xpos[geom] + model.geom_rbound[geom] * directions @ axes.T
            found.append((points - place) @ turned)
    return found


def moves(model, body, frames):
    """How many of the frames' joints move a body."""
    while body not in frames:
        body = int(model.body_parentid[body])
    return frames.index(body)


@pytest.mark.parametrize("name", ARMS)
def test_reach_is_that_of_the_arm(name):
    """In no posture drawn is anything further from an axis, and some posture comes near."""
    robot, model, rng = load_robot(name), guard_of(name), np.random.default_rng(1)
    joints = joint_ids(model, robot.joint_names)
    swept, data = Swept(model, joints), mujoco.MjData(model)
    furthest = np.zeros(len(joints))
    for _ in range(2000):
        data.qpos[:] = rng.uniform(-FOLDED, FOLDED, len(joints))
        mujoco.mj_kinematics(model, data)
        for geom in range(model.ngeom):
            last = moves(model, int(model.geom_bodyid[geom]), [0, *model.jnt_bodyid[joints].tolist()])
            for joint in range(last):
                away = data.geom_xpos[geom] - data.xanchor[joints[joint]]
                axis = data.xaxis[joints[joint]]
                furthest[joint] = max(furthest[joint], float(np.linalg.norm(away - axis * axis.dot(away))))
    assert (furthest <= swept.reach + 1e-9).all()
    assert (furthest[:3] >= 0.7 * swept.reach[:3]).all()
