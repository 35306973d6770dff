"""What the driver's own status makes of the monitor: no processes needed."""

import math

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from spillguard_ros import convert
from spillguard_ros.driver import driver_fault

CONTROLLER = "joint_trajectory_controller"
TIMEOUT = 3.0
OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE
)  # fmt: skip


def status(level: bytes, **states: str) -> DiagnosticStatus:
    """As the controller manager of ros2_control says it."""
    values = {f"{name}.state": state for name, state in states.items()}
    return convert.to_status("controller_manager: Controllers Activity", level, "all said", values)


@pytest.mark.parametrize("level", [OK, WARN])
@pytest.mark.parametrize("age", [0.0, TIMEOUT])
def test_active_controller_of_a_driver_that_speaks_is_in_order(level: bytes, age: float) -> None:
    seen = status(level, joint_trajectory_controller="active", twist_controller="inactive")
    assert driver_fault(seen, age, CONTROLLER, TIMEOUT) == ""


def test_controller_may_be_named_without_its_suffix() -> None:
    old = convert.to_status("controller_manager: Controllers Activity", OK, "", {CONTROLLER: "active"})
    assert driver_fault(old, 0.0, CONTROLLER, TIMEOUT) == ""


@pytest.mark.parametrize(
    ("level", "states", "text"),
    [
        (ERROR, {CONTROLLER: "active"}, "reports: all said"),
        (STALE, {CONTROLLER: "active"}, "reports: all said"),
        (OK, {CONTROLLER: "inactive"}, f"{CONTROLLER} is inactive"),
        (OK, {CONTROLLER: ""}, f"{CONTROLLER} is "),
        (OK, {"twist_controller": "active"}, f"{CONTROLLER} is unknown"),
        (OK, {}, f"{CONTROLLER} is unknown"),
    ],
)
def test_anything_else_is_a_fault(level: bytes, states: dict[str, str], text: str) -> None:
    assert driver_fault(status(level, **states), 0.0, CONTROLLER, TIMEOUT) == text


@pytest.mark.parametrize("age", [TIMEOUT + 0.1, -0.1, math.nan, math.inf])
def test_driver_that_is_silent_is_a_fault(age: float) -> None:
    seen = status(OK, joint_trajectory_controller="active")
    assert "allowed 3.0 s" in driver_fault(seen, age, CONTROLLER, TIMEOUT)
    assert driver_fault(None, 0.0, CONTROLLER, TIMEOUT) == "has not reported yet"
