"""A monitor with operator_keys, through real processes: who may speak, and who is heard."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from std_srvs.srv import Trigger

from spillguard_ros.monitor.operators import UNKNOWN_KEY
from spillguard_ros.monitor.reporting import PAGE, REQUESTS
from spillguard_ros.node.convert import status_values
from spillguard_ros.node.keys import make_keys
from spillguard_ros.node.signed import OUT_OF_DATE, SUSPEND, Signer
from spillguard_ros.operator.command import KEY_VARIABLE
from spillguard_ros.recording.mcap_files import messages
from tests.launch.test_sros2_policy import allowed, names
from tests.ros.browser import free_port
from tests.ros.forged_client import ForgedClient
from tests.ros.harness import LATE, MESSAGES, MOVED, PATIENCE, MakeStage, Stage

MONITOR, OTHER = "/left/safety_monitor", "/right/safety_monitor"
TOKEN = "only-for-this-test-0123"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the keys of ann and of the page; eve's is not among those that the monitor has."""
    made = tmp_path_factory.mktemp("operators")
    for name in ("ann", "page"):
        make_keys(name, made / "keys")
    make_keys("eve", made / "elsewhere")
    return made


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage, folder: Path) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", namespace="/left") as stage:
        stage.witness.give_up_proposing()
        stage.start("safety_monitor", operator_keys=folder / "keys", record=folder / "flight.mcap")
        stage.witness._signer = Signer(folder / "keys" / "ann.key")
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """Stopped, whatever the previous test left."""
    witness = cell.witness
    witness.heard.proposals.clear()
    cell.until(lambda: len(witness.heard.proposals) > 3, PATIENCE, "a proposal")
    witness.bring_to_rest()
    cell.settle()
    cell.news()
    return cell


def challenge(stage: Stage, monitor: str = MONITOR) -> str:
    return str(stage.witness.ask(f"{monitor}/challenge", Trigger, Trigger.Request()).message)


def send(stage: Stage, request: SetParametersAtomically.Request, monitor: str = MONITOR) -> tuple[bool, str]:
    """What the monitor answers to a signed request as it is."""
    result = stage.witness.ask(f"{monitor}/signed", SetParametersAtomically, request).result
    return bool(result.successful), str(result.reason)


def text(name: str, value: str) -> Parameter:
    return Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value))


def unsigned(stage: Stage, verb: str) -> tuple[bool, str]:
    answer = stage.witness.ask(f"safety_monitor/{verb}", Trigger, Trigger.Request())
    return bool(answer.success), str(answer.message)


def test_without_a_signature_nothing_starts_and_everything_stops(stage: Stage) -> None:
    for verb in ("reset", "resume"):
        granted, said = unsigned(stage, verb)
        assert not granted and f"{verb} has to be signed here: spillguard operator {verb} --key FILE" in said
    seconds = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=1.0)
    asked = SetParametersAtomically.Request(
        parameters=[text("reason", "x"), Parameter(name="seconds", value=seconds)]
    )
    service = f"safety_monitor/{SUSPEND}"
    result = stage.witness.ask(service, SetParametersAtomically, asked).result
    assert not result.successful and "has to be signed here" in result.reason
    stage.watch()
    assert stage.witness.travel() < MOVED and stage.news()["mode"] == "stopped"
    stage.drive()  # signed
    assert unsigned(stage, "restore_critic")[0]
    assert unsigned(stage, "hold")[0]
    stage.rest()
    stage.drive()
    assert unsigned(stage, "stop")[0]
    stage.rest()
    assert stage.news()["mode"] == "stopped"


def test_the_command_line_signs_with_its_key(stage: Stage, folder: Path) -> None:
    def spillguard(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spillguard.cli", "operator", *arguments, "--namespace", "left"]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, **variables},
        )  # fmt: skip

    ann, eve = str(folder / "keys" / "ann.key"), str(folder / "elsewhere" / "eve.key")
    refused = spillguard("reset")
    assert refused.returncode == 1 and "has to be signed here" in refused.stderr
    refused = spillguard("reset", "--key", eve)
    assert refused.returncode == 1 and UNKNOWN_KEY in refused.stderr
    refused = spillguard("reset", "--key", str(folder / "keys" / "ann.pub"))
    assert refused.returncode == 2 and "spillguard operator:" in refused.stderr
    deadline = time.monotonic() + PATIENCE
    while True:  # a busy machine may stop the arm again, or keep its states from coming
        reset = spillguard("reset", "--key", ann)
        asked = ("suspend-critic", "--reason", "empty cup", "--seconds", "5")
        suspended = spillguard(*asked, **{KEY_VARIABLE: ann})
        if (reset.returncode, suspended.returncode) == (0, 0):
            break
        assert time.monotonic() < deadline, reset.stderr + suspended.stderr
    assert reset.stdout.strip() == "reset and holding; resume to move"
    assert suspended.stdout.strip() == "the critic is suspended for 5.0 s: empty cup"
    log = stage.graph.log("safety_monitor").read_text()
    assert "reset: reset and holding; resume to move (asked by ann)" in log
    assert "(asked by anybody)" in log


