"""A controller that joins messages wrongly is given none."""

from spillguard_ros.monitor.driver import JOINS
from tests.faults.arms import FaultArm
from tests.faults.harness import MakeCell, refused
from tests.ros.harness import PATIENCE


def test_a_controller_that_joins_messages_to_the_measured_state_is_given_none(
    arm: FaultArm, make_cell: MakeCell
) -> None:
    """As ros2_kortex ships it. No reset is granted, and the reason says what to set."""
    asked = {
        JOINS: f"{JOINS} of /{arm.controller} is not true",
        "open_loop_control": f"/{arm.controller} has no parameter open_loop_control",
    }
    with make_cell() as cell:
        cell.start_arm(interpolate_from_desired_state=False)
        cell.start_relay()
        cell.start_policy()
        for parameter, words in asked.items():
            cell.start_monitor(driver_parameter=parameter)
            refused(cell, words)
            cell.stop("safety_monitor")
        cell.start_monitor(driver_parameter="")
        cell.watcher.insist("safety_monitor/reset", PATIENCE)
        cell.notes.read()
        cell.stop("safety_monitor")
        assert cell.notes.commands, "without the question the monitor would take it"
