"""Proposals of a broken policy: the arm must not move, and must move again afterwards."""

import time
from collections.abc import Callable, Iterator

import pytest

from sim.pouring.gen3 import GEN3
from spillguard_ros.node.convert import status_values
from tests.ros.harness import LATE, MOVED, PATIENCE, MakeStage, Stage

NAN, INF = float("nan"), float("inf")
GOOD = [0.03, 0.0, 0.0, 0.0]  # [m/s]


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    """No policy: the witness publishes in its place."""
    with make_stage("sim_arm", "safety_monitor") as stage:
        stage.settle()
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """The gate is open, whatever the previous test left."""
    cell.news()
    open_gate(cell)
    return cell


def open_gate(stage: Stage) -> None:
    """Reset and resume. A resume is granted only while somebody drives."""
    deadline = time.monotonic() + PATIENCE
    while True:
        stage.witness.insist("safety_monitor/reset")
        stage.witness.propose(GOOD, 0.2)
        granted, said = stage.witness.call("safety_monitor/resume")
        if granted:
            return
        assert time.monotonic() < deadline, said


def propose_until(stage: Stage, condition: Callable[[], bool], values: list[float], frame: str) -> None:
    """Publish the same proposal, and undo any stop by a busy machine."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{stage.status}\n{stage.logs()}"
        if stage.halted_for_being_late():
            open_gate(stage)
        stage.witness.propose(values, 0.1, frame)


def still_under(stage: Stage, values: list[float], reason: str, frame: str = "base_link") -> None:
    """The arm comes to rest under these proposals and keeps its pose; the monitor gives the reason."""
    heard = stage.witness.heard
    said = lambda: {status_values(message.status[0])["reason"] for message in heard.status}  # noqa: E731
    propose_until(stage, lambda: stage.status["reason"] == reason and stage.witness.still(), values, frame)
    stage.watch(10)  # earlier motion has come to rest
    heard.clear()
    propose_until(stage, lambda: reason in said() and len(heard.joints) > 50, values, frame)
    assert stage.witness.travel() < MOVED
    assert said() <= {reason, *LATE, "OPERATOR_HOLD"}  # the last until a resume


def moves_under(stage: Stage, values: list[float]) -> None:
    """The arm follows these proposals."""
    stage.watch(10)
    propose_until(stage, lambda: stage.witness.travel() > 2 * MOVED, values, GEN3.base_frame)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("place", [0, 3])
def test_proposal_that_is_not_finite_never_moves_the_arm(stage: Stage, bad: float, place: int) -> None:
    values = list(GOOD)
    values[place] = bad
    moves_under(stage, GOOD)
    still_under(stage, values, "PROPOSAL_INVALID")


def test_proposal_in_another_frame_never_moves_the_arm(stage: Stage) -> None:
    moves_under(stage, [-GOOD[0], 0.0, 0.0, 0.0])
    still_under(stage, GOOD, "PROPOSAL_INVALID", frame="tool_frame")


def test_proposal_that_answers_an_old_state_never_moves_the_arm(stage: Stage) -> None:
    moves_under(stage, [-GOOD[0], 0.0, 0.0, 0.0])
    stage.witness.frozen_stamp = True
    try:
        still_under(stage, GOOD, "PROPOSAL_STALE")
    finally:
        stage.witness.frozen_stamp = False
    moves_under(stage, [-GOOD[0], 0.0, 0.0, 0.0])
