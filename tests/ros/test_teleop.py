"""A teleoperator and a suspended critic, through real processes and in their recordings."""

import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from rclpy.publisher import Publisher

from sim.pouring.gen3 import GEN3
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GUARDED
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.node.actions import ActionMessages
from spillguard_ros.node.convert import status_values
from spillguard_ros.recording import flight
from spillguard_ros.recording.recording import Flight, read_flight, replay
from tests.ros.harness import MOVED, PATIENCE, MakeStage, Stage

UP = [0.0, 0.0, 0.05, 0.0]
MESSAGES = ActionMessages(POURING, GEN3)


class Joystick:
    """A teleoperator's input device."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._publisher: Publisher = stage.witness.node.create_publisher(TwistStamped, "teleop/twist", 1)

    def push(self, values: list[float], duration: float, frame: str = GEN3.base_frame) -> None:
        """Publish the same twist at 20 Hz, without a stamp."""
        for _ in range(round(20 * duration)):
            msg = MESSAGES.message(np.array(values), TwistStamped().header.stamp)
            msg.header.frame_id = frame
            self._publisher.publish(msg)
            self._stage.witness.spin(0.05)

    def push_until(
        self, values: list[float], condition: Callable[[], bool], frame: str = GEN3.base_frame
    ) -> None:
        """Publish it until the condition holds. A stop or silence caused by a busy machine is undone."""
        stage, deadline = self._stage, time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{stage.status}\n{stage.logs()}"
            if stage.halted_for_being_late():
                stage.witness.open_gate()
            elif stage.status["reason"] == "TELEOP_SILENT":
                stage.witness.call("safety_monitor/resume")
            self.push(values, 0.05, frame)


def reported(stage: Stage) -> dict[str, str]:
    """The monitor's newest status."""
    return stage.status


def drives(stage: Stage) -> bool:
    """Whether the teleoperator drives."""
    seen = reported(stage)
    return (seen["mode"], seen["twist_sent"]) == ("teleop", "0.0000 0.0000 0.0500 0.0000")


def fall_silent(stage: Stage, joystick: "Joystick") -> None:
    """The teleoperator drives, then stops publishing; the arm comes to rest."""
    joystick.push_until(UP, lambda: drives(stage))
    while True:  # a busy machine may stop it earlier
        stage.until(lambda: reported(stage)["mode"] in ("held", "stopped"), PATIENCE, "a hold")
        if not stage.halted_for_being_late():
            break
        stage.witness.open_gate()
        joystick.push_until(UP, lambda: drives(stage))
    assert reported(stage)["reason"] == "TELEOP_SILENT"
    stage.rest()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flight") / "flight.mcap"


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage, recording: Path) -> Iterator[Stage]:
    """Everything is recorded."""
    with make_stage("sim_arm", "policy", namespace="/left") as stage:
        stage.start("safety_monitor", record=recording)
        stage.until(lambda: len(stage.witness.heard.proposals) > 3, PATIENCE, "a proposal")
        stage.witness.open_gate()
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """The policy moves the arm, whatever the previous test left."""
    cell.until(lambda: cell.news()["mode"] != "teleop", PATIENCE, "a teleoperator who has fallen silent")
    cell.drive()
    return cell


@pytest.fixture(scope="module")
def joystick(cell: Stage) -> Joystick:
    return Joystick(cell)


def test_teleoperator_drives_while_it_speaks(stage: Stage, joystick: Joystick) -> None:
    def refused() -> bool:
        if not drives(stage):
            return False
        granted, message = stage.witness.call("safety_monitor/resume")
        return not granted and "teleoperator drives" in message

    joystick.push_until(UP, refused)


def test_silent_teleoperator_holds_although_the_policy_goes_on(stage: Stage, joystick: Joystick) -> None:
    fall_silent(stage, joystick)
    stage.watch(10)
    proposals = stage.witness.heard.proposals
    stage.until(lambda: len(proposals) > 5, PATIENCE, "a policy that would like to")
    assert stage.witness.travel() < MOVED
    assert stage.news()["mode"] == "held" or stage.halted_for_being_late()


