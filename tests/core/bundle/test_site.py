"""A lab's own surroundings in the place of a bundle's fixtures: understood, refused by name, acted upon."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.deployed_config import deployed_config
from sim.pouring.gen3 import GEN3, NOMINAL_POSTURE, robot_model_xml
from spillguard_core.bundle.bundle import BundleError, load_bundle
from spillguard_core.bundle.guard import guard_model
from spillguard_core.bundle.site import SLOW_ZONE, load_site, site_of, with_site
from spillguard_core.gate.decision import Request
from spillguard_core.gate.reasons import Verdict
from spillguard_core.robot.world import World
from spillguard_core.tasks.pouring import TASK as POURING
from tests.core.conftest import Rig, models, resensed

SHIPPED = Path(__file__).parents[3] / "artifacts/pour_coffee"
TABLE = "boxes:\n  - {name: desk, pos: [0.35, 0, -0.125], size: [1.5, 1.5, 0.25]}\n"
WALL = "  - {name: wall, pos: [0.9, 0, 0.5], size: [0.1, 2, 1], yaw: 0.0}\n"
ZONE = "slow_zones:\n  - {name: people, min: [0.5, -1, 0], max: [1, 1, 1], speed: 0.05}\n"
ASIDE = np.array([0.6, 0.2, 0.12])
FAR = np.array([0.6, -0.6, 0.12])
LEFT = np.array([0.0, 0.2, 0.0, 0.0])


def guard_with(text: str) -> mujoco.MjModel:
    """The shipped world model among these surroundings."""
    xml = with_site(guard_model_xml().encode(), site_of(text, "lab"), GEN3, POURING)
    return guard_model(xml, "the site lab", GEN3, POURING)


def names(model: mujoco.MjModel) -> set[str]:
    return {model.geom(geom).name for geom in range(model.ngeom)}


def test_fixtures_go_and_arm_cups_and_shapes_stay() -> None:
    before = names(mujoco.MjModel.from_xml_string(guard_model_xml()))
    assert names(guard_with(TABLE + WALL)) == before - {"table_top", "machine_body"} | {"desk", "wall"}


def test_the_same_table_in_other_words_is_the_same_world() -> None:
    """Distances of the arm to the desk are those to the bundle's own table, which it copies."""
    plain = mujoco.MjModel.from_xml_string(guard_model_xml())
    low = NOMINAL_POSTURE + np.array([0.0, 0.25, 0.0, 0.1, 0.0, 0.0, 0.0])
    gaps = []
    for model, name in ((plain, "table_top"), (guard_with(TABLE), "desk")):
        near = World(model, 0.2, GEN3.joint_names, POURING.placed).near([low], [ASIDE]).close
        gaps.append(min(gap for pair, gap in near.items() if model.geom(name).id in pair))
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-9)


def test_an_mjcf_world_is_a_site_and_keeps_its_classes() -> None:
    text = (
        '<mujoco><worldbody><body pos="0.9 0 0.5"><geom name="wall" type="box" size="0.05 1 0.5" contype="4" '
        'conaffinity="7"/></body></worldbody></mujoco>'
    )
    model = guard_with(text)
    wall = model.geom("wall")
    assert wall.pos == pytest.approx([0.9, 0.0, 0.5]) and (wall.contype, wall.conaffinity) == (4, 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("boxes: []\n", "has no shape: not even a table"),
        ("walls: []\n", "needs some of the keys boxes, cylinders, name, planes, slow_zones, got walls"),
        ("just words", "needs some of the keys"),
        ("boxes: 3\n", "boxes has to be a list, got 3"),
        ("boxes: [{name: a, pos: [0, 0, 0]}]\n", "each of boxes needs name, pos, size, yaw, got name, pos"),
        ("boxes: [{name: a, pos: [0, 0], size: [1, 1, 1]}]\n", "pos of 'a' has to be 3 numbers"),
        ("boxes: [{name: a, pos: [0, 0, .nan], size: [1, 1, 1]}]\n", "pos of 'a' has to be 3 numbers"),
        ("boxes: [{name: a, pos: [0, 0, 0], size: [1, 0, 1]}]\n", "size of 'a' has to be above 0"),
        ("boxes: [{name: '', pos: [0, 0, 0], size: [1, 1, 1]}]\n", "each of boxes needs a name"),
        ("cylinders: [{name: a, pos: [0, 0, 0], radius: true, height: 1}]\n", "radius of 'a' has to be"),
        ("planes: [{name: a, pos: [0, 0, 0], normal: [0, 0, 0]}]\n", "has to point somewhere"),
        (TABLE + "slow_zones: [{name: z, min: [0, 0, 0], max: [1, 0, 1], speed: 1}]\n", "to lie below max"),
        (TABLE + "slow_zones: [{name: z, min: [0, 0, 0], max: [1, 1, 1], speed: 0}]\n", "has to be above 0"),
        (TABLE + TABLE.splitlines()[1], "'desk' has the name of one that is there"),
        (TABLE.replace("desk", "palm"), "'palm' has the name of one that is there"),
        ("boxes: [{name: far, pos: [900, 0, 0], size: [1, 1, 1]}]\n", "'far' has a place or size"),
        ("<mujoco><worldbody><body><joint/><geom size='1'/></body></worldbody></mujoco>", "stands still"),
        ("<mujoco><worldbody><geom name='g' size='1' contype='8' conaffinity='0'/></worldbody></mujoco>",
         "the geom 'g' .* can never meet"),
        ("<mujoco><include file='x.xml'/></mujoco>", "the element <include> is not allowed"),
        ("boxes: [", "site .*lab.yaml"),
    ],
)  # fmt: skip
def test_what_is_no_site_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(text)
    with pytest.raises(BundleError, match=words):
        load_bundle(SHIPPED, site=load_site(path))


