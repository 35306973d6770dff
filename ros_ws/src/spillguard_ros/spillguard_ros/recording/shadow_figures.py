"""All figures of a shadow report, as one value."""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate.proposals import answer_age
from spillguard_ros.recording.judged import Cause, Compared, Judged, causes, changed
from spillguard_ros.recording.recording import Flight

MOST_MOMENTS = 8


@dataclass(frozen=True)
class Distance:
    """How far proposals were from what the arm did."""

    name: str
    unit: str
    median: float
    p95: float


@dataclass(frozen=True)
class WorthALook:
    """A moment worth looking at."""

    at: float  # [s] since the first cycle of the recording, as `spillguard explain --at` takes it
    why: str
    command: str


@dataclass(frozen=True)
class Findings:
    """All figures. Times [s], shares from 0 to 1, NaN where nothing is known."""

    shadow: bool
    speed_scale: float
    seconds: float  # in which the policy was judged
    standing: float  # besides: stopped, held, or somebody else had a guarded arm
    cycles: int
    proposals: int
    changed: int  # proposals that were, or would have been, changed
    changed_share: float
    changed_time: float  # share of the time
    causes: tuple[Cause, ...]
    distances: tuple[Distance, ...]
    latency: dict[str, float]  # p50, p95, p99, trained
    driver_faults: dict[str, int]  # text -> cycles: a guarded monitor would not have been reset
    moments: tuple[WorthALook, ...]
    lost: tuple[str, ...]


def _distances(recorded: Flight, beside: Compared) -> tuple[Distance, ...]:
    if not beside.index.size:
        return ()
    away = np.abs(beside.asked - beside.done)
    found = [
        Distance(name.replace("_", " "), unit, *_middle_and_high(away[:, entry]))
        for entry, (name, unit) in enumerate(recorded.action)
    ]
    return (*found, Distance("fastest joint", "rad/s", *_middle_and_high(np.abs(beside.joints).max(axis=1))))


def _middle_and_high(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return math.nan, math.nan
    middle, high = np.percentile(known, (50, 95)).tolist()
    return middle, high


def _latency(recorded: Flight, seen: Judged) -> dict[str, float]:
    ages = np.array([answer_age(recorded.cycles[number].inputs) for number in seen.index.tolist()])
    known = ages[np.isfinite(ages)]
    levels = np.percentile(known, (50, 95, 99)).tolist() if known.size else [math.nan] * 3
    try:
        trained = float(json.loads(recorded.metadata["manifest"])["trained_latency"])
    except (KeyError, TypeError, ValueError):
        trained = math.nan
    return dict(zip(("p50", "p95", "p99", "trained"), (*levels, trained), strict=True))


def _moments(
    recorded: Flight, logs: Sequence[Path], found: Sequence[Cause], beside: Compared | None
) -> tuple[WorthALook, ...]:
    names, wanted = shlex.join(map(str, logs)), list[tuple[float, str]]()
    for cause in found:
        wanted.append((cause.first, f"first {cause.verdict}: {cause.text}"))
        if cause.longest_at != cause.first:
            wanted.append((cause.longest_at, f"longest {cause.verdict}, {cause.longest:.2f} s: {cause.text}"))
    wanted = wanted[: MOST_MOMENTS - 1]
    if beside is not None and beside.index.size:
        farthest = int(beside.index[np.abs(beside.joints).max(axis=1).argmax()])
        wanted.append((float(recorded.elapsed[farthest]), "policy and arm farthest apart"))
    # Down to the millisecond: the moment has to lie within the recording.
    return tuple(
        WorthALook(at, why, f"spillguard explain {names} --at {at:.3f}")
        for at, why in ((math.floor(1e3 * time) / 1e3, why) for time, why in wanted)
    )


def report_of(recorded: Flight, logs: Sequence[Path], beside: Compared | None, seen: Judged) -> Findings:
    """All figures of a recording. ValueError if it does not say how the gate was set."""
    found, config = causes(recorded, seen), recorded.config
    number, total = changed(recorded, seen), len(seen.answers)
    faults: dict[str, int] = {}
    for index in seen.index.tolist():
        if fault := recorded.cycles[index].inputs.driver_fault:
            faults[fault] = faults.get(fault, 0) + 1
    return Findings(
        shadow=config.shadow, speed_scale=config.speed_scale, seconds=seen.seconds, standing=seen.standing,
        cycles=len(seen.index), proposals=total, changed=number,
        changed_share=number / total if total else math.nan, changed_time=sum(cause.share for cause in found),
        causes=tuple(found), distances=() if beside is None else _distances(recorded, beside),
        latency=_latency(recorded, seen), driver_faults=faults,
        moments=_moments(recorded, logs, found, beside),
        lost=tuple(recorded.told(loss) for loss in recorded.losses),
    )  # fmt: skip


def as_json(report: Findings) -> str:
    """All figures; null where nothing is known, which JSON has no number for."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(asdict(report)), indent=2) + "\n"
