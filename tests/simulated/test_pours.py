"""Complete pours through the nodes' own code, in simulated time, unaffected by load on the machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from spillguard_ros.node.runtime import ShellNode
from spillguard_ros.policy import Policy
from tests.faults.commands import all_unsafe
from tests.ros.bundles import Orbit, make_bundle
from tests.ros.scripted_policy import ScriptedPolicy
from tests.simulated.graph import SimulatedGraph, simulated_graph

SHIPPED = Path(__file__).parents[2] / "artifacts" / "pour_coffee"
LIMIT = 10.0  # [s]


def poured(graph: SimulatedGraph) -> dict[str, str]:
    """Outcome of the next cup."""
    graph.ask("safety_monitor/stop")
    graph.run(0.6)
    graph.ask("sim_arm/new_cup")
    graph.run(0.5)  # in which the arm is seen at rest
    graph.notes.clear()
    graph.notes.sent.clear()
    graph.ask("safety_monitor/reset")
    graph.run(0.1)
    assert graph.ask("safety_monitor/resume")[0]
    for _ in range(round(LIMIT / 0.1)):
        graph.run(0.1)
        if graph.outcome["success"] == "true" or graph.outcome["spilled"] != "0":
            break
    graph.notes.read()
    assert all_unsafe(graph.notes) == []
    return dict(graph.outcome)


@pytest.mark.parametrize(("policy", "cups", "wanted"), [(ScriptedPolicy, 2, 2), (Policy, 4, 3)])
def test_cups_are_poured_within_the_time_and_nothing_is_touched(
    policy: Callable[[], ShellNode], cups: int, wanted: int, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "bundle", Orbit()) if policy is ScriptedPolicy else SHIPPED
    with simulated_graph(bundle, tmp_path, policy) as graph:
        graph.run(0.5)
        outcomes = [poured(graph) for _ in range(cups)]
    assert {(o["contact"], o["limit_broken"]) for o in outcomes} == {("false", "false")}, outcomes
    good = [outcome for outcome in outcomes if outcome["success"] == "true"]
    assert len(good) >= wanted, outcomes
    assert all(float(outcome["elapsed"]) < LIMIT for outcome in good)
