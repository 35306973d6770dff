"""How the monitor judges the driver's own status, clock and controller: no processes needed."""

import math
import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from spillguard_ros.monitor.driver import (
    CONTROLLERS,
    JOINS,
    ControllerParameter,
    Driver,
    clock_fault,
)
from spillguard_ros.monitor.driver_reports import Report, Reports, namesakes, read_report
from spillguard_ros.node import convert
from spillguard_ros.node.outputs import POSITIONS
from spillguard_ros.node.rounds import NodeRounds
from tests.ros.harness import PATIENCE
from tests.ros.private_graph import private_ros

CONTROLLER = "joint_trajectory_controller"
TIMEOUT = 3.0
OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE
)  # fmt: skip
JITTERS = "\nHigh execution jitter or mean error : [ twist_controller ]"
BOTH_JITTER = f"{JITTERS}; \nHigh periodicity jitter or mean error : [ {CONTROLLER} ]"
NO_HARDWARE = "No hardware components are currently active to activate controllers"
GOOD, BAD = Report(""), Report(f"{CONTROLLER} is inactive")


def status(level: bytes, states: dict[str, str], text: str = "all said") -> DiagnosticStatus:
    """A status in the form of ros2_control's controller manager."""
    return convert.to_status(CONTROLLERS, level, text, {f"{name}.state": s for name, s in states.items()})


def test_active_controller_is_in_order_whatever_the_others_are() -> None:
    seen = status(OK, {CONTROLLER: "active", "twist_controller": "inactive"})
    assert read_report(seen, CONTROLLER) == GOOD


def test_controller_may_be_named_without_its_suffix() -> None:
    old = convert.to_status(CONTROLLERS, OK, "", {CONTROLLER: "active"})
    assert read_report(old, CONTROLLER) == GOOD


@pytest.mark.parametrize(
    ("level", "text"), [(ERROR, JITTERS), (ERROR, BOTH_JITTER), (WARN, JITTERS), (WARN, "anything")]
)
def test_jitter_of_any_controller_is_a_warning(level: bytes, text: str) -> None:
    report = read_report(status(level, {CONTROLLER: "active"}, text), CONTROLLER)
    assert report.fault == ""
    assert report.warning == " ".join(text.split())


@pytest.mark.parametrize(
    ("level", "states", "text", "fault"),
    [
        (ERROR, {CONTROLLER: "active"}, "actuator 4 is in fault", "reports: actuator 4 is in fault"),
        (ERROR, {CONTROLLER: "active"}, f"{JITTERS}; {NO_HARDWARE}", NO_HARDWARE),
        (ERROR, {CONTROLLER: "active"}, "", "reports: "),
        (STALE, {CONTROLLER: "active"}, JITTERS, "reports: High execution jitter"),
        (ERROR, {CONTROLLER: "inactive"}, JITTERS, f"{CONTROLLER} is inactive"),
        (OK, {CONTROLLER: "inactive"}, "", f"{CONTROLLER} is inactive"),
        (OK, {CONTROLLER: ""}, "", f"{CONTROLLER} is in no state"),
        (OK, {f"arm2_{CONTROLLER}": "active"}, "", f"{CONTROLLER} is not among its controllers"),
        (OK, {}, "", f"{CONTROLLER} is not among its controllers"),
        (ERROR, {CONTROLLER: "active"}, f"{JITTERS}EMERGENCY STOP PRESSED", "EMERGENCY STOP PRESSED"),
        (ERROR, {CONTROLLER: "active"}, f"{JITTERS} EMERGENCY STOP", "EMERGENCY STOP"),
    ],
)
def test_anything_else_is_a_fault(level: bytes, states: dict[str, str], text: str, fault: str) -> None:
    assert fault in read_report(status(level, states, text), CONTROLLER).fault