def test_held_arm_does_not_hear_a_teleoperator_before_a_resume(stage: Stage, joystick: Joystick) -> None:
    fall_silent(stage, joystick)
    stage.watch(10)
    joystick.push(UP, 0.7)
    assert stage.witness.travel() < MOVED
    joystick.push_until(UP, lambda: drives(stage))  # after a resume
    fall_silent(stage, joystick)
    stage.resume()
    assert reported(stage)["mode"] == "following" or stage.halted_for_being_late()


@pytest.mark.parametrize(
    ("values", "frame"), [([float("nan"), 0.0, 0.0, 0.0], GEN3.base_frame), (UP, "tool_frame"), (UP, "")]
)
def test_message_that_is_no_twist_in_the_base_frame_holds(
    stage: Stage, joystick: Joystick, values: list[float], frame: str
) -> None:
    joystick.push_until(values, lambda: reported(stage)["reason"] == "TELEOP_INVALID", frame)
    joystick.push_until(values, stage.witness.still, frame)
    stage.until(lambda: reported(stage)["reason"] != "TELEOP_INVALID", PATIENCE, "silence")
    assert reported(stage)["reason"] == "TELEOP_SILENT" or stage.halted_for_being_late()
    stage.drive()  # a resume is refused for a moment, and a message under way for long holds once more


def test_suspension_is_told_and_ends_by_itself(stage: Stage) -> None:
    heard = stage.witness.heard.status
    heard.clear()
    assert stage.witness.suspend_critic("the cup is empty", 1.0)[0]
    told = lambda: [m.status[0] for m in heard if status_values(m.status[0])["suspension"]]  # noqa: E731
    stage.until(lambda: bool(told()), PATIENCE, "a suspension")
    assert "critic suspended: the cup is empty, " in told()[0].message and " s left" in told()[0].message
    assert status_values(told()[0])["q_c"] == "0.0000"
    stage.until(lambda: reported(stage)["suspension"] == "", PATIENCE, "its end")
    log = stage.graph.log("safety_monitor").read_text()
    for line in ("the critic is suspended: the cup is empty", "suspension of the critic has ended: the cup"):
        assert any("[WARN]" in entry and line in entry for entry in log.splitlines())


@pytest.fixture(scope="module")
def flown(cell: Stage, recording: Path) -> Flight:
    """Requested last: the monitor ends, and its recording is read."""
    cell.witness.bring_to_rest()
    cell.graph.signal("safety_monitor", signal.SIGINT)
    assert cell.graph.wait("safety_monitor", PATIENCE) == 0
    return read_flight(recording)


def test_command_never_jumped(flown: Flight) -> None:
    config = flight.decode_config(flown.metadata["config"])
    changes = 0
    for before, after in pairwise(cycle.decision for cycle in flown.cycles):
        changes += before.mode is not after.mode
        if not (before.send and after.send):
            continue
        # A late decision starts where the previous path stands by then; an early one leaves the end of the
        # ramp unfinished.
        passed = after.decided - before.decided
        elapsed = (max(config.period, passed) + max(config.period - passed, 0.0)) * (1.0 + 1e-6)
        assert (np.abs(after.qd - before.qd) <= config.limits.acceleration * elapsed).all()
        assert (np.abs(after.qd - after.start_qd) <= config.limits.acceleration * elapsed).all()
        assert (np.abs(after.q - before.q) <= config.limits.velocity * (elapsed + config.period)).all()
    assert changes > 8


def test_flight_with_teleoperator_and_suspension_is_replayed_bit_for_bit(flown: Flight, cell: Stage) -> None:
    decisions = [cycle.decision for cycle in flown.cycles]
    assert {decision.mode for decision in decisions} == set(GUARDED)
    assert {reasons.TELEOP_SILENT, reasons.TELEOP_INVALID} <= {decision.reason for decision in decisions}
    assert any(decision.suspension is not None for decision in decisions)
    config = flight.decode_config(flown.metadata["config"])
    models = load_bundle(cell.bundle).models(config)
    assert replay(flown, models) == []