def test_a_request_is_good_once_for_its_monitor_verb_and_key(stage: Stage, folder: Path) -> None:
    ann, eve = Signer(folder / "keys" / "ann.key"), Signer(folder / "elsewhere" / "eve.key")
    first = ann.request(MONITOR, "reset", challenge(stage))
    granted, said = send(stage, first)
    assert granted or said.startswith(OUT_OF_DATE)  # the latter if the answer was lost and it was repeated
    stage.witness.bring_to_rest()
    granted, said = send(stage, first)
    assert not granted and said.startswith(OUT_OF_DATE)
    granted, said = send(stage, eve.request(MONITOR, "reset", challenge(stage)))
    assert not granted and said == UNKNOWN_KEY
    changed = ann.request(MONITOR, "reset", challenge(stage))
    changed.parameters = [p for p in changed.parameters if p.name != "verb"] + [text("verb", "resume")]
    granted, said = send(stage, changed)
    assert not granted and "the signature does not fit" in said
    assert stage.news()["mode"] == "stopped"


def test_two_monitors_in_two_namespaces_do_not_take_each_others_answers(stage: Stage, folder: Path) -> None:
    ann = Signer(folder / "keys" / "ann.key")
    parameters = {"bundle": stage.bundle, "operator_keys": folder / "keys"}
    stage.graph.start("other", "safety_monitor", parameters, "-r", "__ns:=/right")
    try:
        theirs = challenge(stage, OTHER)
        granted, said = send(stage, ann.request(MONITOR, "reset", theirs))
        assert not granted and said.startswith(OUT_OF_DATE)
        # A challenge of ours, handed on by somebody who stands between: the operator means the other arm.
        granted, said = send(stage, ann.request(OTHER, "reset", challenge(stage)))
        assert not granted and "the signature does not fit" in said
        granted, said = send(stage, ann.request(OTHER, "reset", theirs), OTHER)
        assert not granted and "no joint state yet" in said  # there is no arm, but it was ann who asked
        assert "reset" in stage.graph.log("other").read_text()
        assert "(asked by ann)" in stage.graph.log("other").read_text()
        assert stage.news()["mode"] == "stopped"
    finally:
        stage.graph.signal("other", signal.SIGINT)
        stage.graph.wait("other", PATIENCE)


def crowded(stage: Stage, topic: str) -> None:
    """Somebody else publishes `topic`: its motion is held, in words, and goes on after a resume without."""
    node = stage.witness.node
    stage.drive()
    other = node.create_publisher(TwistStamped, topic, 1)
    try:
        stage.until(lambda: topic in stage.status["crowd"], PATIENCE, "a crowd")
        stage.until(lambda: stage.status["mode"] in ("held", "stopped"), PATIENCE, "a hold")
        stage.rest()
        shown = stage.witness.heard.status[-1].status[0]
        assert f"2 nodes publish {topic}" in shown.message
        assert "where operator_keys is set one alone may" in stage.status["detail"] or (
            stage.status["reason"] in LATE
        )
        stage.witness.call("safety_monitor/reset")
        stage.witness.call("safety_monitor/resume")
        stage.watch()
        assert stage.witness.travel() < MOVED
    finally:
        node.destroy_publisher(other)
    stage.until(lambda: stage.status["crowd"] == "", PATIENCE, "the other's end")
    stage.drive()


def test_a_second_node_that_proposes_holds_the_arm_until_it_is_gone(stage: Stage) -> None:
    crowded(stage, "policy/proposal")


def test_a_second_teleoperator_holds_the_arm(stage: Stage) -> None:
    """Who speaks alone is heard; of two, nobody is, whoever of them it is."""
    node = stage.witness.node
    first = node.create_publisher(TwistStamped, "teleop/twist", 1)
    stage.drive()

    def push(condition: Callable[[], bool]) -> Callable[[], bool]:
        def pushed() -> bool:
            msg = MESSAGES.message(np.array([0.0, 0.0, 0.05, 0.0]), TwistStamped().header.stamp)
            first.publish(msg)
            if stage.halted_for_being_late() or stage.status["reason"] == "TELEOP_SILENT":
                stage.witness.open_gate()
            return condition()

        return pushed

    try:
        stage.until(push(lambda: stage.status["mode"] == "teleop"), PATIENCE, "teleoperation")
        second = node.create_publisher(TwistStamped, "teleop/twist", 1)
        stage.until(push(lambda: stage.status["reason"] == "TELEOP_INVALID"), PATIENCE, "a hold")
        assert "teleop/twist: 2 nodes publish it; where operator_keys is set" in stage.status["detail"]
        node.destroy_publisher(second)
        stage.until(lambda: stage.status["crowd"] == "", PATIENCE, "the other's end")
    finally:
        node.destroy_publisher(first)


