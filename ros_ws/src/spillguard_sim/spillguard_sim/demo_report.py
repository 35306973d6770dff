"""Report of a demo from its recording: a table, a plot and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from spillguard_core.bundle.bundle import load_bundle
from spillguard_ros.recording.mcap_files import parts
from spillguard_ros.recording.recording import Flight, overrides, percentiles, read_flight

FRAMES = 6  # in the picture


@dataclass(frozen=True)
class PouredCup:
    """One pour: its times [s on the steady clock], and the state of the cell at its end."""

    number: int
    start: float
    end: float
    outcome: dict[str, str]

    @property
    def success(self) -> bool:
        """Nearly all of the content in the receiving cup, no spill or contact, source upright again."""
        return self.outcome["success"] == "true"

    @property
    def unsafe(self) -> bool:
        """A contact, or a joint, speed or workspace limit broken."""
        return self.outcome["contact"] == "true" or self.outcome["limit_broken"] == "true"


class Wanted(Protocol):
    """Demo arguments used by the report."""

    @property
    def folder(self) -> Path:
        """Of the bundle."""

    @property
    def seed(self) -> int:
        """Seed of the sequence of cells."""

    @property
    def required(self) -> float:
        """Share of the cups that must succeed."""


def report(cups: Sequence[PouredCup], demo: Wanted, recording: Path, console: Console) -> int:
    """Print the table and the file paths. Exit status 0 only if the requirements were met."""
    recorded = read_flight(*parts(recording))
    for loss in recorded.losses:
        console.print(f"lost: {recorded.told(loss)}", style="yellow", markup=False, soft_wrap=True)
    console.print(_table(cups, recorded))
    _print_summary(cups, recorded, console)
    console.print(f"recording  {recording}", soft_wrap=True, highlight=False)
    console.print(f"plot       {_plot(cups, recorded, demo, recording)}", soft_wrap=True, highlight=False)
    console.print(f"picture    {_picture(cups, recorded, demo, recording)}", soft_wrap=True, highlight=False)
    share = sum(cup.success for cup in cups) / len(cups)
    held = share >= demo.required and not any(cup.unsafe for cup in cups)
    verdict = "[green]held[/]" if held else "[red]did not hold[/]"
    console.print(f"{verdict}: {share:.0%} poured, {demo.required:.0%} required; nothing unsafe allowed")
    return 0 if held else 1


def _table(cups: Sequence[PouredCup], recorded: Flight) -> Table:
    table = Table(title="pours through the ROS 2 graph")
    for name in ("cup", "success", "landed", "spilled", "time [s]", "effort [s]", "overrides (cycles)",
                 "cycle p50/p99 [ms]"):  # fmt: skip
        table.add_column(name, justify="left" if name.startswith("overrides") else "right")
    for cup in cups:
        part, seen = recorded.between(cup.start, cup.end), cup.outcome
        reasons = ", ".join(f"{name.lower()} {count}" for name, count in overrides(part).items())
        unsafe = " [red]unsafe[/]" if cup.unsafe else ""
        table.add_row(
            str(cup.number), ("[green]yes[/]" if cup.success else "[red]no[/]") + unsafe,
            f"{seen['landed']} of {seen['total']}", seen["spilled"], f"{float(seen['elapsed']):.2f}",
            f"{float(seen['effort']):.2f}", reasons or "none",
            "{:.2f} / {:.2f}".format(*percentiles([1e3 * cycle.period for cycle in part.cycles])),
        )  # fmt: skip
    return table


def _print_summary(cups: Sequence[PouredCup], recorded: Flight, console: Console) -> None:
    inside = [c for cup in cups for c in recorded.between(cup.start, cup.end).cycles]
    period = percentiles([1e3 * cycle.period for cycle in inside])
    gate = percentiles([1e3 * cycle.decide_time for cycle in inside])
    spilled = sum(int(cup.outcome["spilled"]) for cup in cups)
    good = sum(cup.success for cup in cups)
    console.print(f"success {good} of {len(cups)}, {spilled} granules spilled, {len(inside)} decisions")
    console.print(f"cycle p50 {period[0]:.2f} ms, p99 {period[1]:.2f} ms; gate p50 {gate[0]:.2f} ms, "
                  f"p99 {gate[1]:.2f} ms")  # fmt: skip


def _plot(cups: Sequence[PouredCup], recorded: Flight, demo: Wanted, recording: Path) -> str:
    try:
        from spillguard_ros.recording.flight_plot import save_plot
    except ModuleNotFoundError as error:
        return f"none: {error.name} is not installed (extra viz)"
    bundle = load_bundle(demo.folder)
    spans = [(cup.start, cup.end) for cup in cups]
    return str(save_plot(recorded, spans, bundle.task, bundle.tool(), recording.with_suffix(".png")))


def _picture(cups: Sequence[PouredCup], recorded: Flight, demo: Wanted, recording: Path) -> str:
    """Frames of one pour, rendered from the recorded joint states."""
    cup = next((cup for cup in cups if cup.success), cups[0])
    part = recorded.between(cup.start, cup.end)
    seen = [c.inputs.measurement for c in part.cycles if c.inputs.measurement is not None]
    if not seen:
        return "none: nothing was recorded"
    from sim.pouring.cell import PourCell
    from sim.pouring.scenario import sample_scenario
    from sim.render import Camera, RenderingUnavailableError, strip

    rng = np.random.default_rng(demo.seed)
    scenario = [sample_scenario(rng) for _ in range(cup.number)][-1]
    cell, camera, pictures = PourCell(), Camera(), []
    cell.reset(scenario)
    chosen = set(np.linspace(0, len(seen) - 1, FRAMES).astype(int).tolist())
    try:
        for number, measurement in enumerate(seen):
            cell.advance(measurement.joint_position[None], measurement.joint_velocity[None])
            if number in chosen:
                pictures.append(camera.picture(cell))
    except RenderingUnavailableError as error:
        return f"none: {error}"
    finally:
        camera.close()
    from PIL import Image

    path = recording.with_name("pour.png")
    Image.fromarray(strip(pictures)).save(path)
    return str(path)
