"""A fault, how often it was injected, what came of it, and what it is held to."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.record import commit, machine
from spillguard_core.arm import MONITOR_PERIOD
from tests.faults.commands import clocks

REPEATS = int(os.environ.get("SPILLGUARD_FAULT_REPEATS", "2"))
RESULTS = os.environ.get("SPILLGUARD_FAULT_RESULTS", "")
"""A JSON file to which each case adds what it measured; empty: nothing is kept."""
CLOCKS = clocks()
MESSAGES = 0.01  # [s] for the message that carries the fault and for the command that answers it
JITTER = 0.1  # [s] more than the bound that a machine shared with others may take
BRAKING = 0.28  # [s] from 1.39 rad/s at 5 rad/s^2
SERVO = 0.12  # [s] by which the arm comes to rest after its set point: two of the lag that is allowed
STUTTER = "limit_broken"  # what a servo may do that has to catch up with a command that came late
# [s] over which commands reach: after a longer standstill of the machine the arm stutters, whatever is sent.
STALL = CLOCKS["coast_time"]
STOPS, HOLDS, RESTS, GOES_ON = "stops until a reset", "holds", "comes to rest by itself", "goes on"


@dataclass(frozen=True)
class Case:
    """A fault and the right answer to it."""

    name: str
    fault: str  # for the reader
    answer: str  # STOPS, HOLDS, RESTS or GOES_ON
    reasons: tuple[str, ...] = ()  # any of these codes
    detection: float = float("nan")  # [s] from the fault until the monitor can know

    @property
    def bound(self) -> float:
        """[s] from the fault to the command that holds; NaN where nothing is to hold."""
        return self.detection + 2.0 * MONITOR_PERIOD + MESSAGES


@dataclass(frozen=True)
class Repeat:
    """What came of one injection. Times [s] from the fault; NaN where there was no hold."""

    to_hold: float
    to_rest: float
    bound: float
    verdict: str
    reason: str
    followed: float = float("nan")  # share of the cycles in which the policy was followed
    stalled: float = 0.0  # [s] for which arm or monitor were kept from running, at the longest
    silence: float = 0.0  # [s] between two commands, at the longest
    unsafe: tuple[str, ...] = ()


def spoiled(case: Case, repeat: Repeat) -> bool:
    """Whether the machine, not the fault, made the arm do what it did. Never, when a command was unsafe."""
    if set(repeat.unsafe) - {STUTTER}:
        return False
    if case.answer == GOES_ON:
        return repeat.stalled > STALL or repeat.silence > CLOCKS["state_timeout"]
    return case.answer != RESTS and repeat.reason not in case.reasons


def run(case: Case, once: Callable[[], Repeat], times: int = REPEATS) -> None:
    """Inject the fault so often, and judge. What the machine spoilt is taken again, as often at most."""
    repeats, again = [], 0
    while len(repeats) < times:
        repeat = once()
        if spoiled(case, repeat) and again < times:
            again += 1
        else:
            repeats.append(repeat)
    keep(case, repeats, again)
    conclude(case, repeats)


def conclude(case: Case, repeats: list[Repeat]) -> None:
    """Hold the figures to what the case promises, with the allowance of a shared machine."""
    for repeat in repeats:
        stuttered = max(repeat.stalled, repeat.silence) > STALL
        assert set(repeat.unsafe) <= ({STUTTER} if stuttered else set()), repeats
    if case.answer == GOES_ON:
        assert all(repeat.verdict != "STOP" and repeat.followed >= 0.9 for repeat in repeats), repeats
        return
    if case.answer == RESTS:
        times = [repeat.to_rest for repeat in repeats]
    else:
        times = [repeat.to_hold for repeat in repeats]
        wanted = "STOP" if case.answer == STOPS else "HOLD"
        assert {repeat.verdict for repeat in repeats} == {wanted}, repeats
        assert {repeat.reason for repeat in repeats} <= set(case.reasons), repeats
        rest = [repeat.to_rest <= repeat.to_hold + BRAKING + SERVO + JITTER for repeat in repeats]
        assert all(rest), repeats
    assert all(t <= repeat.bound + JITTER for t, repeat in zip(times, repeats, strict=True)), repeats


def keep(case: Case, repeats: list[Repeat], again: int) -> None:
    """Add a case to the results, where they are asked for. Times in ms."""
    if not RESULTS:
        return
    path = Path(RESULTS)
    kept = json.loads(path.read_text()) if path.exists() else {}

    def column(name: str, factor: float = 1e3) -> list[float | None]:
        values = [factor * getattr(repeat, name) for repeat in repeats]
        return [None if math.isnan(value) else round(value, 2) for value in values]

    kept[case.name] = {
        "fault": case.fault,
        "answer": case.answer,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "machine": machine(),
        "verdicts": Counter(repeat.verdict for repeat in repeats),
        "reasons": Counter(repeat.reason for repeat in repeats),
        "to_hold": column("to_hold"),
        "to_rest": column("to_rest"),
        "bound": column("bound"),
        "followed": column("followed", 100.0),
        "stalled": column("stalled"),
        "again": again,
        "unsafe": [text for repeat in repeats for text in repeat.unsafe],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept) + "\n")
