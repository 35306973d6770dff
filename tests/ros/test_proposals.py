"""What the monitor hears from a policy that is broken: the arm must not move, and must move again after."""

from collections.abc import Iterator

import pytest

from tests.ros.harness import MOVED, MakeStage, Stage

NAN, INF = float("nan"), float("inf")
GOOD = [0.03, 0.0, 0.0, 0.0]  # [m/s]


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    """No policy: the witness speaks in its place."""
    with make_stage("sim_arm", "safety_monitor") as stage:
        stage.witness.open_gate()
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """The gate is open, whatever was before."""
    if cell.witness.stopped():
        cell.witness.open_gate()
    return cell


def still_under(stage: Stage, values: list[float], frame: str = "base_link") -> None:
    """The arm keeps its pose while these proposals come."""
    stage.witness.propose(values, 0.2, frame)  # what moved before comes to rest
    stage.witness.spin(0.4)
    stage.witness.heard.clear()
    stage.witness.propose(values, 0.6, frame)
    assert stage.witness.heard.commands  # the monitor is up, and holds
    assert stage.witness.travel() < MOVED
    assert not stage.witness.stopped()


def moves_under(stage: Stage, values: list[float]) -> None:
    """The arm follows these proposals."""
    stage.witness.heard.clear()
    stage.witness.propose(values, 0.6)
    assert stage.witness.travel() > 2 * MOVED


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("place", [0, 3])
def test_proposal_that_is_not_finite_never_moves_the_arm(stage: Stage, bad: float, place: int) -> None:
    values = list(GOOD)
    values[place] = bad
    moves_under(stage, GOOD)
    still_under(stage, values)


def test_proposal_in_another_frame_never_moves_the_arm(stage: Stage) -> None:
    moves_under(stage, [-GOOD[0], 0.0, 0.0, 0.0])
    still_under(stage, GOOD, frame="tool_frame")


def test_proposal_that_answers_an_old_state_never_moves_the_arm(stage: Stage) -> None:
    moves_under(stage, [-GOOD[0], 0.0, 0.0, 0.0])
    stage.witness.frozen_stamp = True
    try:
        stage.witness.spin(0.5)
        still_under(stage, GOOD)
    finally:
        stage.witness.frozen_stamp = False
    moves_under(stage, [-GOOD[0], 0.0, 0.0, 0.0])
