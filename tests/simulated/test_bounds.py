"""Time from any fault to the hold, in simulated time, independent of the machine's speed."""

import math
from collections.abc import Iterator

import pytest

from spillguard_core.robot.arm import MONITOR_PERIOD
from tests.faults.arms import POURING
from tests.faults.cases import BRAKING, CLOCKS, GOES_ON, MESSAGES, SERVO, STOPS, Case
from tests.faults.commands import all_unsafe, hold_after, off_track_after, rest_after
from tests.faults.message_cases import JOINTS, Relayed, cases
from tests.ros.bundles import Orbit, make_bundle
from tests.simulated.graph import SimulatedGraph, simulated_graph

TIMES = 2  # each at another point of a cycle
KILLS = 30
EPSILON = 1e-6  # [s]
WATCH = 0.6  # [s] for which an arm that shall keep moving is watched
FOLLOWED = ("PASS", "LIMIT", "RECOVER")
COMMAND, COAST = CLOCKS["command_timeout"], CLOCKS["coast_time"]
WRITERS, REPORT = 0.1, 1.0  # [s] between two checks for another writer, and between two reports of a driver
POLICY = ("PROPOSAL_STALE",)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedGraph]:
    bundle = make_bundle(tmp_path_factory.mktemp("orbit") / "bundle", Orbit())
    with simulated_graph(bundle, tmp_path_factory.mktemp("simulated")) as made:
        yield made


def check_held(graph: SimulatedGraph, case: Case, fault: float, bound: float | None = None) -> float:
    """The hold was commanded within the bound, the arm came to rest and stayed there; time to the hold [s].

    Counted from the case's answer: with jumping stamps the monitor may briefly hold before.
    """
    graph.notes.read()
    wanted = "STOP" if case.answer == STOPS else "HOLD"
    answers = [when for when, v in graph.status if when > fault and v["verdict"] == wanted]
    assert answers, "neither a hold nor a stop"
    hold, rest = hold_after(graph.notes, answers[0]), rest_after(graph.notes, answers[0])
    assert all_unsafe(graph.notes) == []
    assert hold is not None
    assert hold.time - fault <= (case.bound if bound is None else bound)
    assert rest - hold.time <= BRAKING + SERVO
    held = graph.seen(answers[0] - EPSILON)
    assert {v["reason"] for v in held if v["verdict"] not in FOLLOWED} <= set(case.reasons)
    if case.lasting:
        assert {values["verdict"] for values in held} == {wanted}
        assert all(command.holds for command in graph.notes.commands if command.time >= hold.time)
    return float(hold.time - fault)


@pytest.mark.parametrize("relayed", cases(POURING).values(), ids=lambda relayed: relayed.key)
def test_fault_in_a_message_is_answered_within_its_bound(graph: SimulatedGraph, relayed: Relayed) -> None:
    for _ in range(TIMES):
        graph.ready()
        graph.harm(relayed.topics, relayed.fault, **relayed.figures)
        graph.run(0.1)  # long enough for a message on every topic
        if relayed.case.answer == GOES_ON:
            graph.run(WATCH)
            seen = graph.seen(graph.began)
            followed = [values for values in seen if values["verdict"] in FOLLOWED]
            assert len(followed) >= 0.9 * len(seen) > 50, {
                (v["verdict"], v["reason"], v["detail"][:60]) for v in seen
            }
            assert "STOP" not in {values["verdict"] for values in seen}
            graph.notes.read()
            assert all_unsafe(graph.notes) == []
        else:
            graph.run(relayed.case.bound + BRAKING + SERVO + 0.2)
            check_held(graph, relayed.case, graph.began)


def test_values_that_stand_still_while_the_arm_moves_are_noticed(graph: SimulatedGraph) -> None:
    case = Case("state_values_frozen", "", STOPS, ("TRACKING_ERROR",))
    for _ in range(TIMES):
        graph.ready()
        graph.harm(JOINTS, "freeze_values")
        graph.run(2.0 * MONITOR_PERIOD)
        graph.notes.read()
        seen = graph.notes.states[0].q
        graph.run(2.0)
        graph.notes.read()
        off_track = off_track_after(graph.notes, seen, graph.began) - graph.began
        patience = CLOCKS["tracking_cycles"] * MONITOR_PERIOD
        check_held(graph, case, graph.began, off_track + patience + 2.0 * MONITOR_PERIOD + MESSAGES)


