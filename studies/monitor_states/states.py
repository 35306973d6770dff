"""The gate's decision for every event in every mode, as tables that are computed, not written by hand. The
real gate is brought into each mode, the event is applied, and the decision is recorded. Needs no ROS.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from spillguard_core.gate.decision import GUARDED, Decision, Mode, Request, SuspensionRequest
from spillguard_core.gate.refusal import refusal
from studies.monitor_states.bench import CONFIG, UPWARD, GateBench
from studies.monitor_states.events import (
    EVENTS,
    LONG_AGO,
    SENSELESS,
    WISH,
    Event,
    ask,
    teleop,
    with_,
)


@cache
def table() -> dict[tuple[Mode, str], Decision]:
    """The gate's decisions, by mode and by event (its group and name)."""
    return {
        (mode, f"{group}: {name}"): event.befall(GateBench(mode))
        for group, events in EVENTS.items()
        for name, event in events.items()
        for mode in GUARDED
    }


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(decision: Decision) -> str:
    return f"{decision.mode.value}, **{decision.verdict.name}**<br>{decision.reason.value}"


def events_table() -> str:
    """Rows: events. Columns: modes."""
    decided = table()
    names = [f"{group}: {name}" for group, events in EVENTS.items() for name in events]
    rows = [[name, *(_cell(decided[mode, name]) for mode in GUARDED)] for name in names]
    return _markdown(["event", *(f"in {mode.value}" for mode in GUARDED)], rows)


SERVICES: dict[str, Request | SuspensionRequest] = {
    **{request.value: request for request in Request},
    "suspend_critic": WISH,
    "suspend_critic without a reason": SENSELESS,
    f"suspend_critic for {2.0 * CONFIG.max_suspension:.0f} s": replace(
        WISH, seconds=2.0 * CONFIG.max_suspension
    ),
}


def services_table() -> str:
    """Rows: services. Columns: modes. The answers when all inputs are healthy."""

    def answer(mode: Mode, request: Request | SuspensionRequest) -> str:
        bench = GateBench(mode)
        refused = refusal(request, bench.inputs(), bench.decision, bench.config)
        return f"refused: {refused}" if refused else "granted"

    rows = [[name, *(answer(mode, request) for mode in GUARDED)] for name, request in SERVICES.items()]
    return _markdown(["service", *(f"in {mode.value}" for mode in GUARDED)], rows)


def _wait(seconds: float) -> Event:
    return Event(lambda bench, inputs: inputs, math.ceil(seconds / CONFIG.period))


SUSPENSIONS = {
    "nothing": ask(),
    "half of the time is over": _wait(0.5 * WISH.seconds),
    "the time is over": _wait(WISH.seconds),
    "suspend_critic again, for longer": with_(suspend=SuspensionRequest("again", 2.0 * WISH.seconds)),
    "suspend_critic again, refused": with_(suspend=SENSELESS),
    "restore_critic": ask(Request.RESTORE_CRITIC),
    "restore_critic and suspend_critic in one period": with_(
        suspend=WISH, requests=(Request.RESTORE_CRITIC,)
    ),
    "hold": ask(Request.HOLD),
    "resume": ask(Request.RESUME),
    "stop": ask(Request.STOP),
    "joint state is stale": with_(state_received=0.0),
    "teleoperator speaks": teleop(UPWARD, 0.0),
    "teleoperator falls silent": teleop(UPWARD, LONG_AGO),
}


def suspended_bench(mode: Mode) -> GateBench:
    """In `mode`, with the critic suspended."""
    bench = GateBench(mode)
    bench.tick(lambda inputs: replace(inputs, suspend=WISH))
    return bench


def suspensions_table() -> str:
    """Rows: events. Columns: modes in which the critic may be suspended. The remaining suspension."""

    def left(mode: Mode, event: Event) -> str:
        decision = event.befall(suspended_bench(mode))
        running = decision.suspension
        return "acts" if running is None else f"suspended: {running.reason}"

    modes = [mode for mode in GUARDED if mode is not Mode.STOPPED]
    rows = [[name, *(left(mode, event) for mode in modes)] for name, event in SUSPENSIONS.items()]
    return _markdown(["event while suspended", *(f"in {mode.value}" for mode in modes)], rows)


def transitions() -> dict[tuple[Mode, Mode], list[str]]:
    """Events that change the mode, by the mode before and after."""
    found: dict[tuple[Mode, Mode], list[str]] = {}
    for (before, name), decision in table().items():
        if decision.mode is not before:
            found.setdefault((before, decision.mode), []).append(name)
    return found
