"""A fault, the number of injections, the results, and the criteria.

The response time to each fault is proven in simulated time (`tests/simulated`). Here processes are real and
the machine may be overloaded: order, states and safety are asserted, times are only measured and stored.
"""

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.record import commit, machine
from spillguard_core.robot.arm import MONITOR_PERIOD
from tests.faults.commands import clocks
from tests.ros.harness import LATE

REPEATS = int(os.environ.get("SPILLGUARD_FAULT_REPEATS", "1"))
RESULTS = os.environ.get("SPILLGUARD_FAULT_RESULTS", "")
"""A JSON file to which each case adds its measurements; empty: none are stored."""
CLOCKS = clocks()
MESSAGES = 0.01  # [s] for the message with the fault and for the command that responds
BRAKING = 0.28  # [s] from 1.39 rad/s at 5 rad/s^2
WRITERS = 0.1  # [s] between two checks of the monitor for another writer
DISCOVERY = 0.2  # [s] for two nodes on one machine to discover each other
SERVO = 0.12  # [s] from the setpoint's rest to the arm's rest: twice the allowed lag
STOPS, HOLDS, RESTS, GOES_ON = "stops until a reset", "holds", "comes to rest by itself", "goes on"
MOST_LATE = 10  # consecutive injections before which an overloaded machine may stop the arm

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """A fault and the correct response to it."""

    name: str
    fault: str  # description for people
    answer: str  # STOPS, HOLDS, RESTS or GOES_ON
    reasons: tuple[str, ...] = ()  # any of these codes
    detection: float = float("nan")  # [s] from the fault until the monitor can detect it
    lasting: bool = True  # the arm stays at rest as long as the fault lasts

    @property
    def bound(self) -> float:
        """[s] from the fault to the command that holds; NaN if no hold is expected."""
        return self.detection + 2.0 * MONITOR_PERIOD + MESSAGES


@dataclass(frozen=True)
class Repeat:
    """Result of one injection. Times [s] from the fault; NaN if there was no hold."""

    to_hold: float
    to_rest: float
    bound: float
    verdict: str
    reason: str
    followed: float = float("nan")  # share of the cycles in which the policy was followed
    other: tuple[str, ...] = ()  # reasons given in the other cycles
    moved: bool = False  # the arm was commanded to move after it had come to rest
    unsafe: tuple[str, ...] = ()


def late(case: Case, repeat: Repeat) -> bool:
    """Whether the arm was stopped by an overloaded machine before the fault could take effect."""
    wanted = "STOP" if case.answer == STOPS else "HOLD"
    told = repeat.verdict == wanted and repeat.reason in case.reasons
    return case.answer in (STOPS, HOLDS) and not told and repeat.reason in LATE


def run(case: Case, once: Callable[[], Repeat], times: int = REPEATS) -> None:
    """Inject the fault `times` times, and judge. Repeat an injection if the arm had been stopped before."""
    repeats: list[Repeat] = []
    again = 0
    while len(repeats) < times:
        repeat = once()
        assert repeat.unsafe == (), repeat  # whatever else happened
        if late(case, repeat) and again < MOST_LATE * times:
            again += 1
            continue
        log.info("%s: %s", case.name, repeat)
        repeats.append(repeat)
    keep(case, repeats, again)
    for repeat in repeats:
        conclude(case, repeat)


def conclude(case: Case, repeat: Repeat) -> None:
    """Check the result of the fault against the case."""
    assert repeat.unsafe == (), repeat
    if case.answer == GOES_ON:
        # Between the reset and the resume after a stop by a busy machine it is held.
        between = {"OPERATOR_HOLD"} if set(repeat.other) & set(LATE) else set()
        assert set(repeat.other) <= {*LATE, *between}, repeat
        return
    assert math.isfinite(repeat.to_rest), repeat
    if case.answer != RESTS:
        assert repeat.verdict == ("STOP" if case.answer == STOPS else "HOLD"), repeat
        assert repeat.reason in case.reasons and math.isfinite(repeat.to_hold), repeat
    assert not (case.lasting and repeat.moved), repeat


def keep(case: Case, repeats: list[Repeat], again: int) -> None:
    """Add a case to the results, if they are requested. Times in ms."""
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
        "again": again,
        "unsafe": [text for repeat in repeats for text in repeat.unsafe],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept) + "\n")
