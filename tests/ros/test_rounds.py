"""Share of a period that callbacks may take, in simulated time: no processes needed."""

import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from spillguard_ros.node import rounds as module
from spillguard_ros.node.rounds import (
    LEAD,
    ROUND,
    SAVED,
    SERVICES_PERIOD,
    SERVICES_SHARE,
    SHARE,
    NodeRounds,
    Rounds,
    _Events,
    arrival,
)

PERIOD, TICK = 0.01, 0.0015  # [s] of the control loop, and of one decision
POLL = 2e-6  # [s] to poll an empty source


class Machine:
    """A processor whose clock advances with its work, and a control loop served in rounds."""

    def __init__(self, rates: dict[str, float], costs: dict[str, float], depth: int = 10) -> None:
        """`rates` [1/s] of messages, `costs` [s] of handling one, `depth` of each queue."""
        self.now = self.used = 0.0
        self.depth, self.costs, self.rates = depth, costs, rates
        self.taken: Counter[str] = Counter()
        self.fetched = dict.fromkeys(rates, 0.0)  # number of past messages already taken or lost
        self.ticks: list[float] = []
        self.rounds = Rounds(lambda: self.now, lambda: self.used)

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.used += seconds

    def source(self, name: str) -> Callable[[], bool]:
        def serve() -> bool:
            self.work(POLL)
            arrived = self.now * self.rates[name]
            self.fetched[name] = max(self.fetched[name], arrived - self.depth)
            if arrived - self.fetched[name] < 1.0:
                return False
            self.fetched[name] += 1.0
            self.taken[name] += 1
            self.work(self.costs[name])
            return True

        return serve

    def run(self, seconds: float) -> None:
        sources, due = [self.source(name) for name in self.rates], 0.0
        while self.now < seconds:
            if self.now >= due:
                self.ticks.append(self.now)
                self.work(TICK)
                due += PERIOD * (1 + int((self.now - due) / PERIOD))
            self.rounds.serve(sources, due)
            self.now += self.rounds.nap(due)

    def longest_gap(self) -> float:
        return max(b - a for a, b in zip(self.ticks, self.ticks[1:], strict=False))


CALM = {"joints": 100.0, "load_cell": 100.0, "proposals": 20.0, "stop": 5.0}
RUN = 2.0  # [s]
COST = dict.fromkeys(CALM, 2e-4)


def test_everything_is_served_when_nothing_floods() -> None:
    machine = Machine(CALM, COST)
    machine.run(RUN)
    assert machine.longest_gap() <= PERIOD + 2e-4 + POLL
    for name, rate in CALM.items():
        assert machine.taken[name] == pytest.approx(RUN * rate, abs=1.0)


@pytest.mark.parametrize("flooded", CALM)
@pytest.mark.parametrize("cost", [5e-5, 5e-4, 2e-3])
def test_a_flood_of_one_source_keeps_the_period_and_starves_no_other(flooded: str, cost: float) -> None:
    machine = Machine({**CALM, flooded: 1e5}, {**COST, flooded: cost})
    machine.run(RUN)
    assert machine.longest_gap() <= PERIOD + max(cost, 2e-4) + POLL
    assert len(machine.ticks) == pytest.approx(RUN / PERIOD, abs=2)
    for name in CALM.keys() - {flooded}:
        assert machine.taken[name] >= 0.9 * RUN * CALM[name] - 1.0


def test_floods_of_all_sources_leave_the_processor_to_others() -> None:
    machine = Machine(dict.fromkeys(CALM, 1e5), COST)
    machine.run(RUN)
    assert machine.longest_gap() <= PERIOD + 2e-4 + POLL
    assert machine.used <= RUN * (SHARE + TICK / PERIOD) + 2.0 * SAVED
    assert min(machine.taken.values()) >= 0.9 * max(machine.taken.values())


def test_after_one_endless_callback_the_others_are_read_again_soon() -> None:
    """The time it took is not followed by an equally long pause, in which joint states would go stale."""
    machine = Machine({"joints": 100.0, "huge": 1.0}, {"joints": 1e-4, "huge": 0.5})
    machine.run(1.6)
    assert machine.taken["huge"] == 1
    before, now = machine.taken["joints"], machine.now
    machine.run(now + 0.05)
    assert machine.taken["joints"] - before >= 4


