"""Files that a lab writes, and what none of them may do: hang a reader, hide a shape, move the arm."""

import os
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3
from spillguard_core.bundle.guard import guard_model
from spillguard_core.bundle.manifest import BundleError
from spillguard_core.bundle.site import load_site, site_of, with_site
from spillguard_core.robot.arm import load_robot
from spillguard_core.robot.plain_yaml import plain_yaml
from spillguard_core.tasks.pouring import TASK as POURING

TABLE = "boxes:\n  - {name: desk, pos: [0.35, 0, -0.125], size: [1.5, 1.5, 0.25]}\n"
ZONE = "slow_zones: [{name: z, min: [0, 0, 0], max: [1, 1, 1], speed: 0.1}]\n"
ROBOT = (GEN3.folder / "robot.yaml").read_text()
BOMB = ", ".join(["&l0 [x, x]", *(f"&l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30))])


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "lab.yaml"
    path.write_text(text)
    with pytest.raises(BundleError, match=r"site .*lab\.yaml") as caught:
        load_site(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"name: [{BOMB}]\n{TABLE}", "has an alias"),
        (TABLE + TABLE, "the key 'boxes' a second time"),
        (TABLE + ZONE + "slow_zones: []\n", "the key 'slow_zones' a second time"),
        (TABLE.replace("pos: [", "pos: [9, 9, 9], pos: ["), "the key 'pos' a second time"),
        ("name: " + "x" * 1000 + "\n" + TABLE, "name that fits in a line"),
        ('name: "a\\nb"\n' + TABLE, "name that fits in a line"),
        (TABLE.replace("desk", '"a\\0b"'), "name that fits in a line"),
        (TABLE.replace("0.35", "9" * 400), "pos of 'desk' has to be 3 numbers"),
        (TABLE + ZONE.replace("[1, 1, 1]", "[900, 1, 1]"), "reaches further than 100 m"),
        (
            TABLE + ZONE.replace("[{", "[{name: z, min: [0, 0, 0], max: [1, 1, 1], speed: 1}, {"),
            "a name twice",
        ),
        ("<mujoco/>", "has no shape"),
        ("<mujoco><worldbody/></mujoco>", "has no shape"),
        ("---\n1\n---\n2\n", "single document"),
    ],
)
def test_a_hostile_site_is_refused_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path, text)


@pytest.mark.parametrize("normal", ["5.0e-324", "1.0e+300", "1.0e-20"])
def test_a_plane_looks_where_it_is_told_however_long_its_normal(normal: str) -> None:
    text = TABLE + f"planes: [{{name: p, pos: [-1, 0, 0], normal: [{normal}, 0, 0]}}]\n"
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.array(site_of(text, "lab").shapes[-1].quat))
    assert matrix.reshape(3, 3)[:, 2] == pytest.approx([1.0, 0.0, 0.0], abs=1e-12)


def test_a_site_file_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(TABLE)
    (tmp_path / "lab.yaml").symlink_to(tmp_path / "real.yaml")
    assert load_site(tmp_path / "lab.yaml").shapes


def test_an_exclusion_from_the_world_does_not_hide_the_shapes_of_a_site() -> None:
    blind = '<contact><exclude body1="world" body2="forearm_link"/>'
    xml = with_site(
        guard_model_xml().replace("<contact>", blind).encode(), site_of(TABLE, "lab"), GEN3, POURING
    )
    model = guard_model(xml, "the site lab", GEN3, POURING)
    assert 0 not in {signature >> 16 for signature in model.exclude_signature.tolist()}


def test_names_of_markup_stay_names() -> None:
    name = "<geom a='1'/>&amp;"
    text = TABLE.replace("desk", f'"{name}"')
    xml = with_site(guard_model_xml().encode(), site_of(text, "lab"), GEN3, POURING)
    model = guard_model(xml, "the site lab", GEN3, POURING)
    assert name in {model.geom(geom).name for geom in range(model.ngeom)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<body name="base_link"', '<body name="base_link" pos="0 0 1"'),
        ('<body name="base_link"', '<body name="base_link" quat="0 1 0 0"'),
    ],
)
def test_a_bundle_may_not_put_the_arm_elsewhere(old: str, new: str) -> None:
    xml = guard_model_xml()
    assert old in xml
    with pytest.raises(BundleError, match="is not where the robot gen3 has it"):
        guard_model(xml.replace(old, new).encode(), "guard.xml", GEN3, POURING)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROBOT + "velocity: [99, 99, 99, 99, 99, 99, 99]\n", "the key 'velocity' a second time"),
        (ROBOT.replace("name: gen3", f"name: [{BOMB}]"), "has an alias"),
        (ROBOT.replace("1.39, 1.39", "9" * 400 + ", 1.39", 1), "velocity has to be a list of numbers"),
        (ROBOT.replace("rest: [-0.05", "rest: [.inf"), "is outside the position limits"),
        (ROBOT.replace("name: gen3", 'name: "a\\nb"'), "name has to be a text"),
        ("[" * 100_000, "line 1 has more than 50 brackets within each other"),
        ("- " * 100_000, "recursion"),
    ],
)
def test_a_hostile_robot_is_refused_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "robot.yaml").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        load_robot(str(tmp_path))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_robot_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "robot.yaml")
    with pytest.raises(ValueError, match="no regular file"):
        load_robot(str(tmp_path))


def test_a_broken_model_of_the_robot_is_named(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text(ROBOT)
    (tmp_path / "model.xml").write_text("<mujoco>")
    robot = load_robot(str(tmp_path))
    with pytest.raises(BundleError, match=r"model\.xml is not a usable model"):
        guard_model(guard_model_xml().encode(), "guard.xml", robot, POURING)


def test_yaml_without_tricks_says_what_it_said() -> None:
    assert plain_yaml("a: [1, {b: 2}]\nc: x\n") == {"a": [1, {"b": 2}], "c": "x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!int ''", "line 1 has the tag 'int'; leave it out"),
        ("a: 1\nb: !!float ''", "line 2 has the tag 'float'; leave it out"),
        ("a: !!bool foo", "line 1 has the tag 'bool'; leave it out"),
        (f"a: !!float {'1:' * 400}1.5", "line 1 has the tag 'float'; leave it out"),
        (f"a: !!{'x' * 1000} 1", "line 1 has the tag"),
    ],
)
def test_a_tag_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        plain_yaml(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300


def test_a_bundle_may_not_hang_the_arm_on_other_bodies() -> None:
    """The body of a joint where its parent has it, but on a spacer that shifts both."""
    root = ElementTree.fromstring(guard_model_xml())
    parent = next(body for body in root.iter("body") if body.find("body/joint[@name='joint_4']") is not None)
    link = next(body for body in parent.findall("body") if body.find("joint[@name='joint_4']") is not None)
    parent.remove(link)
    ElementTree.SubElement(parent, "body", {"name": "spacer", "pos": "0 0 0.1"}).append(link)
    with pytest.raises(BundleError, match="the joint 'joint_4' is not where the robot gen3 has it"):
        guard_model(ElementTree.tostring(root), "guard.xml", GEN3, POURING)