def test_policy_that_is_killed_or_stopped_makes_the_arm_hold_in_every_round(graph: SimulatedGraph) -> None:
    case = Case("policy_killed", "", "holds", POLICY, COMMAND)
    times = []
    for _ in range(KILLS):
        graph.ready()
        graph.away.add("policy")
        fault = graph.now
        graph.run(case.bound + BRAKING + SERVO + 0.1)
        times.append(check_held(graph, case, fault))
    assert min(times) > 0.0 and max(times) - min(times) > 0.03  # at every point of the policy's period


def test_monitor_that_is_killed_or_stopped_leaves_the_arm_at_rest(graph: SimulatedGraph) -> None:
    for _ in range(10):
        graph.ready()
        graph.away.add("safety_monitor")
        fault = graph.now
        graph.run(1.0)
        graph.notes.read()
        assert rest_after(graph.notes, fault) - fault <= COAST + MESSAGES + BRAKING + SERVO
        assert all_unsafe(graph.notes) == []
        assert [c for c in graph.notes.commands if c.time > fault + MESSAGES] == []
        graph.away.clear()
        graph.run(0.5)
        assert {values["reason"] for values in graph.seen(fault)} == {"STATE_STALE"}  # no decisions were made


def test_operator_who_stops_is_heard_in_the_next_cycle(graph: SimulatedGraph) -> None:
    for _ in range(TIMES):
        graph.ready()
        assert graph.ask("safety_monitor/stop")[0]
        fault = graph.now
        graph.run(0.6)
        check_held(graph, Case("stop", "", STOPS, ("OPERATOR_STOP",), MONITOR_PERIOD), fault)


def test_another_writer_stops_the_arm(graph: SimulatedGraph) -> None:
    case = Case("foreign_writer", "", STOPS, ("FOREIGN_WRITER",), WRITERS)
    for _ in range(TIMES):
        graph.ready()
        fault, graph.writers = graph.now, 2
        graph.run(0.8)
        check_held(graph, case, fault)
        granted, said = graph.ask("safety_monitor/reset")
        assert not granted and "another node" in said


@pytest.mark.parametrize("service", ["fault", "switch_off"])
def test_driver_that_is_not_in_order_stops_the_arm(graph: SimulatedGraph, service: str) -> None:
    reasons = ("DRIVER_FAULT", "TRACKING_ERROR")
    case = Case(service, "", STOPS, reasons, MONITOR_PERIOD if service == "fault" else REPORT)
    for _ in range(TIMES):
        graph.ready()
        graph.ask(f"sim_arm/{service}", True)
        fault = graph.now
        graph.run(2.0)
        stopped = next(when for when, values in graph.status if when > fault and values["verdict"] == "STOP")
        assert stopped - fault <= case.bound
        assert {values["reason"] for values in graph.seen(stopped)} <= set(reasons)
        graph.notes.read()
        assert all_unsafe(graph.notes) == [] and math.isfinite(rest_after(graph.notes, fault))
        graph.ask(f"sim_arm/{service}", False)
        graph.run(1.2)


def test_every_cycle_is_reported_and_every_second_to_the_diagnostics(graph: SimulatedGraph) -> None:
    graph.ready()
    graph.reports.clear()
    graph.run(5.0)
    cycles = [int(values["cycle"]) for _, values in graph.status]
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))
    assert len(cycles) == pytest.approx(5.0 / MONITOR_PERIOD, abs=1)
    assert len(graph.reports) == pytest.approx(5, abs=1)


def test_driver_that_falls_silent_stops_the_arm_neither_early_nor_late(graph: SimulatedGraph) -> None:
    timeout = CLOCKS["driver_timeout"]
    case = Case("driver_silent", "", STOPS, ("DRIVER_FAULT",), timeout)
    graph.ready()
    graph.ask("sim_arm/silence", True)
    fault = graph.now
    graph.run(timeout + 1.0)
    assert check_held(graph, case, fault) >= timeout - REPORT
    graph.ask("sim_arm/silence", False)
    graph.run(1.2)
