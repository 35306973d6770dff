"""World models that reach outside their file or that the arm could not see are refused by name."""

import itertools
import re

import mujoco
import numpy as np
import pytest

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3, JOINT_NAMES, NOMINAL_POSTURE
from spillguard_core.bundle.guard import DEEPEST, guard_model
from spillguard_core.bundle.manifest import BundleError
from spillguard_core.robot.world import World
from spillguard_core.tasks.pouring import TASK as POURING

WHOLE = guard_model_xml()
SEEN = 'contype="4" conaffinity="7"'
TABLE = '<body name="table">'
LINKS = ("shoulder_link", "half_arm_1_link", "half_arm_2_link", "forearm_link", "spherical_wrist_1_link",
         "spherical_wrist_2_link", "bracelet_link", "tool", "cup")  # fmt: skip


def replaced(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new, 1)


def without(pattern: str) -> str:
    text, count = re.subn(pattern, "", WHOLE, flags=re.DOTALL)
    assert count
    return text


def walled(attributes: str, size: str = ".1 .1 .1") -> str:
    wall = f'<body name="wall"><geom name="wall" type="box" size="{size}" {attributes}/></body>'
    return replaced(TABLE, wall + TABLE)


def refused(xml: str | bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=rf"(?s)^site\.xml is not a usable world model: .*{reason}"):
        guard_model(xml if isinstance(xml, bytes) else xml.encode(), "site.xml", GEN3, POURING)


def test_what_was_read_is_what_was_written() -> None:
    plain, read = (
        mujoco.MjModel.from_xml_string(WHOLE),
        guard_model(WHOLE.encode(), "guard.xml", GEN3, POURING),
    )
    for name in ("geom_pos", "geom_quat", "geom_size", "geom_type", "geom_contype", "geom_conaffinity",
                 "body_pos", "body_quat", "jnt_axis", "exclude_signature", "site_pos"):  # fmt: skip
        assert (getattr(plain, name) == getattr(read, name)).all(), name


def test_wall_in_the_classes_of_the_table_is_seen() -> None:
    target = np.array([0.6, 0.2, 0.12])
    through = World(
        guard_model(walled(f'pos="0.2 0 0.3" {SEEN}').encode(), "guard.xml", GEN3, POURING),
        0.01,
        JOINT_NAMES,
        POURING.placed,
    )
    assert through.near([NOMINAL_POSTURE], [target]).least < 0.0


@pytest.mark.parametrize(
    "attributes", ['pos="0 1 0"', 'pos="0 1 0" contype="0" conaffinity="0"', 'pos="0 1 0" contype="8"']
)
def test_wall_that_the_links_cannot_see(attributes: str) -> None:
    refused(walled(attributes), r"geom 'wall' .* and the geom '\w+' .* of the arm can never meet")


@pytest.mark.parametrize("value", ["nan", "inf", "1e9", "-1e300"])
@pytest.mark.parametrize("place", ["0 {} 0", "{} 0 0"])
def test_wall_that_is_nowhere(value: str, place: str) -> None:
    refused(walled(f'pos="{place.format(value)}" {SEEN}'), "geom 'wall' has a place or size of")


@pytest.mark.parametrize("size", ["nan .1 .1", ".1 inf .1", ".1 .1 1e9", "0 .1 .1", "-1 .1 .1", ".1"])
def test_wall_of_no_size(size: str) -> None:
    refused(walled(f'pos="0 1 0" {SEEN}', size), "wall")


@pytest.mark.parametrize("value", ["nan", "inf", "1e9"])
@pytest.mark.parametrize("element", ["joint_3", "lip"])
def test_joint_or_site_that_is_nowhere(element: str, value: str) -> None:
    xml, count = re.subn(rf'<(joint|site) name="{element}"( pos="[^"]*")?',
                         rf'<\1 name="{element}" pos="0 {value} 0"', WHOLE)  # fmt: skip
    assert count == 1
    refused(xml, f"'{element}' has a place or size of")


