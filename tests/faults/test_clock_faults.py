"""Faults of simulated time: the arm's response, and its timing."""

import time
from collections.abc import Iterator

import pytest
from rosgraph_msgs.msg import Clock as ClockMsg

from spillguard_ros.node import convert
from tests.faults.cases import CLOCKS, STOPS, Case, Repeat, run
from tests.faults.harness import Cell, MakeCell, refused

TICK = 0.01  # [s] between two messages on /clock


class SimulatedTime:
    """A /clock that a test can pause and set."""

    def __init__(self, cell: Cell) -> None:
        self.now, self.rate = 1000.0, 1.0
        self._node = cell.watcher.node
        self._clock = self._node.create_publisher(ClockMsg, "/clock", 1)
        self._timer = self._node.create_timer(TICK, self._tick)

    def _tick(self) -> None:
        self.now += TICK * self.rate
        self._clock.publish(ClockMsg(clock=convert.stamp_of(self.now)))

    def end(self) -> None:
        """Stop the clock."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._clock)


@pytest.fixture(scope="module")
def simulated(make_cell: MakeCell) -> Iterator[tuple[Cell, SimulatedTime]]:
    """A graph on simulated time, as a simulator starts it."""
    with make_cell() as cell:
        clock = SimulatedTime(cell)
        cell.start_arm(use_sim_time=True)
        cell.start_relay()
        cell.start_policy(use_sim_time=True)
        cell.start_monitor(use_sim_time=True)
        cell.ready()
        yield cell, clock
        clock.end()


@pytest.mark.parametrize(
    ("name", "text", "rate", "jump"),
    [
        ("clock_paused", "/clock: paused", 0.0, 0.0),
        ("clock_back", "/clock: jumps a quarter of an hour back", 1.0, -900.0),
    ],
    ids=["clock_paused", "clock_back"],
)
def test_simulated_time_that_pauses_or_goes_back(
    simulated: tuple[Cell, SimulatedTime], name: str, text: str, rate: float, jump: float
) -> None:
    """The watchdogs run on steady time, so what stops with the clock is seen to stop."""
    cell, clock = simulated
    case = Case(name, text, STOPS, ("STATE_STALE", "DRIVER_FAULT"), CLOCKS["state_timeout"] + TICK)

    def once() -> Repeat:
        cell.ready()
        fault, clock.rate, clock.now = time.monotonic(), rate, max(clock.now + jump, 1.0)
        try:
            return cell.answer(case, fault)
        finally:
            clock.rate, clock.now = 1.0, clock.now + 1000.0

    run(case, once)


def test_a_monitor_on_another_clock_than_the_driver_is_told_so(simulated: tuple[Cell, SimulatedTime]) -> None:
    """Its stamps would mean nothing to the controller."""
    cell, _ = simulated
    cell.stop("safety_monitor")
    cell.start_monitor()
    refused(cell, "behind this node's clock; commands need one clock on both sides")
