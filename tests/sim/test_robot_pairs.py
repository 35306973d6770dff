"""Pairs of links that can collide are compared, whichever bodies they are: arms made to lose one."""

from pathlib import Path

import mujoco
import numpy as np

from sim.robots.description import ArmModel, arm_model
from sim.robots.urdf import read_arm

LIMITS = '<limit lower="-2.5" upper="2.5" velocity="1"/>'


def link(name: str, *shapes: str) -> str:
    """Shapes as XYZ, RPY, GEOMETRY with | between."""
    parts = (shape.split("|") for shape in shapes)
    return f'<link name="{name}">' + "".join(
        f'<collision><origin xyz="{xyz}" rpy="{rpy}"/><geometry><{geometry}/></geometry></collision>'
        for xyz, rpy, geometry in parts
    ) + "</link>"  # fmt: skip


def joint(parent: str, child: str, place: str, axis: str = "") -> str:
    """Named as its child; fixed without an axis."""
    kind = "revolute" if axis else "fixed"
    turns = f'<axis xyz="{axis}"/>{LIMITS}' if axis else ""
    return (
        f'<joint name="{child}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{place}"/>{turns}</joint>'
    )


def made(folder: Path, *parts: str) -> ArmModel:
    path = folder / "arm.urdf"
    path.write_text(f'<robot name="arm">{"".join(parts)}</robot>')
    return arm_model(read_arm(path, "tool"))


def touching(model: ArmModel, *q: float) -> set[tuple[str, str]]:
    """Links that a posture (J,) [rad] brings together, as the monitor sees them."""
    world = mujoco.MjModel.from_xml_string(model.text)
    data = mujoco.MjData(world)
    data.qpos[:] = q
    mujoco.mj_kinematics(world, data)
    mujoco.mj_collision(world, data)
    bodies = np.sort(world.geom_bodyid[data.contact.geom.reshape(-1, 2)], axis=1)
    return {(world.body(first).name, world.body(second).name) for first, second in bodies.tolist()}


ROD = "{} 0 0|0 1.5708 0|cylinder radius='0.03' length='{}'"
SCARA = (
    link("l1", ROD.format(0.2, 0.4)), link("l2", ROD.format(0.15, 0.3)), link("tool"),
    joint("base", "l1", "0 0 0.2", "0 0 1"), joint("l1", "l2", "0.4 0 0.07", "0 0 1"),
    joint("l2", "tool", "0.3 0 0"),
)  # fmt: skip
POST = "0 0 0.2|0 0 0|cylinder radius='0.03' length='0.6'"


def test_a_post_beside_the_base_is_in_the_way_of_the_first_link(tmp_path):
    base = link("base", "0 0 0|0 0 0|box size='0.1 0.1 0.1'")
    model = made(tmp_path, base, link("post", POST), joint("base", "post", "0 0.35 0"), *SCARA)
    assert model.always == ()  # the first link is 10 cm above the base
    assert ("post", "l1") in touching(model, np.pi / 2, 0.0)
    assert touching(model, 0.0, 0.0) == set()


def test_a_shape_on_a_root_named_world_is_in_the_way(tmp_path):
    world = link("world", POST.replace("0 0 0.2", "0 0.35 0.2"))
    base = link("base", "0 0 0.1|0 0 0|box size='0.1 0.1 0.12'")
    model = made(tmp_path, world, base, joint("world", "base", "0 0 0"), *SCARA)
    assert model.always == (("base", "l1"),)
    assert touching(model, np.pi / 2, 0.0) == {("world_link", "l1"), ("world_link", "l2")}
    assert touching(model, 0.0, 0.0) == set()


def test_a_foot_plate_is_seen_by_a_link_that_is_always_close_to_the_column(tmp_path):
    model = made(
        tmp_path,
        link(
            "base", "0 0 0.01|0 0 0|box size='0.8 0.8 0.02'",
            "0 0 0.12|0 0 0|cylinder radius='0.06' length='0.2'",
        ),
        link("l1", "0 0 0|0 0 0|cylinder radius='0.05' length='0.04'"),
        link("l2", "0 0 0.2|0 0 0|cylinder radius='0.03' length='0.44'"), link("tool"),
        joint("base", "l1", "0 0 0.24", "0 0 1"), joint("l1", "l2", "0 0.085 0", "0 1 0"),
        joint("l2", "tool", "0 0 0.42"),
    )  # fmt: skip
    assert model.always == (("base", "l1"),) and model.apart == {}
    assert ("base", "l2") in touching(model, 0.0, 2.3)  # the tool is below the plate


def test_links_that_always_touch_get_more_capsules(tmp_path):
    """A rod hinged 7 cm above a plate of 60 x 60 cm, which three capsules make 7.6 cm thick there."""
    model = made(
        tmp_path,
        link("base", "0 0 0|0 0 0|box size='0.6 0.6 0.02'"),
        link("l1", "0 0 0|0 0 0|cylinder radius='0.02' length='0.02'"),
        link("l2", "0 0 0.2|0 0 0|cylinder radius='0.01' length='0.4'"), link("tool"),
        joint("base", "l1", "0 0 0.07", "0 0 1"), joint("l1", "l2", "0 0 0", "0 1 0"),
        joint("l2", "tool", "0 0 0.4"),
    )  # fmt: skip
    assert 0.0 < model.touching["base", "l2"] < 1.0
    assert ("base", "l2") not in touching(model, 0.0, 0.0)
    assert ("base", "l2") in touching(model, 0.0, 2.3)


def test_a_mast_between_two_angles_of_the_grid_is_found(tmp_path):
    """A rod sweeps past a mast at 0.6 m within a few milliradians, a fiftieth of what was looked at."""
    at = -2.5 + 30.5 * 5.0 / 59
    mast = f"{0.6 * np.cos(at)} {0.6 * np.sin(at)} 0.2|0 0 0|cylinder radius='0.005' length='0.4'"
    model = made(
        tmp_path,
        link("base", "0 0 0|0 0 0|box size='0.1 0.1 0.1'"),
        link("a", "0 0 0|0 0 0|box size='0.1 0.1 0.1'", mast),
        link("b", "0 0 0|0 0 0|box size='0.06 0.06 0.06'"),
        link("c", "0.35 0 0|0 1.5708 0|cylinder radius='0.005' length='0.6'"), link("tool"),
        joint("base", "a", "0 0 0.15", "0 0 1"), joint("a", "b", "0 0 0.12", "0 0 1"),
        joint("b", "c", "0 0 0.08", "1 0 0"), joint("c", "tool", "0.65 0 0"),
    )  # fmt: skip
    assert ("a", "c") in touching(model, 0.0, at, 0.0)