def test_words_of_a_driver_are_one_short_line() -> None:
    report = read_report(status(ERROR, {CONTROLLER: "active"}, "broken\n\x1b" + "x" * 10_000), CONTROLLER)
    assert report.fault.isprintable()
    assert len(report.fault) < 200


def reports(*told: tuple[float, Report]) -> Reports:
    heard = Reports(CONTROLLERS, TIMEOUT)
    for when, report in told:
        heard.add(report, when)
    return heard


@pytest.mark.parametrize("age", [0.0, TIMEOUT])
def test_driver_that_speaks_well_is_in_order(age: float) -> None:
    assert reports((10.0, GOOD)).fault(10.0 + age) == ""


@pytest.mark.parametrize("age", [TIMEOUT + 0.1, -0.1, math.nan])
def test_driver_that_is_silent_is_a_fault(age: float) -> None:
    assert "allowed 3.0 s" in reports((10.0, GOOD)).fault(10.0 + age)
    assert "has not reported yet" in reports().fault(10.0)


def test_the_newest_fault_is_told() -> None:
    assert reports((10.0, GOOD), (11.0, BAD)).fault(11.5) == BAD.fault


def test_a_good_report_does_not_hide_a_bad_one_of_the_same_name() -> None:
    """Two managers of one name: our controller is off, the other manager reports in between."""
    heard = Reports(CONTROLLERS, TIMEOUT)
    for step in range(10):
        heard.add(BAD if step % 2 else GOOD, 0.5 * step)
        assert step == 0 or BAD.fault in heard.fault(0.5 * step + 0.1)
    heard.add(GOOD, 5.0)
    assert "contradicts itself" in heard.fault(5.1)


def test_a_fault_that_is_over_for_as_long_as_reports_have_to_agree_is_forgotten() -> None:
    heard = reports((10.0, BAD), (11.0, GOOD), (12.0, GOOD))
    assert "contradicts itself" in heard.fault(12.9)
    heard.add(GOOD, 13.0)
    assert heard.fault(13.1) == ""


def test_two_managers_of_one_name_are_a_fault_though_they_agree() -> None:
    """As soon as one of them falls silent, the other would stand in for it."""
    two = [("/", "joint_state_publisher"), ("/arm1", "controller_manager"), ("/arm2", "controller_manager")]
    told = namesakes(CONTROLLERS, two)
    assert "/arm1/controller_manager, /arm2/controller_manager" in told
    assert "use_fqn" in told


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        (CONTROLLERS, [("/", "sim_arm"), ("/", "safety_monitor")]),
        (CONTROLLERS, [("/", "controller_manager"), ("/", "controller_manager")]),  # two of that name
        (CONTROLLERS, [("/", "controller_manager"), ("/", "other_controller_manager")]),
        (
            f"/arm1/{CONTROLLERS}",
            [("/arm1", "controller_manager"), ("/arm2", "controller_manager")],
        ),
    ],
)
def test_one_manager_of_a_name_is_fine(name: str, nodes: list[tuple[str, str]]) -> None:
    assert namesakes(name, nodes) == ""


@pytest.mark.parametrize("keys", [(f"{CONTROLLER}.state",) * 2, (f"{CONTROLLER}.state", CONTROLLER)])
@pytest.mark.parametrize("states", [("active", "inactive"), ("inactive", "active")])
def test_status_that_contradicts_itself_is_a_fault(keys: tuple[str, str], states: tuple[str, str]) -> None:
    said = status(OK, {})
    said.values = [KeyValue(key=key, value=value) for key, value in zip(keys, states, strict=True)]
    assert read_report(said, CONTROLLER).fault == f"{CONTROLLER} is active and inactive"


@pytest.mark.parametrize("age", [-0.019, 0.0, 0.05, 0.12, 1.9])
def test_a_state_of_ordinary_age_says_nothing_against_the_clock(age: float) -> None:
    assert clock_fault(1e9 + age, 1e9) == ""


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (-0.03, "0.030 s ahead of this"),
        (2.1, "2.100 s behind this"),
        (math.nan, "nan s"),
        (-3600.0, "ahead"),
    ],
)
def test_a_state_that_is_too_old_or_from_the_future_does(age: float, words: str) -> None:
    said = clock_fault(1e9 + age, 1e9)
    assert words in said and "commands need one clock on both sides" in said