def test_a_certificate_promises_nothing_elsewhere() -> None:
    bundle = load_bundle(SHIPPED, site=site_of(TABLE, "lab"))
    config = deployed_config(bundle, None)
    with pytest.raises(BundleError, match="the bundle's own fixtures, here are those of the site lab"):
        bundle.promise(config, allow_uncalibrated=False)
    said = bundle.promise(config, allow_uncalibrated=True)
    assert said.startswith("uncalibrated: its certificate was made among")


@pytest.fixture
def led() -> Callable[[str, np.ndarray], Rig]:
    """A rig that was led along a twist for 1.5 s among these surroundings, in a wide workspace."""

    def lead(text: str, twist: np.ndarray) -> Rig:
        site, rig = site_of(text, "lab"), Rig()
        world = World(guard_with(text), rig.config.clearance, GEN3.joint_names, POURING.placed)
        rig.models = replace(models(), world=world, more_rules=site.rules)
        wide = replace(rig.config.limits, workspace_min=np.full(3, -2.0), workspace_max=np.full(3, 2.0))
        rig.config = replace(rig.config, limits=wide)
        rig.tick(None, Request.RESET)
        seen = lambda: resensed(rig.inputs().measurement, target_position=FAR)  # noqa: E731
        rig.tick(twist, Request.RESUME, measurement=seen())
        for _ in range(150):
            rig.tick(twist, measurement=seen())
        return rig

    return lead


def test_a_wall_of_the_site_stops_the_arm(led: Callable[[str, np.ndarray], Rig]) -> None:
    ahead = np.array([0.2, 0.0, 0.0, 0.0])
    free, walled = led(TABLE, ahead), led(TABLE + WALL.replace("0.9,", "0.85,"), ahead)
    reach = [rig.models.tool.pose(rig.q).position[0] for rig in (free, walled)]
    assert reach[0] > 0.8 > reach[1] + 0.02
    assert walled.decision.reason.name == "COLLISION"


def test_a_slow_zone_slows_the_tool_and_nothing_else(led: Callable[[str, np.ndarray], Rig]) -> None:
    slow = ZONE.replace("0.05", "0.02")  # a tenth of what is asked for
    for text, fastest in ((TABLE, 0.2), (TABLE + slow, 0.02), (TABLE + ZONE, 0.05)):
        rig = led(text, LEFT)
        speed = np.linalg.norm(rig.models.tool.state(rig.q, rig.qd).velocity)
        assert 0.5 * fastest < speed <= fastest + 1e-3
    assert (rig.decision.reason, rig.decision.verdict) == (SLOW_ZONE, Verdict.LIMIT)
    assert rig.decision.margins["slow_zone"] >= 0.0


def test_the_description_has_the_arm_that_the_guard_has() -> None:
    assert (GEN3.folder / "model.xml").read_text() == robot_model_xml()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"forearm_link_0" size="0.0476', '"forearm_link_0" size="0.0376', "'forearm_link_0' of the robot"),
        ('"base_link_0" size="0.0513', '"base_link_0" size="0.0413', "'base_link_0' of the robot gen3 is"),
        ('<body name="forearm_link" pos="0 0.006375', '<body name="forearm_link" pos="0 0.016375',
         "the joint 'joint_4' is not where"),
    ],
)  # fmt: skip
def test_a_bundle_may_not_thin_the_arm_out(old: str, new: str, words: str) -> None:
    xml = guard_model_xml()
    assert old in xml
    with pytest.raises(BundleError, match=words):
        guard_model(xml.replace(old, new).encode(), "guard.xml", GEN3, POURING)


def test_a_joint_that_turns_about_another_axis_is_refused() -> None:
    joint = 'name="joint_4" pos="0 0 0" axis="0 {} 1"'
    xml = guard_model_xml().replace(joint.format(0), joint.format(1))
    with pytest.raises(BundleError, match="the joint 'joint_4' is not where the robot gen3 has it"):
        guard_model(xml.encode(), "guard.xml", GEN3, POURING)


def test_the_example_of_the_page_is_the_file_beside_it_and_is_taken() -> None:
    docs = Path(__file__).parents[3] / "docs"
    text = (docs / "own_cell/lab.yaml").read_text()
    assert f"```yaml\n{text}```" in (docs / "own_cell.md").read_text()
    assert len(site_of(text, "lab").shapes) == 4
    assert load_bundle(SHIPPED, site=load_site(docs / "own_cell/lab.yaml")).site is not None


def test_more_slow_zones_than_a_decision_has_time_for_are_refused() -> None:
    zone = "  - {{name: z{}, min: [0, 0, 0], max: [1, 1, 1], speed: 0.1}}\n"
    table = "planes:\n  - {name: table, pos: [0, 0, 0], normal: [0, 0, 1]}\nslow_zones:\n"
    site_of(table + "".join(map(zone.format, range(100))), "lab")
    with pytest.raises(ValueError, match="101 slow_zones; a decision has time for 100"):
        site_of(table + "".join(map(zone.format, range(101))), "lab")
