"""`spillguard replay` and `spillguard explain`: verify a recording, and explain why a command was changed.

Needs no running ROS 2: the gate is a pure function, so a recording and its bundle are enough to replay it,
and the recording alone contains its decisions.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.bundle.manifest import Manifest, refusing
from spillguard_core.bundle.site import site_of
from spillguard_core.gate import chunk
from spillguard_core.gate.decision import Decision, Mode
from spillguard_core.robot.arm import load_robot
from spillguard_ros.recording import flight
from spillguard_ros.recording.recording import (
    Alternative,
    Flight,
    alternatives,
    overrides,
    read_flight,
    replay,
)

SHIPPED = Path("artifacts/pour_coffee")
MOST_LOSSES = 10  # listed individually


class RecordingError(ValueError):
    """A recording that cannot be used. The message says why."""


@dataclass(frozen=True)
class Replay:
    """Ask the gate again about every recorded cycle. Exit status 0 only if all decisions are bit-equal."""

    log: tyro.conf.Positional[tuple[Path, ...]]
    """MCAP file of a flight, or the parts of one, oldest first."""
    bundle: Path = SHIPPED
    """Directory of the bundle that flew."""
    robot: str = ""
    """Name of the arm, or a folder with its robot.yaml; by default the name in the bundle."""

    def __post_init__(self) -> None:
        if not self.log:
            raise ValueError("name at least one recording")


@dataclass(frozen=True)
class Explain:
    """Say what the gate was asked at one moment of a flight, what it sent instead, and why."""

    log: tyro.conf.Positional[tuple[Path, ...]]
    """MCAP file of a flight, or the parts of one, oldest first."""
    at: float | None = None
    """Seconds since the first cycle; by default the first cycle in which the policy was overridden."""
    around: float = 2.0
    """Seconds before and after that are plotted."""
    bundle: Path | None = None
    """Directory of the bundle that flew: then all that its critic could choose from is shown, too."""
    out: Path | None = None
    """Picture to write; by default beside the recording."""

    def __post_init__(self) -> None:
        if not self.log:
            raise ValueError("name at least one recording")
        if not self.around > 0.0:
            raise ValueError(f"around must be above 0 s, got {self.around}")


def opened(*logs: Path) -> Flight:
    """A recording with at least one cycle, from one file or from its parts."""
    for log in logs:
        if not log.is_file():
            raise RecordingError(f"{log} is no file")
    recorded = read_flight(*logs)
    if len(recorded.flights) > 1:
        raise RecordingError(
            f"{' '.join(map(str, logs))} are parts of {len(recorded.flights)} flights; give those of one"
        )
    if not recorded.cycles:
        names = " ".join(map(str, logs))
        lost = "".join(f"\n{recorded.told(loss)}" for loss in recorded.losses[:MOST_LOSSES])
        raise RecordingError(
            f"{names} holds no cycle of a safety monitor; was it written with record:=FILE?{lost}"
        )
    return recorded


def tell_losses(recorded: Flight, console: Console) -> None:
    """What could not be read, line by line."""
    for loss in recorded.losses[:MOST_LOSSES]:
        console.print(
            f"lost: {recorded.told(loss)}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )
    if len(recorded.losses) > MOST_LOSSES:
        console.print(f"and {len(recorded.losses) - MOST_LOSSES} more losses", style="yellow")


def bundle_of(recorded: Flight, path: Path, robot: str = "") -> Bundle:
    """The bundle at `path`, if it is the one that was used in the flight."""
    if "manifest" not in recorded.metadata:
        raise RecordingError("the recording does not say which bundle flew (its metadata is lost)")
    text = recorded.metadata.get("site", "")
    with refusing("the recorded site"):
        site = site_of(text, "the recording") if text else None
    bundle = load_bundle(path, load_robot(robot) if robot else None, site=site)
    if bundle.manifest.flown() != Manifest.from_json(recorded.metadata["manifest"]).flown():
        raise RecordingError(
            f"the flight was not made with the bundle {path}; name the right one: --bundle DIR"
        )
    return bundle


def found_cycle(recorded: Flight, at: float | None) -> int:
    """Index of the cycle at a time [s] since the first one, or of the first override."""
    if at is None:
        return next((i for i, c in enumerate(recorded.cycles) if _overridden(c.decision)), 0)
    elapsed = recorded.elapsed
    if not 0.0 <= at <= elapsed[-1]:
        raise RecordingError(f"the flight lasts from 0 to {elapsed[-1]:.2f} s; there is nothing at {at} s")
    return int(np.argmin(np.abs(elapsed - at)))


def _overridden(decision: Decision) -> bool:
    return decision.mode in (Mode.FOLLOWING, Mode.TELEOP, Mode.SHADOW) and decision.verdict.name != "PASS"


def stretch(recorded: Flight, index: int) -> tuple[int, int]:
    """First and last index of the uninterrupted run of cycles around `index` with the same reason."""
    reasons = [cycle.decision.reason for cycle in recorded.cycles]
    first = last = index
    while first > 0 and reasons[first - 1] is reasons[index]:
        first -= 1
    while last + 1 < len(reasons) and reasons[last + 1] is reasons[index]:
        last += 1
    return first, last


def explained(recorded: Flight, index: int) -> list[tuple[str, str]]:
    """The facts of one cycle, as pairs of name and text."""
    cycle, elapsed = recorded.cycles[index], recorded.elapsed
    decision, teleop = cycle.decision, cycle.decision.mode is Mode.TELEOP
    proposal, running = cycle.inputs.teleop if teleop else cycle.inputs.proposal, decision.suspension
    first, last = stretch(recorded, index)
    asked = "nothing" if proposal is None else _action(chunk.asked(proposal, decision.clock), recorded)
    verdict = f"{decision.verdict.name}: {decision.reason.value}"
    return [
        ("time", f"{elapsed[index]:.3f} s, cycle {decision.cycle}, at {_clock(recorded.times[index])}"),
        ("verdict", f"{verdict}{f' ({cycle.detail})' if cycle.detail else ''}"),
        ("lasted", f"{elapsed[first]:.3f} to {elapsed[last]:.3f} s, {last - first + 1} cycles"),
        ("mode", decision.mode.value),
        ("critic", f"suspended: {running.reason}" if running else "not suspended"),
        ("asked", asked),
        ("sent", _sent(decision, recorded)),
        (
            "Q_c of that" if decision.mode is Mode.SHADOW else "Q_c of what was sent",
            f"{decision.q_c:.4f}, threshold {recorded.threshold:.4f}",
        ),
        *(_margin(field, decision.margins.get(field.name, np.nan)) for field in recorded.margin_fields),
        ("gate took", f"{1e3 * cycle.decide_time:.3f} ms, {1e3 * cycle.period:.2f} ms after the one before"),
    ]


def _sent(decision: Decision, recorded: Flight) -> str:
    action = _action(decision.twist_sent, recorded)
    if decision.mode is Mode.SHADOW:
        return f"nothing: shadow; it would have been {action}"
    return action if decision.send else "nothing: the arm keeps what it has"


def _choices(recorded: Flight, index: int, asked: Sequence[Alternative]) -> Table | str:
    """What the critic could choose from, and which of it was sent."""
    if not asked:
        return "the critic was not asked in this cycle, or the cycle before it is missing"
    decision, allowed = recorded.cycles[index].decision, recorded.threshold
    table = Table("", "action", "Q_c", "", title="what the critic could choose from")
    for number, (action, q_c) in enumerate(asked):
        name = "proposal" if number == 0 else "recovery" if number == len(asked) - 1 else str(number)
        told = ["accepted" if q_c <= allowed else "refused"] if np.isfinite(allowed) else []
        told += ["taken"] * (number == decision.candidate)
        table.add_row(name, _action(action, recorded), f"{q_c:.4f}", ", ".join(told))
    return table


def _shown(text: str) -> Text:
    """As it is: a recording quotes messages, which may hold anything."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time).isoformat(" ", "milliseconds")


