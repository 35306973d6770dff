"""Walks the gate's modes breadth first: every state that requests and faults lead to, by the real `decide`.

Times of the gate are cut to a few periods, so that what takes a while happens within a few steps, and two
decisions count as one state where the next decision cannot tell them apart but by the arm's pose.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Decision, GateConfig, Inputs, Mode, Request
from spillguard_core.gate.gate import Models, decide, initial_decision
from spillguard_core.robot.arm import Vec
from studies.monitor_states.bench import CONFIG, asking
from studies.monitor_states.bench import GateBench as Bench
from studies.monitor_states.events import EVENTS, WISH, Event, with_

PERIOD, START = CONFIG.period, 100.0  # [s]
SHORT = replace(
    CONFIG, state_timeout=2 * PERIOD, settle_time=3 * PERIOD, still_time=2 * PERIOD, tracking_cycles=2,
    max_suspension=3 * PERIOD, coast_time=PERIOD,
)  # fmt: skip
LONG = 4  # periods; longer than each of these times
UNKNOWN: Any = "dance"  # no request that the gate knows
ASKED: tuple[Any, ...] = (*Request, UNKNOWN)
REST = (Mode.STOPPED, Mode.HELD)
NOTHING = Event(lambda bench, inputs: inputs)
FAULTS: dict[str, Event] = {
    f"{group}: {name}": event
    for group, events in EVENTS.items()
    if group != "operator"
    for name, event in events.items()
    if "suspended" not in name
}
SUSPEND = with_(suspend=replace(WISH, seconds=2 * PERIOD))
EVERYTHING = {"nothing": NOTHING, "suspend": SUSPEND, **FAULTS}


@dataclass(frozen=True)
class State:
    """The gate between two decisions, and the arm."""

    decision: Decision
    q: Vec  # (J,) [rad]
    qd: Vec  # (J,) [rad/s]
    now: float  # [s]

    def key(self) -> tuple[Any, ...]:
        """Equal for states from which the next decision differs in nothing but the pose."""
        last, now = self.decision, self.now

        def periods(since: float) -> int:
            return -1 if not math.isfinite(since) else min(round((now - since) / PERIOD), LONG)

        left = 0 if last.suspension is None else round((last.suspension.until - now) / PERIOD)
        return (
            last.mode, last.reason is reasons.TELEOP_SILENT, last.anchored, bool(self.qd.any()),
            last.off_track, last.candidate > 0, left, periods(last.held_since),
            periods(last.state_advanced), periods(last.stillness.moved),
        )  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One decision: from where, what happened, and what came of it."""

    before: State
    fault: str
    requests: tuple[Any, ...]
    after: State
    inputs: Inputs
    config: GateConfig
    models: Models

    def again(self, suspension: bool = True) -> Decision:
        """Decide once more, if wanted as if nobody had suspended the critic."""
        inputs, last = self.inputs, self.before.decision
        if not suspension:
            inputs, last = replace(inputs, suspend=None), replace(last, suspension=None)
        return decide(inputs, last, self.config, self.models)

    def __str__(self) -> str:
        mode, then = self.before.decision.mode.value, self.after.decision
        asked = ", ".join(str(request) for request in self.requests) or "nothing asked"
        return f"{mode}, {self.fault}, {asked}: {then.mode.value}, {then.verdict.name}, {then.reason.name}"


def walk() -> Iterator[Step]:
    """Every step from every state that can be reached from the start."""
    start = State(initial_decision(7, 4), closed().q, closed().qd, START)
    seen, queue = {start.key()}, deque([start])
    while queue:
        before = queue.popleft()
        for fault, speaks, requests in happenings(before.decision.mode):
            taken = step(before, fault, speaks, requests)
            if taken.after.key() not in seen:
                seen.add(taken.after.key())
                queue.append(taken.after)
            yield taken


def happenings(mode: Mode) -> Iterator[tuple[str, bool, tuple[Any, ...]]]:
    """What may happen: any one fault, with a teleoperator or without, and requests.

    Where nothing else is wrong: every order of up to three requests while stopped or held, of up to two
    elsewhere. With every fault: of up to two while stopped, and every single one elsewhere.
    """
    pairs = 2 if mode is Mode.STOPPED else 1
    yield from (("nothing", False, asked) for asked in sequences(3 if mode in REST else 2))
    yield from (("nothing", True, asked) for asked in sequences(pairs))
    for fault, speaks in itertools.product([*FAULTS, "suspend"], (False, True)):
        yield from ((fault, speaks, asked) for asked in sequences(1 if speaks else pairs))


def step(before: State, fault: str, speaks: bool, requests: tuple[Any, ...]) -> Step:
    """Let it happen for one period."""
    bench = Bench.__new__(Bench)  # it is where `before` is, whatever led there
    bench.config, bench.models, bench.speaks = SHORT, closed().models, speaks
    bench.decision, bench.q, bench.qd, bench.now = before.decision, before.q, before.qd, before.now
    seen: list[Inputs] = []

    def change(inputs: Inputs) -> Inputs:
        seen.append(asking(EVERYTHING[fault].change(bench, inputs), *requests))
        return seen[0]

    decision = bench.tick(change)
    after = State(decision, bench.q, bench.qd, bench.now)
    return Step(before, fault, requests, after, seen[0], bench.config, bench.models)


@cache
def closed() -> Bench:
    """A gate as it starts, before a resting arm."""
    return Bench(Mode.STOPPED)


def sequences(longest: int) -> Iterator[tuple[Any, ...]]:
    """Every order of up to `longest` requests."""
    for length in range(longest + 1):
        yield from itertools.product(ASKED, repeat=length)
