"""The operator's services, through real processes in a namespace of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.decision import Verdict
from spillguard_ros.convert import status_values
from spillguard_ros.graph import private_environment
from spillguard_ros.operator import COMMAND
from tests.ros.harness import MOVED, STILL, MakeStage, Stage


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", "safety_monitor", namespace="/left") as stage:
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """Stopped, at rest, every process alive and talking, whatever was before."""
    for node in cell.graph.dead():
        cell.start(node)
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


def text(name: str, value: str) -> Parameter:
    return Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value))


def number(name: str, value: float) -> Parameter:
    return Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value))


def whole(name: str, value: int) -> Parameter:
    return Parameter(
        name=name, value=ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    )


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ([], "needed are reason (string) and seconds (double), got nothing"),
        ([text("reason", "x")], "got reason (string)"),
        ([number("seconds", 1.0)], "got seconds (double)"),
        ([text("reason", "x"), whole("seconds", 1)], "got reason (string), seconds (integer)"),
        ([number("reason", 1.0), number("seconds", 1.0)], "got reason (double), seconds (double)"),
        ([text("reason", "x"), text("seconds", "1")], "got reason (string), seconds (string)"),
        ([text("reason", "x"), number("seconds", 1.0), number("clearance", 0.0)], "clearance (double)"),
        ([text("reason", "x"), number("seconds", 1.0), number("seconds", 2.0)], "seconds (double), seconds"),
        ([text("reason", "x"), number("duration", 1.0)], "got reason (string), duration (double)"),
        ([text("reason", " "), number("seconds", 1.0)], "a reason of one line is needed, got ' '"),
        ([text("reason", "x" * 201), number("seconds", 1.0)], "201 characters, allowed are 200"),
        ([text("reason", "x"), number("seconds", 60.5)], "seconds is 60.5, it has to be above 0 and at most"),
        ([text("reason", "x"), number("seconds", float("nan"))], "seconds is nan"),
    ],
)
def test_malformed_suspension_is_refused_with_what_is_allowed(
    stage: Stage, parameters: list[Parameter], answer: str
) -> None:
    stage.witness.insist("safety_monitor/reset", 2.0)
    request = SetParametersAtomically.Request(parameters=parameters)
    service = "safety_monitor/suspend_critic"
    result = stage.witness.ask(service, SetParametersAtomically, request).result
    assert not result.successful
    assert answer in result.reason
    assert reported(stage)["suspension"] == ""


def spillguard(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, in the graph of the stage."""
    command = [sys.executable, "-m", "policy_training.cli", "operator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_command_line_speaks_to_the_monitor(stage: Stage) -> None:
    stage.witness.heard.clear()
    for verb, status, said in (
        ("resume", 1, "refused: stopped: reset first"),
        ("reset", 0, "reset and holding; resume to move"),
        ("resume", 0, "following the policy, or the teleoperator while it speaks"),
        ("hold", 0, "holding; resume to go on"),
        ("restore-critic", 0, "the critic is not suspended any more"),
        ("stop", 0, "stopped; reset, then resume to go on"),
    ):
        ended = spillguard(verb, "--namespace", "left")
        assert (ended.returncode, (ended.stderr if status else ended.stdout).strip()) == (status, said)
    stage.until(stage.witness.stopped, 2.0, "STOP")


def test_command_line_suspends_the_critic_and_shows_the_status(stage: Stage) -> None:
    stage.witness.insist("safety_monitor/reset", 2.0)
    asked = ("suspend-critic", "--reason", "the cup is empty", "--namespace", "/left", "--seconds")
    refused = spillguard(*asked, "61")
    assert refused.returncode == 1
    assert "refused: seconds is 61.0, it has to be above 0 and at most 60.0" in refused.stderr
    assert spillguard(*asked, "30").stdout.strip() == "the critic is suspended for 30.0 s: the cup is empty"
    shown = spillguard("status", "--namespace", "/left")
    assert shown.returncode == 0
    assert "critic suspended: the cup is empty, 2" in shown.stdout  # of 30 s
    assert "margin_position [rad]" in shown.stdout


def test_command_line_says_that_nobody_answers() -> None:
    code = (
        "import sys\nfrom spillguard_ros import operator, operator_command\n"
        "operator.SERVICE_TIMEOUT = 0.3\nsys.exit(operator_command.main(['hold', '--namespace', '/nowhere']))"
    )
    environment = {**os.environ, **private_environment()}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert ended.returncode == 2
    assert "service safety_monitor/hold did not appear" in ended.stderr
