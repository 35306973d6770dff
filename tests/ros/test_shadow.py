"""A monitor in shadow, through real processes: it looks on, and nothing of it can command the arm."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from trajectory_msgs.msg import JointTrajectory

from sim.pouring.gen3 import JOINT_NAMES
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.decision import Mode
from spillguard_core.gate.refusal import LOOKS_ON
from spillguard_core.gate.trajectory import Trajectory
from spillguard_ros.monitor.driver import JOINS
from spillguard_ros.node import convert
from spillguard_ros.node.outputs import POSITIONS
from spillguard_ros.operator.client import COMMAND
from spillguard_ros.recording.recording import read_flight, replay
from tests.ros.harness import LATE, MOVED, PATIENCE, MakeStage, Stage, change

AWAY = np.array([0.06, 0.0, 0.0, 0.06, 0.0, 0.0, 0.0])  # [rad]
SECONDS = 1.0


class Mover:
    """Somebody else who moves the arm, there and back, past the monitor."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._there = stage, False
        self._publisher = stage.witness.node.create_publisher(JointTrajectory, COMMAND, 1)

    def move(self) -> None:
        """One way."""
        witness = self._stage.witness
        q = witness.heard.joints[-1][1]
        goal = q + (-AWAY if self._there else AWAY)
        self._there = not self._there
        still = np.zeros_like(q)
        path = Trajectory(np.array([0.0, SECONDS]), np.array([q, goal]), np.array([still, still]))
        stamp = witness.node.get_clock().now().to_msg()
        self._publisher.publish(convert.to_trajectory(JOINT_NAMES, path, stamp))
        witness.spin(SECONDS)

    def leave(self) -> None:
        """The arm is nobody's again."""
        self._stage.witness.node.destroy_publisher(self._publisher)


def commanders(stage: Stage) -> tuple[int, int]:
    """Publishers in the running graph of trajectories and of positions for the arm."""
    node = stage.witness.node
    return node.count_publishers(COMMAND), node.count_publishers(POSITIONS)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shadow") / "shadow.mcap"


@pytest.fixture(scope="module")
def stage(make_stage: MakeStage, recording: Path) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy") as stage:
        stage.start("safety_monitor", shadow=True, record=recording)
        stage.news()
        yield stage


def test_a_guarded_monitor_has_the_one_publisher_that_a_shadow_lacks(make_stage: MakeStage) -> None:
    with make_stage("sim_arm", "safety_monitor") as guarded:
        guarded.news()
        assert commanders(guarded) == (1, 0)


def test_in_shadow_no_publisher_of_commands_is_ever_created(stage: Stage) -> None:
    assert stage.news()["mode"] == "shadow"
    assert commanders(stage) == (0, 0)
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert change(stage, transition)
        stage.watch(5)
        assert commanders(stage) == (0, 0)
    assert stage.news()["mode"] == "shadow"
    assert not stage.witness.heard.commands


def test_where_positions_are_streamed_a_shadow_has_no_streamer_and_misses_none(stage: Stage) -> None:
    node, heard = stage.witness.node, list[DiagnosticArray]()
    node.create_subscription(DiagnosticArray, "/aside/safety_monitor/status", heard.append, 10)
    asked = {"bundle": stage.bundle, "shadow": True, "output": "positions", "driver_parameter": JOINS}
    stage.graph.start("aside", "safety_monitor", asked, "-r", "__ns:=/aside")
    stage.until(lambda: bool(heard), PATIENCE, "a status")
    said = convert.status_values(heard[-1].status[0])
    assert (said["mode"], said["driver"]) == ("shadow", "")
    assert [node.count_publishers(f"/aside/{topic}") for topic in (COMMAND, POSITIONS)] == [0, 0]


@pytest.mark.parametrize("service", ["reset", "resume", "stop", "hold", "restore_critic"])
def test_nothing_can_be_asked_of_it(stage: Stage, service: str) -> None:
    """Least of all may somebody believe that it has stopped the arm."""
    assert stage.witness.call(f"safety_monitor/{service}") == (False, LOOKS_ON)
    assert stage.news()["mode"] == "shadow"


def test_every_status_says_shadow_and_none_that_it_follows(stage: Stage) -> None:
    heard = stage.witness.heard
    stage.watch(100)
    stage.until(lambda: bool(heard.diagnostics), PATIENCE, "diagnostics")
    said = [array.status[0] for array in (*heard.status, *heard.diagnostics)]
    assert {convert.status_values(status)["mode"] for status in said} == {"shadow"}
    assert {convert.status_values(status)["sent"] for status in said} == {"false"}
    assert all(status.message.startswith("SHADOW: nothing is sent; it would be ") for status in said)
    assert not any("following" in status.message for status in said)


def test_it_judges_the_arm_as_somebody_else_moves_it(stage: Stage) -> None:
    """Another commander, and an arm that follows no command of ours, are what a shadow is for."""
    mover, witness = Mover(stage), stage.witness
    stage.watch(10)
    passed: set[str] = set()
    while not ("OK" in passed and witness.travel() > 2 * MOVED):
        mover.move()
        passed |= {convert.status_values(array.status[0])["reason"] for array in witness.heard.status}
        assert passed <= {"OK", "VELOCITY_LIMIT", *LATE}, stage.logs()
    assert commanders(stage) == (1, 0)  # that is the mover
    mover.leave()
    # What was late is over at once: nothing latches, nobody resets.
    stage.until(lambda: stage.status["reason"] == "OK", PATIENCE, "a proposal that would pass")


def test_the_recording_carries_it_and_replays_to_equal_decisions(stage: Stage, recording: Path) -> None:
    stage.watch(50)
    stage.graph.signal("safety_monitor", signal.SIGINT)
    stage.graph.wait("safety_monitor", PATIENCE)
    recorded = read_flight(recording)
    assert recorded.config.shadow
    assert {cycle.decision.mode for cycle in recorded.cycles} == {Mode.SHADOW}
    assert not any(cycle.decision.send or cycle.decision.anchored for cycle in recorded.cycles)
    models = load_bundle(stage.bundle).models(recorded.config)
    assert replay(recorded, models) == []
