"""The operator's services, through real processes in a namespace."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from trajectory_msgs.msg import JointTrajectory

from spillguard_ros.node.convert import status_values
from spillguard_ros.operator.client import COMMAND
from spillguard_sim.graph import private_environment
from tests.ros.harness import LATE, MOVED, PATIENCE, MakeStage, Stage, asks_for_rest


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", "safety_monitor", namespace="/left") as stage:
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """Stopped, at rest, every process alive and publishing, whatever the previous test left."""
    for node in cell.graph.dead():
        cell.start(node)
    cell.witness.heard.proposals.clear()
    cell.until(lambda: len(cell.witness.heard.proposals) > 3, PATIENCE, "a proposal")
    cell.witness.bring_to_rest()
    cell.settle()
    cell.news()
    return cell


def test_cycles_are_reported_in_order_and_now_and_then_to_the_diagnostics(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    """That no cycle is missing, and how often they come: `tests/simulated`."""
    heard = stage.witness.heard
    heard.clear()
    stage.until(lambda: len(heard.diagnostics) > 2 and len(heard.status) > 200, PATIENCE, "reports")
    cycles = [int(status_values(message.status[0])["cycle"]) for message in heard.status]
    assert cycles == sorted(set(cycles))
    assert len(heard.diagnostics) < 0.1 * len(cycles)
    record_property("lost on the way", cycles[-1] - cycles[0] + 1 - len(cycles))
    shown = stage.status
    assert (shown["verdict"], shown["mode"], shown["sent"]) == ("STOP", "stopped", "false")
    assert shown["reason"] in ("NOT_RESET", "OPERATOR_STOP")


def test_nothing_moves_before_a_reset(stage: Stage) -> None:
    granted, message = stage.witness.call("safety_monitor/resume")
    assert not granted
    assert "reset first" in message
    proposals = stage.witness.heard.proposals
    stage.until(lambda: len(proposals) > 10, PATIENCE, "a policy that would like to")
    assert not stage.witness.heard.commands
    assert stage.witness.travel() < MOVED


def test_reset_alone_moves_nothing_and_resume_does(stage: Stage) -> None:
    stage.witness.insist("safety_monitor/reset")
    stage.watch()
    assert stage.witness.travel() < MOVED
    stage.resume()


def test_hold_brings_to_rest_and_resume_goes_on(stage: Stage) -> None:
    stage.drive()
    stage.witness.insist("safety_monitor/hold")
    stage.rest()
    stage.watch()
    assert stage.witness.travel() < MOVED
    assert stage.news()["reason"] == "OPERATOR_HOLD" or stage.halted_for_being_late()
    stage.resume()


def test_stop_latches_until_reset(stage: Stage) -> None:
    stage.drive()
    stage.witness.insist("safety_monitor/stop")
    stage.rest()
    assert not stage.witness.call("safety_monitor/resume")[0]
    assert stage.witness.call("safety_monitor/hold")  # whatever it answers, it must not start motion
    stage.watch()
    assert stage.news()["mode"] == "stopped"
    assert stage.witness.travel() < MOVED
    stage.drive()


def test_joint_states_that_stop_coming_stop_the_arm_until_reset(stage: Stage) -> None:
    stage.drive()
    stage.graph.signal("sim_arm", signal.SIGSTOP)
    stage.until(lambda: stage.status["mode"] == "stopped", PATIENCE, "STOP")
    stage.graph.signal("sim_arm", signal.SIGCONT)
    assert stage.status["reason"] in LATE  # on a busy machine not because of the signal
    stage.rest()
    stage.watch()
    assert stage.news()["mode"] == "stopped"
    assert stage.witness.travel() < MOVED
    stage.drive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_last_message_of_a_terminated_monitor_is_a_stop(
    stage: Stage, number: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    stage.drive()
    commands = stage.witness.heard.commands
    stage.until(lambda: bool(commands), PATIENCE, "a command")
    asked = time.monotonic()
    stage.graph.signal("safety_monitor", number)
    assert stage.graph.wait("safety_monitor", PATIENCE) == 0
    record_property("signal to exit [s]", time.monotonic() - asked)
    stage.until(lambda: asks_for_rest(commands[-1][1]), PATIENCE, "a last command to rest")
    stage.rest()
    assert not commands
    stage.start("safety_monitor")
    assert stage.news()["reason"] == "NOT_RESET"


def test_another_writer_on_the_command_topic_stops_the_arm_until_it_is_gone(stage: Stage) -> None:
    witness, node = stage.witness, stage.witness.node
    stage.drive()
    rogue = node.create_publisher(JointTrajectory, COMMAND, 1)
    try:
        stage.until(lambda: stage.status["command_writers"] == "2", PATIENCE, "another writer")
        stage.until(lambda: stage.status["mode"] == "stopped", PATIENCE, "an alarm")
        assert stage.status["reason"] in ("FOREIGN_WRITER", *LATE)
        stage.rest()
        granted, message = witness.call("safety_monitor/reset")
        assert not granted
        assert "another node" in message or "stale" in message  # the latter on a busy machine
    finally:
        node.destroy_publisher(rogue)
    stage.drive()  # once the other writer is gone


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
    stage.witness.insist("safety_monitor/reset")
    request = SetParametersAtomically.Request(parameters=parameters)
    service = "safety_monitor/suspend_critic"
    result = stage.witness.ask(service, SetParametersAtomically, request).result
    assert not result.successful
    assert answer in result.reason
    assert stage.news()["suspension"] == ""


def spillguard(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command-line program, in the stage's graph."""
    command = [sys.executable, "-m", "spillguard.cli", "operator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


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
    assert stage.witness.wait(lambda: stage.news()["mode"] == "stopped", PATIENCE)


def test_command_line_suspends_the_critic_and_shows_the_status(stage: Stage) -> None:
    stage.witness.insist("safety_monitor/reset")
    asked = ("suspend-critic", "--reason", "the cup is empty", "--namespace", "/left", "--seconds")
    refused = spillguard(*asked, "61")
    assert refused.returncode == 1
    assert "refused: seconds is 61.0, it has to be above 0 and at most 60.0" in refused.stderr
    assert spillguard(*asked, "60").stdout.strip() == "the critic is suspended for 60.0 s: the cup is empty"
    shown = spillguard("status", "--namespace", "/left")
    assert shown.returncode == 0
    # On a machine that takes a minute for this, the suspension is already over.
    assert "critic suspended: the cup is empty, " in shown.stdout or stage.news()["suspension"] == ""
    assert "margin_position [rad]" in shown.stdout


def test_command_line_says_that_nobody_answers() -> None:
    code = (
        "import sys\nfrom spillguard_ros.operator import caller, command\n"
        "caller.SERVICE_TIMEOUT = 0.3\nsys.exit(command.main(['hold', '--namespace', '/nowhere']))"
    )
    environment = {**os.environ, **private_environment()}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment,
        check=False,
    )
    assert ended.returncode == 2
    assert "service safety_monitor/hold did not appear" in ended.stderr


HEAVY = ("mujoco", "onnxruntime", "tyro", "torch", "gymnasium", "matplotlib", "scipy", "mcap", "viser",
         "spillguard_core", "spillguard_ros.node.convert", "rclpy.lifecycle", "rich.table")  # fmt: skip


def test_a_hold_from_the_terminal_imports_nothing_heavy_before_it_acts() -> None:
    code = (
        "import sys\nfrom spillguard.cli import main\nfrom spillguard_ros.operator import caller\n"
        "caller.SERVICE_TIMEOUT = 0.1\nstatus = main(['operator', 'hold', '--namespace', 'nowhere'])\n"
        "print(status, *sys.modules)"
    )
    environment = {**os.environ, **private_environment()}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    status, *loaded = ended.stdout.split()
    assert status == "2" and "did not appear" in ended.stderr
    assert [name for name in HEAVY if name in loaded] == []
