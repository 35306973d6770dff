"""Reads a flight recording, including one whose writer was killed, and the intact rest of a damaged one."""

import json
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.records import Metadata
from numpy.typing import NDArray

from spillguard_core.gate.decision import GateConfig
from spillguard_core.gate.gate import Models, decide
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.rule import Tool
from spillguard_core.gate.task import Curve, Task
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks import installed_rules, known_tasks
from spillguard_ros.recording import flight
from spillguard_ros.recording.mcap_files import CHECKSUM, FLIGHT, Loss, records


@dataclass(frozen=True, eq=False)
class Flight:
    """The control cycles of a recording, in order, and when each was written [s since the epoch]."""

    times: Vec  # (T,) on a clock that may be set back at any time
    cycles: tuple[flight.CycleRecord, ...]
    metadata: dict[str, str]
    losses: tuple[Loss, ...] = ()
    flights: frozenset[str] = frozenset()  # names of the flights of its parts; older recordings have none
    absent: frozenset[str] = frozenset()  # fields that its version did not record, as in `flight.absent`

    @cached_property
    def steady(self) -> Vec:
        """(T,) [s] on the monitor's steady clock."""
        return np.array([cycle.inputs.now for cycle in self.cycles])

    @cached_property
    def elapsed(self) -> Vec:
        """(T,) [s] since the first cycle, never decreasing.

        Uses the steady clock. Where that goes back, the computer was restarted between two parts.
        """
        if not self.cycles:
            return np.zeros(0)
        steps, written = (np.diff(clock, prepend=clock[0]) for clock in (self.steady, self.times))
        return np.cumsum(np.where(steps >= 0.0, steps, np.maximum(written, 0.0)))

    @property
    def config(self) -> GateConfig:
        """The gate's configuration; ValueError if it was not recorded or is lost."""
        if "config" not in self.metadata:
            raise ValueError("the recording does not say how the gate was set (its metadata is lost)")
        return flight.decode_config(self.metadata["config"])

    @property
    def threshold(self) -> float:
        """Highest Q_c that passed; NaN if the critic did not act, or if it is unknown."""
        try:
            value = json.loads(self.metadata["manifest"])["threshold"]["value"]
            return float("nan") if value is None else float(value)
        except (KeyError, TypeError, ValueError):
            return float("nan")

    @property
    def margin_fields(self) -> tuple[flight.MarginField, ...]:
        """Its margins, with their units."""
        return flight.margin_fields(_dictionary(self.metadata.get("margins")) or flight.FIRST_MARGINS)

    @property
    def action(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each entry of an action; numbers without units if the manifest is lost."""
        try:
            terms = json.loads(self.metadata["manifest"])["action"]
            return tuple((str(term["name"]), str(term["unit"])) for term in terms)
        except (KeyError, TypeError, ValueError):
            width = self.cycles[0].decision.twist_sent.size if self.cycles else 0
            return tuple((f"entry {number}", "") for number in range(1, width + 1))

    def between(self, start: float, end: float) -> "Flight":
        """The part from `start` to `end` [s] on the monitor's steady clock."""
        inside = (self.steady >= start) & (self.steady <= end)
        kept = tuple(cycle for cycle, keep in zip(self.cycles, inside, strict=True) if keep)
        return replace(self, times=self.times[inside], cycles=kept, losses=())

    def told(self, loss: Loss) -> str:
        """Text for a loss: offset in the file, time in the flight, number of cycles."""
        last, following = self.cycles[: loss.cycles_before][-1:], self.cycles[loss.cycles_before :][:1]
        since = f"after {self.elapsed[loss.cycles_before - 1]:.2f} s" if last else "before the first cycle"
        missing = "an unknown number of cycles"
        if last and following:
            gap = following[0].decision.cycle - last[0].decision.cycle - 1
            missing = f"{gap} cycles" if gap >= 0 else "an unknown number of cycles"
        where = f"{loss.size} bytes from byte {loss.offset} on: " if loss.size else ""
        return f"{loss.file.name}: {where}{loss.why}; {since}, {missing} lost"


@dataclass(frozen=True, eq=False)
class Series:
    """Time series over T cycles, NaN where a value is missing."""

    time: Vec  # (T,) [s] since the first cycle
    curves: dict[Curve, Vec]  # (T,) each, of the task
    q_c: Vec  # (T,)
    verdict: NDArray[np.intp]  # (T,)


def read_flight(*paths: Path) -> Flight:
    """All cycles of a recording, or of several parts of one. Never fails on damaged data.

    Parts are sorted by their cycles; parts of several flights, which have no common order, stay as given.
    """
    times: list[float] = []
    cycles: list[flight.CycleRecord] = []
    metadata: dict[str, str] = {}
    losses: list[Loss] = []
    lacking: frozenset[str] = frozenset()
    read = [_read_part(path) for path in paths]
    flights = frozenset(said[FLIGHT] for _, said, _, _ in read if FLIGHT in said)
    if len(flights) == 1:
        read.sort(key=lambda part: part[0][0][1].decision.cycle if part[0] else 0)
    for found, said, lost, absent in read:
        losses += [replace(loss, cycles_before=len(cycles) + loss.cycles_before) for loss in lost]
        times += [time for time, _ in found]
        cycles += [cycle for _, cycle in found]
        metadata.update(said)
        lacking |= absent
    own = {name: text for name, text in metadata.items() if name not in (FLIGHT, CHECKSUM)}
    _introduce()
    return Flight(np.array(times), tuple(cycles), own, tuple(losses), flights, lacking)


def _introduce() -> None:
    """Import, if present, what defines the reasons of tasks and of installed rules."""
    for installed in (known_tasks, installed_rules):
        with suppress(ValueError, ImportError):
            installed()


Part = tuple[list[tuple[float, flight.CycleRecord]], dict[str, str], list[Loss], frozenset[str]]


def _read_part(path: Path) -> Part:
    """Cycles with their times, in recorded order, each once; metadata; losses; fields not recorded."""
    found: dict[int, tuple[float, flight.CycleRecord]] = {}
    metadata: dict[str, str] = {}
    losses: list[Loss] = []
    absent: frozenset[str] | None = None
    strange: list[Exception] = []
    twice = 0
    for topic, record in records(path):
        if isinstance(record, Loss):
            losses.append(replace(record, cycles_before=len(found)))
        elif isinstance(record, Metadata):
            metadata.update(record.metadata)
        elif topic == flight.TOPIC:
            try:
                cycle = flight.decode(record.data)
                absent = flight.absent(record.data) if absent is None else absent
                if not math.isfinite(cycle.inputs.now):
                    raise ValueError(f"its time is {cycle.inputs.now}")
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
                strange.append(error)  # of another version, or not a cycle at all
            else:
                _, first = found.setdefault(cycle.decision.cycle, (1e-9 * record.log_time, cycle))
                twice += first.inputs.now != cycle.inputs.now
    if strange:
        why = f"{len(strange)} cycles cannot be understood ({type(strange[0]).__name__}: {strange[0]})"
        losses.append(Loss(path, 0, 0, why, len(found)))
    if twice:  # from a monitor that restarted its numbering when it was activated again
        losses.append(Loss(path, 0, 0, f"{twice} cycles have numbers that others had before", len(found)))
    ordered = [found[number] for number in sorted(found)]
    return ordered, metadata, losses, absent or frozenset()


def replay(recorded: Flight, models: Models) -> list[int]:
    """Numbers of the cycles for which the gate, called again, decides differently.

    Each cycle is decided from the recorded decision before it; the first one after a gap in the recording is
    skipped. Fields unknown to the version that recorded are not compared.
    """
    config, different = recorded.config, []
    for before, cycle in pairwise(recorded.cycles):
        wanted = cycle.decision
        if wanted.cycle != before.decision.cycle + 1:
            continue
        try:
            anew = decide(cycle.inputs, before.decision, config, models)
            same = flight.equal(anew, wanted, recorded.absent)
        except Exception:  # not a decision that any gate made
            same = False
        if not same:
            different.append(wanted.cycle)
    return different


class Alternative(NamedTuple):
    """What the critic was asked about."""

    action: Vec  # (A,) in physical units
    q_c: float


def alternatives(recorded: Flight, index: int, models: Models) -> list[Alternative]:
    """What the critic was asked about in one cycle, the proposal first, the recovery last: the gate decides
    it again, and what its critic is asked is kept. Empty where it was not asked, there is none, or the cycle
    before is missing.
    """
    before, cycle = recorded.cycles[max(index - 1, 0)], recorded.cycles[index]
    critic = models.critic
    if critic is None or cycle.decision.cycle != before.decision.cycle + 1:
        return []
    asked: list[Alternative] = []

    def kept(obs: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float32]:
        q_c = critic(obs, action)
        if not asked:  # what limits leave of a choice is asked about afterwards
            asked.extend(map(Alternative, action * models.scale, q_c.tolist()))
        return q_c

    decide(cycle.inputs, before.decision, recorded.config, replace(models, critic=kept))
    return asked


def _dictionary(text: str | None) -> dict[str, str]:
    """Parsed JSON; empty if it is lost."""
    try:
        raw = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in raw.items()} if isinstance(raw, dict) else {}