@pytest.mark.parametrize("name", ["safety_monitor", "policy"])
def test_the_sros2_policy_names_what_the_nodes_have(stage: Stage, name: str) -> None:
    """Whoever enforces it must not find that a topic was forgotten."""
    node, listed = stage.witness.node, allowed()
    has = {
        "publish": node.get_publisher_names_and_types_by_node(name, "/left"),
        "subscribe": node.get_subscriber_names_and_types_by_node(name, "/left"),
        "reply": node.get_service_names_and_types_by_node(name, "/left"),
        "request": node.get_client_names_and_types_by_node(name, "/left"),
    }
    for verb, found in has.items():
        if verb != "request":  # asks only a driver of trajectories for its parameters
            assert names(found) <= listed[name, verb] | {"diagnostics"}, verb
    assert names(has["reply"]) == listed[name, "reply"]


def press(client: ForgedClient, stage: Stage, button: str, value: object, answer: str) -> None:
    """Until the page shows the answer; a busy machine may need another press."""

    def answered() -> bool:
        client.press(client.buttons()[button], value)
        client.listen(0.5)
        return answer in str(client.heard)

    stage.until(answered, PATIENCE, answer)


def test_the_page_signs_as_its_operator_and_says_who_pressed(stage: Stage, folder: Path) -> None:
    token, port = folder / "token", free_port()
    token.write_text(TOKEN)
    token.chmod(0o600)
    given = {"port": port, "token_file": token, "key_file": folder / "keys" / "page.key"}
    stage.start("operator_page", **given)
    log = stage.graph.log("operator_page")
    stage.until(lambda: "operator page" in log.read_text(), PATIENCE, "a page")
    with ForgedClient(port) as client:
        client.buttons()
        client.press(next(m["uuid"] for m in client.heard if m["type"] == "GuiTextMessage"), TOKEN)
        stage.until(lambda: client.listen(0.05) and "Unlocked" in str(client.heard), PATIENCE, "unlocked")
        press(client, stage, "hold", "resume", "resume refused by the monitor: stopped: reset first")
        press(client, stage, "hold", "reset", "reset: reset and holding")
        press(client, stage, "STOP", True, "stop: stopped; reset, then resume")
    stage.until(lambda: "stop: stopped" in log.read_text(), PATIENCE, "a log line")
    printed, who = log.read_text(), "127.0.0.1, token of token, signed with page"
    assert f"reset: reset and holding; resume to move (client 0, {who})" in printed
    assert f"stop pressed by client 0, {who}" in printed
    assert "unlocked by client 0 (127.0.0.1), token of token" in printed
    monitor = stage.graph.log("safety_monitor").read_text()
    assert "resume: stopped: reset first (asked by page)" in monitor
    assert "reset: reset and holding; resume to move (asked by page)" in monitor


def test_what_was_asked_is_in_the_recording(stage: Stage, folder: Path) -> None:
    """By whom, for what, and what was answered: with the signer's name, and as the page says."""
    assert not unsigned(stage, "reset")[0]
    assert stage.witness.call("safety_monitor/reset")[0] or stage.halted_for_being_late()
    stage.graph.signal("safety_monitor", signal.SIGINT)
    assert stage.graph.wait("safety_monitor", PATIENCE) == 0
    told = [
        (topic, status_values(message), message.message)
        for topic, (_, message) in messages(folder / "flight.mcap", (REQUESTS, PAGE))
    ]
    asked = [(v["service"], v["who"], v["granted"]) for topic, v, _ in told if topic == REQUESTS]
    assert ("reset", "anybody", "false") in asked
    assert ("reset", "ann", "true") in asked
    assert ("reset", "page", "true") in asked
    assert ("stop", "anybody", "true") in asked
    pressed = [(v["service"], v["granted"]) for topic, v, _ in told if topic == PAGE]
    assert ("reset", "true") in pressed and ("stop", "true") in pressed
    assert all("127.0.0.1, token of token" in v["who"] for topic, v, _ in told if topic == PAGE)