def _margin(field: flight.MarginField, value: float) -> tuple[str, str]:
    shown = f"{value:.4f} {field.unit}".rstrip() if np.isfinite(value) else "not evaluated"
    return (
        field.title if field.is_age else f"margin: {field.title}"
    ), "unlimited" if value == np.inf else shown


def _action(action: np.ndarray, recorded: Flight) -> str:
    """Entries with the same unit together: "vx 0.1000, vy 0.0000 m/s, tilt rate 0.5000 rad/s"."""
    parts = []
    for unit, entries in groupby(
        zip(recorded.action, np.ravel(action).tolist(), strict=False), lambda entry: entry[0][1]
    ):
        named = ", ".join(
            f"{name.replace('_', ' ')} {round(value, 4) + 0.0:.4f}" for (name, _), value in entries
        )
        parts.append(f"{named} {unit}".rstrip())
    return ", ".join(parts)


def replay_main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if every decision is equal, 1 if one differs, 2 if the recording cannot be replayed."""
    args = tyro.cli(
        Annotated[Replay, tyro.conf.OmitArgPrefixes], prog="spillguard replay",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    console = Console()
    try:
        recorded = opened(*args.log)
        tell_losses(recorded, console)
        models = bundle_of(recorded, args.bundle, args.robot).models(recorded.config)
        with console.status(f"asking the gate about {len(recorded.cycles)} cycles"):
            different = replay(recorded, models)
    except (ValueError, OSError, KeyError) as error:
        return refused("replay", error)
    following = [b.decision.cycle + 1 == c.decision.cycle for b, c in pairwise(recorded.cycles)]
    asked, gaps = sum(following), len(following) - sum(following)
    console.print(
        f"{asked - len(different)} of {asked} decisions equal to the bit"
        + (f"; {gaps} left out, for cycles are missing before them" if gaps else "")
        + (
            f"; not recorded and not compared: {', '.join(sorted(recorded.absent))}"
            if recorded.absent
            else ""
        ),
        soft_wrap=True,
    )
    for reason, count in overrides(recorded).items():
        console.print(f"  overridden {count} times: {reason}", highlight=False)
    if different:
        console.print(f"different: cycles {', '.join(map(str, different[:20]))}", style="red")
    return int(bool(different))


def explain_main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if the moment was found and plotted."""
    args = tyro.cli(
        Annotated[Explain, tyro.conf.OmitArgPrefixes], prog="spillguard explain",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    console = Console()
    try:
        recorded = opened(*args.log)
        tell_losses(recorded, console)
        index = found_cycle(recorded, args.at)
        table = Table(show_header=False)
        for name, text in explained(recorded, index):
            table.add_row(_shown(name), _shown(text))
        console.print(table)
        if args.bundle is not None:
            models = bundle_of(recorded, args.bundle).models(recorded.config)
            console.print(_choices(recorded, index, alternatives(recorded, index, models)))
        from spillguard_ros.recording.flight_plot import save_moment

        log = args.log[-1]
        out = args.out or log.with_name(f"{log.stem}-{recorded.elapsed[index]:.2f}s.png")
        save_moment(recorded, index, args.around, out)
    except (ValueError, OSError, KeyError) as error:
        return refused("explain", error)
    console.print(f"plot {out}", soft_wrap=True)
    return 0


def refused(command: str, error: Exception) -> int:
    """Say why a command cannot do what it is for; its exit status."""
    text = f"spillguard {command}: {error}"
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    console.print(text, style="red")
    return 2
