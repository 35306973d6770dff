"""Faults in messages between nodes, injected by a relay: the arm's response, and its timing."""

import pytest

from spillguard_core.robot.arm import MONITOR_PERIOD
from tests.faults.arms import POURING
from tests.faults.cases import CLOCKS, MESSAGES, STOPS, Case, Repeat, run
from tests.faults.commands import off_track_after
from tests.faults.harness import Cell
from tests.faults.message_cases import JOINTS, cases


@pytest.mark.parametrize("name", cases(POURING))
def test_fault_in_a_message(cell: Cell, name: str) -> None:
    relayed = cases(cell.arm)[name]

    def once() -> Repeat:
        cell.ready()
        fault = cell.order(relayed.topics, relayed.fault, **relayed.figures)
        return cell.answer(relayed.case, fault)

    run(relayed.case, once)


def test_values_that_stand_still_while_the_arm_moves(cell: Cell) -> None:
    """The stamps advance: only the tracking error reveals the fault."""
    case = Case(
        "state_values_frozen", "joint state: values frozen, stamps advance", STOPS, ("TRACKING_ERROR",)
    )

    def once() -> Repeat:
        cell.ready()
        fault = cell.order(JOINTS, "freeze_values")
        cell.notes.read()
        seen = cell.notes.states[-1].q
        cell.until(lambda: cell.resting(fault), 0.0, "rest")
        off_track = off_track_after(cell.notes, seen, fault) - fault
        patience = CLOCKS["tracking_cycles"] * MONITOR_PERIOD
        bound = off_track + patience + 2.0 * MONITOR_PERIOD + MESSAGES
        return cell.answer(case, fault, bound)

    run(case, once)
