"""The operator's services, through real processes in a namespace of their own."""

import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.decision import Verdict
from spillguard_ros.convert import status_values
from spillguard_ros.operator import COMMAND
from tests.ros.harness import MOVED, STILL, MakeStage, Stage


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", "safety_monitor", namespace="/left") as stage:
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """Stopped, at rest, every process alive and talking."""
    cell.until(lambda: len(cell.witness.heard.proposals) > 3, 10.0, "a proposal")
    cell.witness.bring_to_rest()
    cell.settle()
    return cell


def test_every_cycle_is_reported_and_every_second_to_the_diagnostics(stage: Stage) -> None:
    heard = stage.witness.heard
    stage.until(lambda: bool(heard.status and heard.diagnostics), 10.0, "status and diagnostics")
    heard.clear()
    stage.witness.spin(3.0)
    assert 240 <= len(heard.status) <= 310  # 100 Hz, on a machine that may be busy
    assert 2 <= len(heard.diagnostics) <= 4
    cycles = [int(status_values(message.status[0])["cycle"]) for message in heard.status]
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))
    shown = status_values(heard.status[-1].status[0])
    assert (shown["verdict"], shown["mode"], shown["sent"]) == ("STOP", "stopped", "false")
    assert shown["reason"] in ("NOT_RESET", "OPERATOR_STOP")


def test_nothing_moves_before_a_reset(stage: Stage) -> None:
    granted, message = stage.witness.call("safety_monitor/resume")
    stage.witness.spin(1.0)
    assert not granted
    assert "reset first" in message
    assert len(stage.witness.heard.proposals) > 10  # the policy would like to
    assert not stage.witness.heard.commands
    assert stage.witness.travel() < MOVED


def test_reset_alone_moves_nothing_and_resume_does(stage: Stage) -> None:
    stage.witness.insist("safety_monitor/reset", 2.0)
    stage.witness.heard.clear()
    stage.witness.spin(0.5)
    assert stage.witness.travel() < MOVED
    stage.witness.insist("safety_monitor/resume", 1.0)
    stage.until(stage.witness.moving, 2.0, "motion")


def test_hold_brings_to_rest_and_resume_goes_on(stage: Stage) -> None:
    stage.witness.open_gate()
    stage.until(stage.witness.moving, 2.0, "motion")
    stage.witness.insist("safety_monitor/hold", 1.0)
    stage.until(stage.witness.still, 1.0, "rest")
    stage.witness.heard.clear()
    stage.witness.spin(0.5)
    assert stage.witness.travel() < MOVED
    stage.witness.insist("safety_monitor/resume", 1.0)
    stage.until(stage.witness.moving, 2.0, "motion after resume")


def test_stop_latches_until_reset(stage: Stage) -> None:
    stage.witness.open_gate()
    stage.until(stage.witness.moving, 2.0, "motion")
    stage.witness.insist("safety_monitor/stop", 1.0)
    stage.until(stage.witness.still, 1.0, "rest")
    assert not stage.witness.call("safety_monitor/resume")[0]
    assert stage.witness.call("safety_monitor/hold")  # whatever it answers, it opens nothing
    stage.witness.heard.clear()
    stage.witness.spin(0.7)
    assert stage.witness.stopped()
    assert stage.witness.travel() < MOVED
    stage.witness.open_gate()
    stage.until(stage.witness.moving, 2.0, "motion after reset and resume")


def test_joint_states_that_stop_coming_stop_the_arm_until_reset(stage: Stage) -> None:
    stage.witness.open_gate()
    stage.until(stage.witness.moving, 2.0, "motion")
    stage.graph.signal("sim_arm", signal.SIGSTOP)
    stage.until(stage.witness.stopped, 1.0, "STOP")
    stage.graph.signal("sim_arm", signal.SIGCONT)
    stage.witness.spin(0.7)
    assert stage.witness.stopped()
    assert stage.witness.still()
    stage.witness.open_gate()
    stage.until(stage.witness.moving, 2.0, "motion after reset and resume")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_last_message_of_a_terminated_monitor_is_a_stop(stage: Stage, number: signal.Signals) -> None:
    stage.witness.open_gate()
    stage.until(stage.witness.moving, 2.0, "motion")
    asked = time.monotonic()
    stage.graph.signal("safety_monitor", number)
    assert stage.graph.wait("safety_monitor", 1.0) == 0
    assert time.monotonic() - asked < 1.0
    stage.witness.spin(0.1)
    points = stage.witness.heard.commands[-1][1].points
    speeds = [float(np.abs(point.velocities).max()) for point in points]
    # Braking from the first point on: no coasting, and at rest within 0.28 s (1.39 rad/s at 5 rad/s^2).
    assert speeds == sorted(speeds, reverse=True)
    assert len(points) <= 2
    assert speeds[-1] == 0.0
    stage.witness.spin(0.4)
    assert stage.witness.speed() < STILL
    stage.start("safety_monitor")
    stage.witness.verdict = float("nan")
    stage.until(lambda: stage.witness.verdict == Verdict.STOP, 10.0, "a new monitor, closed")


def reported(stage: Stage) -> dict[str, str]:
    """The monitor's newest status."""
    return status_values(stage.witness.heard.status[-1].status[0])


def test_another_writer_on_the_command_topic_stops_the_arm_until_it_is_gone(stage: Stage) -> None:
    witness, node = stage.witness, stage.witness.node
    witness.open_gate()
    stage.until(witness.moving, 2.0, "motion")
    rogue = node.create_publisher(JointTrajectory, COMMAND, 1)
    try:
        stage.until(lambda: reported(stage)["reason"] == "FOREIGN_WRITER", 2.0, "an alarm")
        assert (reported(stage)["verdict"], reported(stage)["command_writers"]) == ("STOP", "2")
        stage.until(witness.still, 1.0, "rest")
        granted, message = witness.call("safety_monitor/reset")
        assert not granted
        assert "another node" in message
    finally:
        node.destroy_publisher(rogue)
    stage.until(lambda: witness.call("safety_monitor/reset")[0], 3.0, "a reset once the other is gone")
    witness.insist("safety_monitor/resume", 1.0)
    stage.until(witness.moving, 2.0, "motion")
