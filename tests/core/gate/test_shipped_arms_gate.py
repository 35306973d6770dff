"""The UR5e and the FR3 behind the gate as deployed, with the task of the tests' made-up arm."""

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
import yaml

from policy_training.deployment.export import Contents, export_bundle
from spillguard_core.bundle.bundle import BundleError, load_bundle
from spillguard_core.bundle.gate_config import LAUNCH, gate_config
from spillguard_core.bundle.guard import guard_model
from spillguard_core.bundle.manifest import Provenance, Threshold
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Request
from spillguard_core.gate.gate import initial_decision
from spillguard_core.robot.arm import load_robot
from spillguard_description import ROBOTS
from tests.core.gate.test_made_up_arm import Stand
from tests.made_up.bundle import ToTheBall, offered
from tests.made_up.touch import TASK
from tests.ros.bundles import CalmCritic

BALL = np.array([0.5, -0.35, 0.2])  # [m]
AROUND = """<worldbody><geom name="floor" type="box" pos="0 0 -0.1" size="1.5 1.5 0.1"/>
  <geom name="post" type="cylinder" pos="0.45 0.35 0.4" size="0.05 0.4"/>
  <body name="ball" pos="0.5 -0.35 0.2"><geom name="ball" type="sphere" size="0.03"/></body></worldbody>"""


def world_xml(name: str) -> str:
    """MJCF of a shipped arm on a floor, with a post to run into, and the ball."""
    root = ElementTree.fromstring((ROBOTS / name / "model.xml").read_text())
    bodies = root.find("worldbody")
    assert bodies is not None
    bodies.extend(ElementTree.fromstring(AROUND))
    return ElementTree.tostring(root, encoding="unicode")


@pytest.fixture(scope="module", params=["ur5e", "fr3"])
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def bundle(name: str, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(offered(tmp_path_factory.mktemp("site-packages")))
        obs = np.random.default_rng(0).uniform(-0.5, 0.5, (16, 3)).astype(np.float32)
        contents = Contents(
            policy=ToTheBall(), safety_critic=CalmCritic(), observations=obs, guard_xml=world_xml(name),
            task=TASK.name, terms=("tip_to_ball",), threshold=Threshold(None, "uncalibrated"),
            provenance=Provenance("test", 0, "0" * 40, {}, {}, {}), robot=name,
        )  # fmt: skip
        yield export_bundle(contents, tmp_path_factory.mktemp("touch") / "bundle")


@pytest.fixture
def stand(name: str, bundle: Path) -> Stand:
    loaded = load_bundle(bundle, load_robot(name))
    parameters = yaml.safe_load((LAUNCH / "params/safety_monitor.yaml").read_text())["/**"]["ros__parameters"]
    config, joints = gate_config(parameters, loaded), len(loaded.robot.joint_names)
    rest, still = loaded.robot.rest.copy(), np.zeros(joints)
    stand = Stand(loaded.models(config), config, initial_decision(joints, 3), rest, still, ball=BALL.copy())
    for _ in range(40):
        stand.decide(None)
    stand.decide(None, Request.RESET)
    stand.decide(np.zeros(3), Request.RESUME)
    assert stand.decision.mode is Mode.FOLLOWING
    return stand


@pytest.mark.parametrize("after", [0.01, 0.05])
@pytest.mark.parametrize(
    "action", [(0.0, 0.0, -0.3), (0.0, 0.3, 0.0), (-0.3, 0.0, 0.0), (0.3, 0.0, 0.0), (0.05, -0.3, -0.1)]
)
def test_no_push_brings_the_arm_out_of_its_limits(
    stand: Stand, action: tuple[float, ...], after: float
) -> None:
    """Towards the floor, the post, itself, the end of its reach, and the ball."""
    limits, world, met = stand.config.limits, stand.models.world, set()
    assert world is not None
    before = stand.models.tool.pose(stand.q).position
    for _ in range(round(6.0 / after)):
        met.add(stand.decide(np.array(action), after=after).reason)
        assert stand.decision.mode is Mode.FOLLOWING
        assert (stand.q >= limits.position_min - 1e-6).all() and (stand.q <= limits.position_max + 1e-6).all()
        assert (np.abs(stand.qd) <= limits.velocity + 1e-6).all()
        assert world.near([stand.q], [BALL]).least >= stand.config.clearance - 1e-3
        tip = stand.models.tool.pose(stand.q).position
        assert (tip >= limits.workspace_min - 1e-3).all() and (tip <= limits.workspace_max + 1e-3).all()
    assert np.linalg.norm(stand.models.tool.pose(stand.q).position - before) > 0.05
    assert reasons.OK in met and met - {reasons.OK}


def test_a_bundle_may_not_have_less_of_the_arm(name: str) -> None:
    """One capsule thinner, or one joint elsewhere, in the bundle's world model."""
    robot, text = load_robot(name), world_xml(name)
    guard_model(text.encode(), "guard.xml", robot, TASK)
    for attribute, element in (("size", ".//body/body/geom"), ("pos", ".//body/body")):
        root = ElementTree.fromstring(text)
        found = root.find(element)
        assert found is not None
        found.set(attribute, "0.01" if attribute == "size" else "0 0 0.2")
        with pytest.raises(BundleError, match=r"smaller|is not where the robot"):
            guard_model(ElementTree.tostring(root), "guard.xml", robot, TASK)
    assert mujoco.MjModel.from_xml_string(text).ngeom > 10