@pytest.mark.parametrize(
    "attribute",
    ["meshdir", "texturedir", "assetdir", "discardvisual", "fusestatic", "inertiafromgeom", "coordinate"],
)
def test_compiler_that_looks_elsewhere_or_leaves_shapes_out(attribute: str) -> None:
    refused(
        replaced("<compiler ", f'<compiler {attribute}="true" '),
        f"'{attribute}' of a <compiler> is not allowed",
    )


def test_body_that_is_nowhere() -> None:
    refused(replaced(TABLE, '<body name="table" pos="0 0 nan">'), "body 'table' has a place or size of")


def test_default_class_that_blinds_everything() -> None:
    plain = re.sub(r' contype="\d" conaffinity="\d"', "", WHOLE)
    blind = '<default><geom contype="0" conaffinity="0"/></default><worldbody>'
    refused(plain.replace("<worldbody>", blind), "can never meet")
    guard_model(
        plain.encode(), "site.xml", GEN3, POURING
    )  # in MuJoCo's own default class everything meets everything


def test_arm_that_sees_itself_nowhere() -> None:
    refused(
        WHOLE.replace('contype="2" conaffinity="6"', 'contype="0" conaffinity="4"'),
        "of the arm can never meet",
    )


@pytest.mark.parametrize("geom", ["palm", "source", "forearm_link_0"])
def test_shape_of_the_arm_that_meets_nothing(geom: str) -> None:
    xml, count = re.subn(rf'(<geom name="{geom}"[^>]*?) contype="\d" conaffinity="\d"',
                         r'\1 contype="0" conaffinity="0"', WHOLE)  # fmt: skip
    assert count == 1
    refused(xml, f"geom '{geom}' .*can never meet")


def test_excludes_that_hide_a_fixture() -> None:
    pairs = [f'<exclude body1="machine" body2="{link}"/>' for link in LINKS]
    guard_model(
        replaced("</contact>", "".join(pairs[:-1]) + "</contact>").encode(), "guard.xml", GEN3, POURING
    )
    refused(
        replaced("</contact>", "".join(pairs) + "</contact>"), "'machine_body' .* is excluded from everything"
    )


def test_excludes_that_hide_a_link() -> None:
    fixtures = ("table", "machine", "receiver", "base_link")
    pairs = "".join(f'<exclude body1="forearm_link" body2="{name}"/>' for name in fixtures)
    refused(replaced("</contact>", pairs + "</contact>"), "'forearm_link_0' .* is excluded from everything")


@pytest.mark.parametrize("link", ["half_arm_1_link", "forearm_link"])
def test_link_without_a_shape(link: str) -> None:
    refused(without(rf'<geom name="{link}_\d+"[^>]*>'), f"body '{link}' of the arm, .* has no geom")


def test_cup_without_a_shape() -> None:
    refused(without('<geom name="source[^>]*>'), "body 'cup', which carries the site 'lip', has no geom")


def test_lip_that_stays_where_it_is() -> None:
    """Nobody would know where the cup is that the arm carries."""
    xml, count = re.subn('<site name="lip"[^>]*>', "", WHOLE)
    assert count == 1
    table = f'{TABLE}<site name="lip"/>'
    refused(xml.replace(TABLE, table), "the site 'lip' does not move with the arm")


def test_nothing_but_the_arm() -> None:
    refused(without('<body name="(table|machine|receiver)".*?</body>'), "nothing but the arm")


def test_receiver_that_would_be_put_elsewhere() -> None:
    nested = replaced('<body name="receiver"', '<body pos="1 0 0"><body name="receiver"')
    refused(
        nested.replace("</worldbody>", "</body></worldbody>"),
        "'receiver' is put where it is sensed",
    )


HINGE = '<inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/><joint name="door"/>'


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (replaced(TABLE, TABLE + HINGE), "joint 'door' is none of the arm's"),
        (replaced(TABLE, TABLE + HINGE.replace(' name="door"', "")), "7, on the body 'table'"),
        (replaced('<joint name="joint_3"', '<joint type="slide" name="joint_3"'), "must be a hinge"),
        (replaced(TABLE, TABLE + "<freejoint/>"), "<freejoint> is not allowed"),
        (replaced(TABLE, '<body name="table" mocap="true">'), "'mocap' of a <body> named 'table'"),
    ],
    ids=["hinge", "hinge without name", "slide", "free", "mocap"],
)  # fmt: skip
def test_what_moves_without_being_measured(xml: str, reason: str) -> None:
    refused(xml, reason)


