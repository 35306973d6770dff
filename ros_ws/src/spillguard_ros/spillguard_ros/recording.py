"""Reads a flight recording, also one whose writer was killed."""

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Metadata
from mcap.stream_reader import StreamReader
from numpy.typing import NDArray

from spillguard_core.arm import Vec
from spillguard_core.decision import Verdict
from spillguard_core.gate import Models, decide
from spillguard_core.kinematics import ArmKinematics
from spillguard_ros import flight


@dataclass(frozen=True, eq=False)
class Flight:
    """The control cycles of a recording, in order, and when each was written [s since the epoch]."""

    times: Vec  # (T,)
    cycles: tuple[flight.Cycle, ...]
    metadata: dict[str, str]

    @property
    def threshold(self) -> float:
        """Highest Q_c that passed; NaN where the critic did not act."""
        value = json.loads(self.metadata["manifest"])["threshold"]["value"]
        return float("nan") if value is None else float(value)

    def between(self, start: float, end: float) -> "Flight":
        """The part from `start` to `end` [s since the epoch]."""
        inside = (self.times >= start) & (self.times <= end)
        kept = tuple(cycle for cycle, keep in zip(self.cycles, inside, strict=True) if keep)
        return Flight(self.times[inside], kept, self.metadata)


@dataclass(frozen=True, eq=False)
class Series:
    """Figures over T cycles, NaN where there were none."""

    time: Vec  # (T,) [s] since the first cycle
    tilt: Vec  # (T,) [rad]
    poured: Vec  # (T,) [kg]
    remaining: Vec  # (T,) [kg]
    q_c: Vec  # (T,)
    verdict: NDArray[np.intp]  # (T,)


def part_number(path: Path, part: Path) -> int:
    """Of an older part of the recording `path`: FILE-0001 is 1; 0 for any other file."""
    match = re.fullmatch(rf"{re.escape(path.stem)}-(\d+){re.escape(path.suffix)}", part.name)
    return int(match[1]) if match else 0


def parts(path: Path) -> list[Path]:
    """Files of a recording that are there, oldest first; `path` itself is the newest."""
    older = [part for part in path.parent.iterdir() if part_number(path, part)]
    return sorted(older, key=lambda part: part_number(path, part)) + ([path] if path.exists() else [])


def records(path: Path) -> Iterator[tuple[str, Message | Metadata]]:
    """Topic and record, in file order; metadata has the topic "". Ends quietly where a file breaks off.

    A cut leaves half a record behind, and the reader meets it in its own way in each kind of record.
    """
    topics: dict[int, str] = {}
    with path.open("rb") as stream:
        try:
            for record in StreamReader(stream).records:
                if isinstance(record, Channel):
                    topics[record.id] = record.topic
                elif isinstance(record, Message):
                    yield topics[record.channel_id], record
                elif isinstance(record, Metadata):
                    yield "", record
        except (McapError, EOFError, ValueError, struct.error):
            return


def read_flight(*paths: Path) -> Flight:
    """All cycles of a recording, or of several parts of one, oldest first."""
    times, cycles, metadata = [], [], {}
    for topic, record in chain.from_iterable(map(records, paths)):
        if isinstance(record, Metadata):
            metadata.update(record.metadata)
        elif topic == flight.TOPIC:
            times.append(1e-9 * record.log_time)
            cycles.append(flight.decode(record.data))
    return Flight(np.array(times), tuple(cycles), metadata)


def replay(recorded: Flight, models: Models) -> list[int]:
    """Numbers of the cycles in which the gate, asked again, does not decide as it did.

    Each cycle is decided from the recorded decision before it; after a gap in the recording it is left out.
    """
    config, different = flight.decode_config(recorded.metadata["config"]), []
    for before, cycle in pairwise(recorded.cycles):
        wanted = cycle.decision
        if wanted.cycle != before.decision.cycle + 1:
            continue
        if not flight.equal(decide(cycle.inputs, before.decision, config, models), wanted):
            different.append(wanted.cycle)
    return different


def series(recorded: Flight, kinematics: ArmKinematics) -> Series:
    """What is worth plotting."""

    def row(cycle: flight.Cycle) -> tuple[float, ...]:
        seen, decision = cycle.inputs.measurement, cycle.decision
        if seen is None or not np.isfinite(seen.joint_position).all():
            return np.nan, np.nan, np.nan, decision.q_c
        tilt = kinematics.lip(seen.joint_position, seen.joint_velocity).tilt
        return tilt, seen.poured_mass, seen.remaining_mass, decision.q_c

    tilt, poured, remaining, q_c = np.array([row(cycle) for cycle in recorded.cycles]).T
    verdict = np.array([cycle.decision.verdict for cycle in recorded.cycles], dtype=np.intp)
    return Series(recorded.times - recorded.times[0], tilt, poured, remaining, q_c, verdict)


OPERATORS = ("OPERATOR_HOLD", "OPERATOR_STOP", "NOT_RESET", "TELEOP_SILENT")


def overrides(recorded: Flight) -> dict[str, int]:
    """Cycles in which the arm was meant to follow and did not, by reason, most frequent first."""
    counts: dict[str, int] = {}
    for cycle in recorded.cycles:
        decision = cycle.decision
        operators = decision.reason.name in OPERATORS
        if decision.verdict is not Verdict.PASS and not operators:
            counts[decision.reason.name] = counts.get(decision.reason.name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def percentiles(values: Any) -> tuple[float, float]:
    """Median and 99th percentile, NaN left out; NaN if nothing is left."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return (float(np.median(finite)), float(np.percentile(finite, 99))) if finite.size else (np.nan, np.nan)
