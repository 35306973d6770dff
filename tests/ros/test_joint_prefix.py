"""One of several arms in a graph: its joints and its base frame carry a prefix in every message."""

import re
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState

from sim.pouring.gen3 import GEN3
from spillguard.identify import main as identify
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import Robot
from spillguard_ros.monitor.driver import CONTROLLERS, JOINS
from spillguard_ros.node.outputs import FORWARD_CONTROLLER, Output
from spillguard_ros.operator import excite, page, page_command, proposer
from spillguard_ros.operator.caller import OperatorError
from spillguard_ros.operator.page_feed import Feed
from spillguard_ros.operator.page_scene import CellKinematics, Sight
from spillguard_ros.operator.proposer import Proposer
from spillguard_ros.recording.motion import read_motion
from tests.ros.harness import PATIENCE, MakeStage, Stage
from tests.ros.private_graph import private_ros

PREFIX = "left_"
ROOT = Path(__file__).parents[2]
LAUNCH, SHIPPED = ROOT / "launch", ROOT / "artifacts/pour_coffee"
LEFT, RIGHT = replace(GEN3, prefix=PREFIX), replace(GEN3, prefix="right_")


@pytest.fixture(params=[output.value for output in Output])
def stage(request: pytest.FixtureRequest, make_stage: MakeStage, tmp_path: Path) -> Iterator[Stage]:
    """A prefixed arm, and another one that stands still elsewhere on the same topic."""
    streamed, prefixed = request.param == Output.POSITIONS.value, {"joint_prefix": PREFIX}
    output = {"output": request.param}
    driver = {"driver_status": CONTROLLERS, "driver_parameter": JOINS}
    with make_stage() as stage:
        witness = stage.witness
        witness.joint_names = LEFT.message_joints
        stage.start("sim_arm", **prefixed, **output)
        stage.start("policy", **prefixed)
        if streamed:
            stage.start("position_streamer", **prefixed)
            driver["driver_controller"] = FORWARD_CONTROLLER
        stage.start("safety_monitor", **prefixed, **output, **driver, record=tmp_path / "flight.mcap")
        other = JointState(
            name=list(RIGHT.message_joints), position=[1.0] * 7, velocity=[0.0] * 7, effort=[0.0] * 7
        )
        publisher = witness.node.create_publisher(JointState, "joint_states", 10)
        witness.node.create_timer(0.02, lambda: publisher.publish(other))
        yield stage


def test_a_prefixed_arm_follows_beside_another_one(stage: Stage, tmp_path: Path) -> None:
    witness = stage.witness
    stage.drive()
    stage.until(lambda: stage.status["verdict"] == "PASS", PATIENCE, "a proposal that passes")
    stage.watch()
    twists = witness.node.create_publisher(TwistStamped, "teleop/twist", 1)
    twist = TwistStamped()
    twist.header.frame_id = LEFT.message_frame
    teleoperator = witness.node.create_timer(0.05, lambda: twists.publish(twist))
    stage.until(lambda: stage.status["mode"] == "teleop", PATIENCE, "a teleoperator who drives")
    witness.node.destroy_timer(teleoperator)
    witness.bring_to_rest()
    joints = {tuple(command.joint_names) for _, command in witness.heard.commands}
    assert joints == {LEFT.message_joints}
    stage.graph.signal("safety_monitor", signal.SIGINT)  # which closes its recording
    assert stage.graph.wait("safety_monitor", PATIENCE) == 0
    motion, losses = read_motion([tmp_path / "flight.mcap"], LEFT)
    assert losses == [] and len(motion.paths) > 20 and np.ptp(motion.q, axis=0).max() > 0.0
    with pytest.raises(ValueError, match="--joint-prefix"):
        read_motion([tmp_path / "flight.mcap"], GEN3)