OUTSIDE = {
    "include": '<include file="/etc/hostname"/>',
    "asset": '<asset><mesh name="m" file="/tmp/m.stl"/></asset>',
    "asset texture": '<asset><texture name="t" type="2d" file="/tmp/t.png"/></asset>',
    "asset height field": '<asset><hfield name="h" file="/tmp/h.png" size="1 1 1 1"/></asset>',
    "asset model": '<asset><model name="m" file="/tmp/m.xml"/></asset>',
    "deformable": '<deformable><skin name="s" file="/tmp/s.skn"/></deformable>',
    "extension": '<extension><plugin plugin="mujoco.sdf.torus"/></extension>',
    "flag": '<option><flag contact="disable"/></option>',
    "size": '<size memory="1T"/>',
    "keyframe": '<keyframe><key qpos="0 0 0 0 0 0 0"/></keyframe>',
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_element_that_a_world_model_does_not_need(name: str) -> None:
    refused(replaced("<worldbody>", OUTSIDE[name] + "<worldbody>"), f"<{name.split()[0]}> is not allowed")


@pytest.mark.parametrize("attribute", ["mesh", "hfield", "material", "margin", "gap", "file"])
def test_attribute_that_a_shape_does_not_need(attribute: str) -> None:
    refused(
        walled(f'pos="0 1 0" {SEEN} {attribute}="1"'),
        f"'{attribute}' of a <geom> named 'wall' is not allowed",
    )


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (WHOLE.encode("utf-16"), "UnicodeDecodeError"),
        (b"\xff" + WHOLE.encode(), "UnicodeDecodeError"),
        (b"", "no element found"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + WHOLE.encode(), "document type"),
        (replaced(TABLE, "<body>" * DEEPEST + "</body>" * DEEPEST + TABLE), "inside one another"),
        (replaced(TABLE, "<body>" * 100_000 + "</body>" * 100_000 + TABLE), "inside one another"),
        (replaced(TABLE, TABLE + f'<geom size=".1" {SEEN}/>' * 1000), "1\\d+ geoms, .* allowed are 1000"),
    ],
    ids=["UTF-16", "no UTF-8", "empty", "document type", "deep", "very deep", "many"],
)
def test_file_that_is_no_reasonable_xml(xml: str | bytes, reason: str) -> None:
    refused(xml, reason)


def pair_of_boxes(classes: tuple[int, int, int, int], exclude: bool) -> str:
    """The cell with a box around its whole arm, and the classes of the box and of all of the arm."""
    box, wants, arm, arm_wants = classes
    xml = re.sub(r'contype="2" conaffinity="\d"', f'contype="{arm}" conaffinity="{arm_wants}"', WHOLE)
    around = f'<geom name="wall" type="box" size="2 2 2" contype="{box}" conaffinity="{wants}"/>'
    xml = xml.replace(TABLE, f'<body name="wall">{around}</body>{TABLE}')
    hidden = "".join(f'<exclude body1="{link}" body2="wall"/>' for link in LINKS)
    return xml.replace("</contact>", f"{hidden if exclude else ''}</contact>")


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("classes", [*itertools.product((0, 1, 2), repeat=4)])
def test_no_world_model_loads_in_which_mujoco_finds_no_contact(
    classes: tuple[int, int, int, int], exclude: bool
) -> None:
    """All of the arm is inside a box: MuJoCo says so for each of its shapes, or the model is refused."""
    xml = pair_of_boxes(classes, exclude)
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    wall = model.geom("wall").id
    touched = {int(geom) for contact in data.contact for geom in contact.geom if wall in contact.geom} - {
        wall
    }
    arm = {geom for geom in range(model.ngeom) if model.body(model.geom_bodyid[geom]).name in LINKS}
    try:
        guard_model(xml.encode(), "guard.xml", GEN3, POURING)
    except BundleError:
        return
    assert touched >= arm
