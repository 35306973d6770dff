"""Faults on arms that are not the Gen3: what ends, hangs or dies leaves them at rest, and is told."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

from spillguard_sim.graph import Graph
from tests.ros.harness import LATE, PATIENCE, STILL
from tests.ros.private_graph import private_ros
from tests.ros.sides import Side

STOPPED = ("STATE_STALE", "TRACKING_ERROR", "NOT_SETTLING")
"""Stops that a hung driver makes; the first latches."""


@pytest.fixture(params=["ur5e", "fr3"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    with private_ros() as environment, ExitStack() as stack:
        graph = stack.enter_context(Graph(tmp_path / "logs", environment))
        one = Side("arm", request.param, graph, tmp_path)
        stack.callback(one.operator.close)
        one.set_going()
        yield one


def at_rest(side: Side) -> bool:
    """Joint states go on coming, and say that the arm stands."""
    before = side.heard_joints
    return side.operator.wait(lambda: side.heard_joints > before + 20 and side.speed < STILL, PATIENCE)


def test_a_policy_that_dies_leaves_the_arm_held(side: Side) -> None:
    side.graph.signal("arm_policy", SIGKILL)
    # A busy machine may have stopped it already, which is as safe.
    assert side.operator.wait(lambda: side.reasons[-1] in LATE, PATIENCE), side.reasons[-3:]
    assert at_rest(side)
    outcome = side.operator.outcome_now(PATIENCE)
    assert outcome["contact"] == outcome["limit_broken"] == "false"


def test_a_monitor_that_dies_leaves_the_arm_at_rest(side: Side) -> None:
    side.graph.signal("arm_monitor", SIGKILL)
    assert at_rest(side)
    outcome = side.operator.outcome_now(PATIENCE)
    assert outcome["contact"] == outcome["limit_broken"] == "false"


def test_a_driver_that_hangs_stops_the_arm_until_a_reset(side: Side) -> None:
    side.graph.signal("arm_arm", SIGSTOP)
    assert side.operator.wait(lambda: side.reasons[-1] in STOPPED, PATIENCE), side.reasons[-3:]
    told = side.reasons[-1]
    side.graph.signal("arm_arm", SIGCONT)
    heard = len(side.reasons)
    assert side.operator.wait(lambda: len(side.reasons) > heard + 50, PATIENCE)
    assert side.reasons[-1] == told  # latched, although it is back
    assert at_rest(side)
    side.set_going()  # and after a reset it goes on