def test_an_arm_whose_prefix_was_not_told_is_refused_by_its_names(make_stage: MakeStage) -> None:
    with make_stage() as stage:
        stage.witness.joint_names = LEFT.message_joints
        stage.start("sim_arm", joint_prefix=PREFIX)
        stage.start("safety_monitor")
        stage.settle()

        def said() -> bool:
            granted, why = stage.witness.call("safety_monitor/reset")
            return not granted and "left_joint_1" in why and "joint_1" in why

        stage.until(said, PATIENCE, "a refusal that names the joints")


def joints_of(robot: Robot, q: float) -> JointState:
    return JointState(name=list(robot.message_joints), position=[q] * 7, velocity=[0.0] * 7)


def test_the_page_draws_its_own_arm_however_often_another_one_speaks() -> None:
    bundle = load_bundle(SHIPPED)
    shown = object.__new__(page.OperatorPage)
    shown._feed, shown._newest, shown._robot, shown._task = Feed(0.0), {}, LEFT, bundle.task
    shown._cell = [], CellKinematics(bundle.guard, bundle.robot, bundle.task)
    shown._store("joint_states", joints_of(RIGHT, 1.0))
    assert shown._measured(time.monotonic())[1].arm is Sight.NEVER
    shown._store("joint_states", joints_of(LEFT, 0.1))
    shown._store("joint_states", joints_of(RIGHT, 1.0))
    assert shown._measured(time.monotonic())[1].arm is Sight.NOW
    assert not shown._feed.is_live("joint_states", time.monotonic() + 10.0)


def test_the_verbs_hand_the_prefix_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Any] = []

    def take(*args: Any) -> int:
        told.append(args)
        raise ValueError("seen")

    monkeypatch.setattr(page_command, "run_page", take)
    with pytest.raises(ValueError, match="seen"):
        page_command.main(["--joint-prefix", "007"])
    assert "joint_prefix:='007'" in told[-1][0]  # quoted: else it would be a number
    log = tmp_path / "f.mcap"
    log.touch()
    monkeypatch.setattr("spillguard.identify.read_motion", take)
    assert identify(["--joint-prefix", PREFIX, str(log)]) == 1
    assert told[-1][1].message_joints == LEFT.message_joints
    monkeypatch.setattr(excite, "load_bundle", take)
    with pytest.raises(ValueError, match="seen"):
        excite.main(["--joint-prefix", PREFIX])
    assert told[-1][1].message_joints == LEFT.message_joints


def test_who_excites_is_told_whose_joint_states_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposer, "APPEAR", 0.2)
    bundle = load_bundle(SHIPPED)
    with private_ros():
        exciter = Proposer(bundle, LEFT)
        try:
            exciter._on_joints(joints_of(RIGHT, 0.0))
            with pytest.raises(
                OperatorError, match=r"of left_joint_1, .*those of right_joint_1.*--joint-prefix"
            ):
                exciter.meet()
            exciter._on_joints(joints_of(LEFT, 0.0))
            assert exciter.pose() is not None
            monkeypatch.setattr(exciter, "posture", lambda: True)
            with pytest.raises(OperatorError, match="no safety monitor"):
                exciter.meet()
        finally:
            exciter.close()


def test_the_launch_hands_the_prefix_to_every_node_as_text() -> None:
    nodes, sim = ((LAUNCH / f"pour_{name}.launch.py").read_text() for name in ("nodes", "sim"))
    assert 'robot = {"robot": text("robot"), "joint_prefix": text("joint_prefix")}' in nodes
    assert len(re.findall(r"\s(?:robot)[,)]", nodes)) >= 4
    assert '"joint_prefix": ParameterValue(LaunchConfiguration("joint_prefix"), value_type=str)' in sim


def test_a_prefix_no_topic_could_carry_is_refused() -> None:
    for odd in ("left arm", "l\u00e9ft_", "left_\n", "x" * 65):
        with pytest.raises(ValueError, match="a joint prefix is up to 64 letters"):
            replace(GEN3, prefix=odd)
    assert replace(GEN3, prefix="x" * 64).message_frame.startswith("x" * 64)