def series(recorded: Flight, task: Task, tool: Tool) -> Series:
    """The task's curves, critic values and verdicts."""

    def row(cycle: flight.CycleRecord) -> list[float]:
        seen = cycle.inputs.measurement
        if seen is None or not np.isfinite(seen.joint_position).all():
            return [math.nan] * len(task.curves)
        state = tool.state(seen.joint_position, seen.joint_velocity)
        return [curve.function(seen, state) for curve in task.curves]

    rows = np.array([row(cycle) for cycle in recorded.cycles]).reshape(-1, len(task.curves))
    q_c = np.array([cycle.decision.q_c for cycle in recorded.cycles])
    verdict = np.array([cycle.decision.verdict for cycle in recorded.cycles], dtype=np.intp)
    return Series(recorded.elapsed, dict(zip(task.curves, rows.T, strict=True)), q_c, verdict)


OPERATORS = ("OPERATOR_HOLD", "OPERATOR_STOP", "NOT_RESET", "TELEOP_SILENT")


def overrides(recorded: Flight) -> dict[str, int]:
    """Cycles in which the arm should have followed and did not, by reason, most frequent first."""
    counts: dict[str, int] = {}
    for cycle in recorded.cycles:
        decision = cycle.decision
        operators = decision.reason.name in OPERATORS
        if decision.verdict is not Verdict.PASS and not operators:
            counts[decision.reason.name] = counts.get(decision.reason.name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def percentiles(values: Any) -> tuple[float, float]:
    """Median and 99th percentile, ignoring NaN; NaN if nothing is left."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return (float(np.median(finite)), float(np.percentile(finite, 99))) if finite.size else (np.nan, np.nan)
