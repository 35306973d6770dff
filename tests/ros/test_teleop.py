"""A teleoperator and a suspended critic, through real processes and in what they recorded."""

import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from rclpy.publisher import Publisher

from spillguard_core.arm import JOINT_NAMES
from spillguard_core.bundle import load_bundle
from spillguard_core.decision import Mode, Reason
from spillguard_ros import flight
from spillguard_ros.convert import status_values, to_twist
from spillguard_ros.recording import Flight, read_flight, replay
from spillguard_ros.sensors import BASE_FRAME
from tests.ros.harness import MOVED, MakeStage, Stage

UP = [0.0, 0.0, 0.05, 0.0]


class Joystick:
    """A teleoperator's hand."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._publisher: Publisher = stage.witness.node.create_publisher(TwistStamped, "teleop/twist", 1)

    def push(self, values: list[float], duration: float, frame: str = BASE_FRAME) -> None:
        """Say the same twist at 20 Hz, without a stamp."""
        for _ in range(round(20 * duration)):
            msg = to_twist(np.array(values), frame, TwistStamped().header.stamp)
            self._publisher.publish(msg)
            self._stage.witness.spin(0.05)


def reported(stage: Stage) -> dict[str, str]:
    """The monitor's newest status."""
    return status_values(stage.witness.heard.status[-1].status[0])


def until_reported(stage: Stage, reason: str) -> None:
    stage.until(lambda: reported(stage)["reason"] == reason, 2.0, reason)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flight") / "flight.mcap"


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage, recording: Path) -> Iterator[Stage]:
    """Everything is recorded."""
    with make_stage("sim_arm", "policy", namespace="/left") as stage:
        stage.start("safety_monitor", record=recording)
        stage.until(lambda: len(stage.witness.heard.proposals) > 3, 10.0, "a proposal")
        stage.witness.open_gate()
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """The policy moves the arm, whatever was before."""
    cell.until(lambda: bool(cell.witness.heard.status), 2.0, "a status")
    if cell.witness.stopped():
        cell.witness.open_gate()
    elif reported(cell)["mode"] != "following":
        cell.witness.insist("safety_monitor/resume", 2.0)
    cell.until(cell.witness.moving, 3.0, "motion")
    return cell


@pytest.fixture(scope="module")
def joystick(cell: Stage) -> Joystick:
    return Joystick(cell)


def test_teleoperator_drives_while_it_speaks(stage: Stage, joystick: Joystick) -> None:
    joystick.push(UP, 1.0)
    assert (reported(stage)["mode"], reported(stage)["twist_sent"]) == (
        "teleop",
        "0.0000 0.0000 0.0500 0.0000",
    )
    granted, message = stage.witness.call("safety_monitor/resume")
    assert not granted and "teleoperator drives" in message


def test_silent_teleoperator_holds_although_the_policy_goes_on(stage: Stage, joystick: Joystick) -> None:
    joystick.push(UP, 0.3)
    until_reported(stage, "TELEOP_SILENT")
    stage.until(stage.witness.still, 1.0, "rest")
    stage.witness.spin(0.2)
    stage.witness.heard.clear()
    stage.witness.spin(0.7)
    assert len(stage.witness.heard.proposals) > 5  # the policy would like to
    assert stage.witness.travel() < MOVED
    assert reported(stage)["mode"] == "held"


def test_held_arm_does_not_hear_a_teleoperator_before_a_resume(stage: Stage, joystick: Joystick) -> None:
    joystick.push(UP, 0.3)
    until_reported(stage, "TELEOP_SILENT")
    stage.until(stage.witness.still, 1.0, "rest")
    stage.witness.spin(0.2)
    stage.witness.heard.clear()
    joystick.push(UP, 0.7)
    assert stage.witness.travel() < MOVED
    stage.witness.insist("safety_monitor/resume", 1.0)
    joystick.push(UP, 0.3)
    stage.until(lambda: reported(stage)["mode"] == "teleop", 2.0, "the teleoperator's turn")
    until_reported(stage, "TELEOP_SILENT")
    stage.witness.insist("safety_monitor/resume", 1.0)
    stage.until(lambda: reported(stage)["mode"] == "following", 2.0, "the policy's turn")
    stage.until(stage.witness.moving, 2.0, "motion by the policy")


@pytest.mark.parametrize(
    ("values", "frame"), [([float("nan"), 0.0, 0.0, 0.0], BASE_FRAME), (UP, "tool_frame"), (UP, "")]
)
def test_message_that_is_no_twist_in_the_base_frame_holds(
    stage: Stage, joystick: Joystick, values: list[float], frame: str
) -> None:
    joystick.push(values, 0.5, frame)
    until_reported(stage, "TELEOP_INVALID")
    stage.until(stage.witness.still, 1.0, "rest")
    until_reported(stage, "TELEOP_SILENT")
    stage.witness.insist("safety_monitor/resume", 1.0)
    stage.until(stage.witness.moving, 2.0, "motion by the policy")


def test_suspension_is_told_and_ends_by_itself(stage: Stage) -> None:
    assert stage.witness.suspend_critic("the cup is empty", 1.0)[0]
    stage.until(lambda: reported(stage)["suspension"] != "", 1.0, "a suspension")
    said = stage.witness.heard.status[-1].status[0].message
    assert "critic suspended: the cup is empty, " in said and " s left" in said
    assert reported(stage)["q_c"] == "0.0000"
    stage.until(lambda: reported(stage)["suspension"] == "", 2.0, "its end")
    log = stage.graph.log("safety_monitor").read_text()
    for line in ("the critic is suspended: the cup is empty", "suspension of the critic has ended: the cup"):
        assert any("[WARN]" in entry and line in entry for entry in log.splitlines())


@pytest.fixture(scope="module")
def flown(cell: Stage, recording: Path) -> Flight:
    """Asked for last: the monitor ends, and what it has recorded is read."""
    cell.witness.bring_to_rest()
    cell.graph.signal("safety_monitor", signal.SIGINT)
    assert cell.graph.wait("safety_monitor", 2.0) == 0
    return read_flight(recording)


def test_command_never_jumped(flown: Flight) -> None:
    config = flight.decode_config(flown.metadata["config"])
    changes = 0
    for before, after in pairwise(cycle.decision for cycle in flown.cycles):
        changes += before.mode is not after.mode
        if not (before.send and after.send):
            continue
        # A decision that comes late goes on from where the one before would have got by itself.
        elapsed = max(config.period, after.decided - before.decided) * (1.0 + 1e-6)
        assert (np.abs(after.qd - before.qd) <= config.limits.acceleration * elapsed).all()
        assert (np.abs(after.q - before.q) <= config.limits.velocity * (elapsed + config.period)).all()
    assert changes > 8


def test_flight_with_teleoperator_and_suspension_is_replayed_bit_for_bit(flown: Flight, cell: Stage) -> None:
    decisions = [cycle.decision for cycle in flown.cycles]
    assert {decision.mode for decision in decisions} == set(Mode)
    assert {Reason.TELEOP_SILENT, Reason.TELEOP_INVALID} <= {decision.reason for decision in decisions}
    assert any(decision.suspension is not None for decision in decisions)
    config = flight.decode_config(flown.metadata["config"])
    models = load_bundle(cell.bundle, JOINT_NAMES).models(config.clearance)
    assert replay(flown, models) == []
