"""What a demo's recording shows: a table, a plot and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mujoco
import numpy as np
from rich.console import Console
from rich.table import Table

from spillguard_core.kinematics import ArmKinematics
from spillguard_ros.recording import Flight, overrides, parts, percentiles, read_flight

FRAMES = 6  # of the picture


@dataclass(frozen=True)
class Cup:
    """One pour: when [s since the epoch], and what the cell said at its end."""

    number: int
    start: float
    end: float
    outcome: dict[str, str]

    @property
    def success(self) -> bool:
        """All but a rest of the content in the receiving cup, nothing spilled or touched, upright again."""
        return self.outcome["success"] == "true"

    @property
    def unsafe(self) -> bool:
        """A contact, or a joint, speed or workspace limit broken."""
        return self.outcome["contact"] == "true" or self.outcome["limit_broken"] == "true"


class Wanted(Protocol):
    """What the report needs to know of how the demo was called."""

    @property
    def bundle(self) -> Path:
        """Directory of the bundle."""

    @property
    def seed(self) -> int:
        """Of the sequence of cells."""

    @property
    def required(self) -> float:
        """Share of the cups that has to succeed."""


def report(cups: Sequence[Cup], demo: Wanted, recording: Path, console: Console) -> int:
    """Print the table and where things are. Exit status 0 only if the demo held."""
    recorded = read_flight(*parts(recording))
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


def _table(cups: Sequence[Cup], recorded: Flight) -> Table:
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


def _print_summary(cups: Sequence[Cup], recorded: Flight, console: Console) -> None:
    inside = [c for cup in cups for c in recorded.between(cup.start, cup.end).cycles]
    period = percentiles([1e3 * cycle.period for cycle in inside])
    gate = percentiles([1e3 * cycle.decide_time for cycle in inside])
    spilled = sum(int(cup.outcome["spilled"]) for cup in cups)
    good = sum(cup.success for cup in cups)
    console.print(f"success {good} of {len(cups)}, {spilled} granules spilled, {len(inside)} decisions")
    console.print(f"cycle p50 {period[0]:.2f} ms, p99 {period[1]:.2f} ms; gate p50 {gate[0]:.2f} ms, "
                  f"p99 {gate[1]:.2f} ms")  # fmt: skip


def _plot(cups: Sequence[Cup], recorded: Flight, demo: Wanted, recording: Path) -> str:
    try:
        from spillguard_ros.flight_plot import save_plot
    except ModuleNotFoundError as error:
        return f"none: {error.name} is not installed (extra viz)"
    kinematics = ArmKinematics(mujoco.MjModel.from_xml_path(str(demo.bundle / "guard.xml")))
    spans = [(cup.start, cup.end) for cup in cups]
    return str(save_plot(recorded, spans, kinematics, recording.with_suffix(".png")))


def _picture(cups: Sequence[Cup], recorded: Flight, demo: Wanted, recording: Path) -> str:
    """A strip of one pour, drawn again from the recorded joint states."""
    cup = next((cup for cup in cups if cup.success), cups[0])
    part = recorded.between(cup.start, cup.end)
    seen = [c.inputs.measurement for c in part.cycles if c.inputs.measurement is not None]
    if not seen:
        return "none: nothing was recorded"
    from sim.cell import PourCell
    from sim.render import Camera, RenderingUnavailableError, strip
    from sim.scenario import sample_scenario

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