def test_a_calm_of_any_length_saves_up_no_more_than_a_moment() -> None:
    """After ten seconds without a message a flood may use `SAVED` at once, not a share of those ten."""
    machine = Machine({"joints": 1e5}, {"joints": 1e-4}, depth=10**9)
    machine.now = 10.0
    machine.rounds.serve([machine.source("joints")], machine.now + 1.0)
    assert SAVED <= machine.used <= SAVED + 1e-4 + POLL


def test_being_kept_from_running_is_no_spending() -> None:
    """Preemption in the middle of a callback by a busy machine does not count as time used."""
    machine = Machine({"joints": 1000.0}, {"joints": 1e-5})
    stolen = machine.source("joints")

    def slow() -> bool:
        machine.now += 0.002
        return stolen()

    for _ in range(200):
        machine.rounds.serve([slow], machine.now + PERIOD)
        machine.now += ROUND
    assert machine.taken["joints"] >= 400


def test_the_last_round_before_a_timer_is_just_before_it() -> None:
    """What the control loop decides on is no older, wherever the round before lay."""
    for phase in np.linspace(0.0, PERIOD, 50, endpoint=False):
        machine, due, begun = Machine(CALM, COST), PERIOD, []
        machine.now = phase
        while machine.now < due:
            begun.append(machine.now)
            machine.rounds.serve([lambda: False], due)
            machine.now += machine.rounds.nap(due)
        assert due - begun[-1] <= LEAD + 1e-9
        assert len(begun) <= 4


@pytest.mark.parametrize(("shift", "waited"), [(0.002, 0.002), (3600.0, ROUND), (-3600.0, 0.0)])
def test_a_message_came_when_the_middleware_noted_it_whatever_the_system_clock_does(
    shift: float, waited: float
) -> None:
    """A clock that is set makes nothing older than a round, and never fresher than now."""
    before = time.monotonic()
    came = arrival({"received_timestamp": time.time_ns() - round(1e9 * shift)})
    after = time.monotonic()
    taken = after - before + 1e-6
    assert before - waited - taken <= came <= min(after, after - waited + 1e-6)


def test_where_the_middleware_notes_no_time_a_message_waited_as_long_as_it_can_have() -> None:
    assert arrival({"received_timestamp": 0}) <= time.monotonic() - ROUND


class Slow:
    """A node whose topic always has a message that takes longer than its timer leaves, and its clock."""

    def __init__(self, left: float) -> None:
        """`left` [s] until its timer is due, whenever it is asked."""
        self.now, self.left = 100.0, left
        self.asked: list[float] = []
        self.timers, self.clients = [self], []
        self.subscriptions, self.services = ["topic"], ["service"]

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def time_until_next_call(self) -> int:
        return round(1e9 * self.left)

    def is_ready(self) -> bool:
        return False


@pytest.mark.parametrize("left", [0.002, 0.0, -0.001])
def test_a_flood_of_costly_messages_starves_no_service(monkeypatch: pytest.MonkeyPatch, left: float) -> None:
    """A stop is a request, too, also where the timer is always late."""
    node = Slow(left)

    def guarded(_: NodeRounds, entity: str) -> Callable[[], bool]:
        def serve() -> bool:
            if entity == "service":
                node.asked.append(node.now)
                node.now += 1e-5
                return False
            node.now += 0.02
            return True

        return serve

    monkeypatch.setattr(module, "time", node)
    monkeypatch.setattr(NodeRounds, "_guarded", guarded)
    monkeypatch.setattr(_Events, "add_node", lambda self, node: None)
    monkeypatch.setattr(_Events, "__init__", lambda self: None)
    monkeypatch.setattr(_Events, "__del__", lambda self: None, raising=False)
    monkeypatch.setattr(_Events, "spin_once", lambda self, timeout_sec: None)
    rounds = NodeRounds(node)  # type: ignore[arg-type]
    rounds._rounds = Rounds(node.monotonic, node.monotonic)
    rounds._service_rounds = Rounds(node.monotonic, node.monotonic, share=SERVICES_SHARE)
    while node.now < 103.0:
        rounds.once()
        node.now += 1e-4
    # About once in `SERVICES_PERIOD`, or after each message; starved, not at all while the flood lasts.
    assert len(node.asked) > 50
    assert np.diff(node.asked).max() < 0.02 + 2.0 * SERVICES_PERIOD
