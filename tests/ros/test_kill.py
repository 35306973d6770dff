"""Processes that die: the commands sent, and the arm's motion. Timing: `tests/simulated/test_bounds.py`."""

import signal
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sim.pouring.gen3 import GEN3_LIMITS
from tests.ros.harness import LATE, MOVED, PATIENCE, MakeStage, Stage, Witness, asks_for_rest

ROUNDS = 2


def time_to_rest(witness: Witness) -> float:
    """Time [s] from the last proposal to the first command to rest after it; NaN if there was none."""
    last = witness.heard.proposals[-1]
    slow = [when for when, msg in witness.heard.commands if when > last and asks_for_rest(msg)]
    return slow[0] - last if slow else float("nan")


def check_held(stage: Stage) -> None:
    """The monitor holds, the arm comes to rest and stays there."""
    holds = lambda: stage.status["reason"] in LATE and stage.witness.still()  # noqa: E731
    stage.until(holds, PATIENCE, "a hold and rest")
    stage.watch(20)
    stage.watch()
    assert all(asks_for_rest(msg) for _, msg in stage.witness.heard.commands)
    assert stage.witness.travel() < MOVED
    assert stage.news()["reason"] == "PROPOSAL_STALE" or stage.halted_for_being_late()


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", "safety_monitor") as stage:
        yield stage


@pytest.fixture
def stage(cell: Stage) -> Stage:
    """Every process alive and the arm in motion, whatever the previous test left."""
    for node in cell.graph.dead():
        cell.start(node)
    cell.drive()
    return cell


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_dead_or_frozen_policy_makes_the_arm_hold_until_it_is_back(
    stage: Stage, number: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(ROUNDS):
        stage.until(lambda: bool(stage.witness.heard.proposals), PATIENCE, "a proposal")
        stage.witness.spin(0.1 + rng.uniform(0.0, 0.05))
        stage.graph.signal("policy", number)
        stage.witness.wait(lambda: bool(np.isfinite(time_to_rest(stage.witness))), 1.0)
        record_property("last proposal to hold [s]", time_to_rest(stage.witness))
        check_held(stage)
        if number is signal.SIGKILL:
            stage.graph.wait("policy", PATIENCE)
            stage.start("policy")
        else:
            stage.graph.signal("policy", signal.SIGCONT)
        stage.witness.heard.proposals.clear()
        stage.until(lambda: bool(stage.witness.heard.proposals), PATIENCE, "a policy that speaks again")
        stage.witness.open_gate()  # after a second of silence it needs a resume
        stage.goes_on()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_dead_or_frozen_monitor_leaves_the_arm_at_rest(stage: Stage, number: signal.Signals) -> None:
    witness = stage.witness
    stage.graph.signal("safety_monitor", number)
    stage.rest()
    stage.watch()
    assert not witness.heard.commands
    assert witness.travel() < MOVED
    q = witness.heard.joints[-1][1]
    assert (GEN3_LIMITS.position_min <= q).all()
    assert (q <= GEN3_LIMITS.position_max).all()
    stage.graph.signal("safety_monitor", signal.SIGCONT)
    if number is signal.SIGSTOP:
        stage.until(lambda: stage.status["mode"] == "stopped", PATIENCE, "a monitor that was blind")
    else:
        stage.graph.wait("safety_monitor", PATIENCE)
