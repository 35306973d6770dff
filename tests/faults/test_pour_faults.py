"""Faults that must not stop a pour, and one that goes unnoticed: complete pours under them."""

import time
from collections.abc import Iterator

import pytest

from sim.pouring.outcome import SUCCESS_SHARE
from tests.faults.arms import POURING, PROPOSAL
from tests.faults.cases import GOES_ON, REPEATS, Case, Repeat, run
from tests.faults.harness import Cell

POUR_TIME = 200.0  # [s] allowed for what takes five; the machine may be busy
LATELY = 0.2  # [s]
FLOOD = {"times": 10, "spacing": 0.005}
CUPS = max(1, REPEATS // 4)


@pytest.fixture(scope="module")
def pouring(cell: Cell) -> Iterator[Cell]:
    """The scripted controller in the policy's place."""
    cell.stop("policy")
    cell.start_policy("scripted_policy", module="tests.ros.scripted_policy")
    yield cell
    cell.stop("scripted_policy")
    cell.start_policy()


def finished(cell: Cell) -> bool:
    """The cell has reported the outcome. A stop by a busy machine is undone."""
    seen = cell.watcher.outcome
    poured = bool(seen) and int(seen["landed"]) >= SUCCESS_SHARE * int(seen["total"])
    if bool(seen) and ((poured and seen["upright"] == "true") or seen["spilled"] != "0" or bool(cell.harm())):
        return True
    cell.goes_on(time.monotonic() - LATELY)
    return False


@pytest.mark.parametrize(
    ("name", "text", "topics", "fault", "figures"),
    [
        ("lost", "a pour: 1 % of all sensor messages lost", POURING.states, "lose", {"share": 0.01}),
        ("twice", "a pour: every sensor message twice", POURING.states, "duplicate", {"times": 2}),
        ("flood", "a pour: ten times as many proposals", (PROPOSAL,), "duplicate", FLOOD),
        ("stuck", "a pour: the load cell's value stands still", ("load_cell/wrench",), "freeze_values", {}),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)  # fmt: skip
def test_a_pour_goes_on(
    pouring: Cell, name: str, text: str, topics: tuple[str, ...], fault: str, figures: dict[str, object]
) -> None:
    cell, case = pouring, Case(f"pour_{name}", text, GOES_ON)

    def once() -> Repeat:
        cell.order()
        cell.begin_again()
        cell.ready()
        began = cell.order(topics, fault, **figures)
        cell.until(lambda: finished(cell), POUR_TIME, "a finished pour")
        assert int(cell.watcher.outcome["landed"]) > 0
        return cell.judged(case, began, case.bound)

    run(case, once, CUPS)
