"""`spillguard replay` and `spillguard explain`: what a recording proves, why a command was changed.

Needs no running ROS 2: the gate is a pure function, so a recording and its bundle are enough to ask it again,
and the recording alone tells what it said.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from spillguard_core.arm import JOINT_NAMES
from spillguard_core.bundle import Bundle, load_bundle
from spillguard_core.decision import Decision, Mode
from spillguard_ros import flight
from spillguard_ros.recording import Flight, overrides, read_flight, replay

SHIPPED = Path("artifacts/pour_coffee")


class RecordingError(ValueError):
    """A recording that answers nothing. The message says why."""


@dataclass(frozen=True)
class Replay:
    """Ask the gate again about every recorded cycle. Exit status 0 only if all decisions are bit-equal."""

    log: tyro.conf.Positional[tuple[Path, ...]]
    """MCAP file of a flight, or the parts of one, oldest first."""
    bundle: Path = SHIPPED
    """Directory of the bundle that flew."""

    def __post_init__(self) -> None:
        if not self.log:
            raise ValueError("name at least one recording")


@dataclass(frozen=True)
class Explain:
    """Say what the gate was asked at one moment of a flight, what it sent instead, and why."""

    log: tyro.conf.Positional[Path]
    """MCAP file of a flight."""
    at: float | None = None
    """Seconds since the first cycle; by default the first cycle in which the policy was overridden."""
    around: float = 2.0
    """Seconds before and after that are plotted."""
    out: Path | None = None
    """Picture to write; by default beside the recording."""

    def __post_init__(self) -> None:
        if not self.around > 0.0:
            raise ValueError(f"around must be above 0 s, got {self.around}")


def opened(*logs: Path) -> Flight:
    """A recording with at least one cycle, from one file or from its parts."""
    for log in logs:
        if not log.is_file():
            raise RecordingError(f"{log} is no file")
    recorded = read_flight(*logs)
    if not recorded.cycles:
        names = " ".join(map(str, logs))
        raise RecordingError(f"{names} holds no cycle of a safety monitor; was it written with record:=FILE?")
    return recorded


def bundle_of(recorded: Flight, path: Path) -> Bundle:
    """The bundle at `path`, if it is the one that flew."""
    bundle = load_bundle(path, JOINT_NAMES)
    if json.loads(bundle.manifest.to_json()) != json.loads(recorded.metadata["manifest"]):
        raise RecordingError(
            f"the flight was not made with the bundle {path}; name the right one: --bundle DIR"
        )
    return bundle


def found_cycle(recorded: Flight, at: float | None) -> int:
    """Index of the cycle at a time [s] since the first one, or of the first override."""
    if at is None:
        return next((i for i, c in enumerate(recorded.cycles) if _overridden(c.decision)), 0)
    elapsed = recorded.times - recorded.times[0]
    if not 0.0 <= at <= elapsed[-1]:
        raise RecordingError(f"the flight lasts from 0 to {elapsed[-1]:.2f} s; there is nothing at {at} s")
    return int(np.argmin(np.abs(elapsed - at)))


def _overridden(decision: Decision) -> bool:
    return decision.mode.value in ("following", "teleop") and decision.verdict.name != "PASS"


def stretch(recorded: Flight, index: int) -> tuple[int, int]:
    """First and last index of the cycles around `index` that have the same reason without a break."""
    reasons = [cycle.decision.reason for cycle in recorded.cycles]
    first = last = index
    while first > 0 and reasons[first - 1] is reasons[index]:
        first -= 1
    while last + 1 < len(reasons) and reasons[last + 1] is reasons[index]:
        last += 1
    return first, last


def explained(recorded: Flight, index: int) -> list[tuple[str, str]]:
    """The facts of one cycle, as name and text."""
    cycle, elapsed = recorded.cycles[index], recorded.times - recorded.times[0]
    decision, margins, teleop = cycle.decision, cycle.decision.margins, cycle.decision.mode is Mode.TELEOP
    proposal, running = cycle.inputs.teleop if teleop else cycle.inputs.proposal, decision.suspension
    first, last = stretch(recorded, index)
    asked = "nothing" if proposal is None else _twist(proposal.twist)
    verdict = f"{decision.verdict.name}: {decision.reason.value}"
    return [
        ("time", f"{elapsed[index]:.3f} s, cycle {decision.cycle}"),
        ("verdict", f"{verdict}{f' ({decision.detail})' if decision.detail else ''}"),
        ("lasted", f"{elapsed[first]:.3f} to {elapsed[last]:.3f} s, {last - first + 1} cycles"),
        ("mode", decision.mode.value),
        ("critic", f"suspended: {running.reason}" if running else "not suspended"),
        ("asked", asked),
        ("sent", _twist(decision.twist_sent) if decision.send else "nothing: the arm keeps what it has"),
        ("Q_c of what was sent", f"{decision.q_c:.4f}, threshold {recorded.threshold:.4f}"),
        ("margin to joint limits", f"{margins.position:.4f} rad"),
        ("margin to the workspace", f"{margins.workspace:.4f} m"),
        ("margin to obstacles", f"{margins.clearance:.4f} m"),
        ("margin of tracking", f"{margins.tracking:.4f} rad"),
        ("age of joint state", f"{1e3 * margins.state_age:.1f} ms"),
        ("age of what was asked", f"{1e3 * margins.command_age:.1f} ms"),
        ("gate took", f"{1e3 * cycle.decide_time:.3f} ms, {1e3 * cycle.period:.2f} ms after the one before"),
    ]


def _twist(twist: np.ndarray) -> str:
    vx, vy, vz, rate = twist.tolist()
    return f"({vx:.4f}, {vy:.4f}, {vz:.4f}) m/s, tilt rate {rate:.4f} rad/s"


def replay_main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if every decision is equal, 1 if one differs, 2 if the recording cannot be asked."""
    args = tyro.cli(
        Annotated[Replay, tyro.conf.OmitArgPrefixes], prog="spillguard replay",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    console = Console()
    try:
        recorded = opened(*args.log)
        config = flight.decode_config(recorded.metadata["config"])
        models = bundle_of(recorded, args.bundle).models(config.clearance)
        with console.status(f"asking the gate about {len(recorded.cycles)} cycles"):
            different = replay(recorded, models)
    except (ValueError, OSError, KeyError) as error:
        return _refused("replay", error)
    following = [b.decision.cycle + 1 == c.decision.cycle for b, c in pairwise(recorded.cycles)]
    asked, gaps = sum(following), len(following) - sum(following)
    console.print(
        f"{asked - len(different)} of {asked} decisions equal to the bit"
        + (f"; {gaps} left out, for cycles are missing before them" if gaps else "")
    )
    for reason, count in overrides(recorded).items():
        console.print(f"  overridden {count} times: {reason}", highlight=False)
    if different:
        console.print(f"different: cycles {', '.join(map(str, different[:20]))}", style="red")
    return int(bool(different))


def explain_main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when the moment was found and drawn."""
    args = tyro.cli(
        Annotated[Explain, tyro.conf.OmitArgPrefixes], prog="spillguard explain",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    console = Console()
    try:
        recorded = opened(args.log)
        index = found_cycle(recorded, args.at)
        table = Table(show_header=False)
        for name, text in explained(recorded, index):
            table.add_row(name, text)
        console.print(table)
        from spillguard_ros.flight_plot import save_moment

        moment = recorded.times[index] - recorded.times[0]
        out = args.out or args.log.with_name(f"{args.log.stem}-{moment:.2f}s.png")
        save_moment(recorded, index, args.around, out)
    except (ValueError, OSError, KeyError) as error:
        return _refused("explain", error)
    console.print(f"plot {out}", soft_wrap=True)
    return 0


def _refused(command: str, error: Exception) -> int:
    text = f"spillguard {command}: {error}"
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    console.print(text, style="red")
    return 2