def test_a_state_without_a_stamp_is_judged_elsewhere() -> None:
    assert clock_fault(1e9, 0.0) == ""


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """The monitor's side and the controller's."""
    with private_ros():
        asking, answering = Node("asking"), Node("answering")
        yield asking, answering
        asking.destroy_node()
        answering.destroy_node()


def test_the_controller_is_asked_again_and_again(nodes: tuple[Node, Node]) -> None:
    """Real nodes: no answer, false, true, another type, two who answer, and silence."""
    asking, answering = nodes
    parameter = ControllerParameter(asking, f"/{CONTROLLER}", JOINS, TIMEOUT)
    ours, theirs = NodeRounds(asking), NodeRounds(answering)

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, parameter.fault(time.monotonic())
            parameter.ask(time.monotonic())
            for _ in range(5):
                ours.once()
                theirs.once()

    def said(words: str) -> Callable[[], bool]:
        return lambda: (
            words in parameter.fault(time.monotonic()) if words else not parameter.fault(time.monotonic())
        )

    assert "does not say whether" in parameter.fault(0.0)
    told = rclpy.parameter.Parameter(JOINS, value=False).to_parameter_msg().value

    def answer(request: GetParameters.Request, response: GetParameters.Response) -> GetParameters.Response:
        assert request.names == [JOINS]
        response.values = [told] if told else []
        return response

    service = answering.create_service(GetParameters, f"/{CONTROLLER}/get_parameters", answer)
    until(said("is not true"))
    told = rclpy.parameter.Parameter(JOINS, value=True).to_parameter_msg().value
    until(said(""))
    told = rclpy.parameter.Parameter(JOINS, value="true").to_parameter_msg().value
    until(said("is not true"))
    told = None
    until(said("has no parameter"))
    told = rclpy.parameter.Parameter(JOINS, value=True).to_parameter_msg().value
    until(said(""))
    second = answering.create_service(GetParameters, f"/{CONTROLLER}/get_parameters", answer)
    until(said("2 nodes answer to"))
    answering.destroy_service(second)
    until(said(""))
    answering.destroy_service(service)
    now = time.monotonic()
    assert parameter.fault(now + 0.9 * TIMEOUT) == ""
    parameter.ask(now + TIMEOUT)
    assert "does not say whether" in parameter.fault(now + 2.0 * TIMEOUT)


def test_where_positions_are_streamed_one_node_may_publish_them_and_one_has_to(
    nodes: tuple[Node, Node],
) -> None:
    """Nor is the other controller asked for its parameter, or its action looked at."""
    asking, other = nodes
    monitor = asking.create_publisher(Float64MultiArray, "trajectories", 1)
    driver = Driver(asking, "", "", TIMEOUT, JOINS, f"/{CONTROLLER}", f"/{POSITIONS}")
    assert not driver.clients

    def until(commanders: int) -> None:
        end = time.monotonic() + PATIENCE
        while driver.commanders(monitor.topic_name) != commanders:
            assert time.monotonic() < end, driver.commanders(monitor.topic_name)

    until(1)
    assert "is the position streamer running?" in driver.fault(0.0, 0.0)
    streams = [other.create_publisher(Float64MultiArray, POSITIONS, 1)]
    end = time.monotonic() + PATIENCE
    while driver.fault(0.0, 0.0):
        assert time.monotonic() < end
        until(1)
    streams.append(other.create_publisher(Float64MultiArray, POSITIONS, 1))
    until(2)
    other.destroy_publisher(streams.pop())
    until(1)
    assert driver.fault(0.0, 0.0) == ""
