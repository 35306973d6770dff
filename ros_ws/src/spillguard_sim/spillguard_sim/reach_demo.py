"""`spillguard demo --task reach`: the graph of any arm on this machine, goals for its tool, their results.

Simulated arm, policy and safety monitor run as three processes on a private ROS domain, as in the demo of
pouring.
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import rclpy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.reasons import Verdict
from spillguard_core.robot.arm import load_robot
from spillguard_ros.monitor.driver import CONTROLLERS
from spillguard_ros.operator.client import Operator, OperatorError
from spillguard_ros.recording.mcap_files import parts
from spillguard_ros.recording.recording import overrides, percentiles, read_flight
from spillguard_sim.graph import Graph, private_environment

START_TIMEOUT, OPEN_TIMEOUT = 120.0, 60.0  # [s] as in `demo`


class AskedGoals(Protocol):
    """Arguments of the demo that count here."""

    @property
    def robot(self) -> str:
        """Name of the arm, or a folder."""

    @property
    def task(self) -> str:
        """Of the bundle."""

    @property
    def cups(self) -> int:
        """Goals."""

    @property
    def seed(self) -> int:
        """Of the sequence of goals."""

    @property
    def required(self) -> float:
        """Share of the goals that has to be reached."""

    @property
    def time_limit(self) -> float:
        """[s] that a goal may take."""

    @property
    def out(self) -> Path:
        """Folder for runs."""


@dataclass(frozen=True)
class Attempt:
    """One goal: its times [s on the steady clock], and how it stood at its end."""

    number: int
    start: float
    end: float
    outcome: dict[str, str]

    @property
    def unsafe(self) -> bool:
        """A contact, or a limit broken."""
        return self.outcome["contact"] == "true" or self.outcome["limit_broken"] == "true"

    @property
    def success(self) -> bool:
        """The tool came to rest at the goal, and nothing was broken."""
        return self.outcome["reached"] == "true" and not self.unsafe


def start(graph: Graph, bundle: Path, robot: str, seed: int, recording: Path) -> None:
    """Start the arm, the monitor and the policy."""
    arm = load_robot(robot)
    told = {"bundle": bundle.resolve(), "robot": arm.folder.resolve()}
    graph.start("any_arm", "any_arm", {**told, "seed": seed})
    graph.start("safety_monitor", "safety_monitor", {
        **told, "record": recording, "allow_uncalibrated": True, "driver_status": CONTROLLERS,
        "driver_controller": arm.command_topic.rpartition("/")[0],
    })  # fmt: skip
    graph.start("policy", "policy", {**told, "patience": 0.0})


def reach(operator: Operator, number: int, time_limit: float) -> Attempt:
    """Set goal `number` (from 1), and let the policy go for it."""
    if number > 1:
        operator.insist("any_arm/new_goal", OPEN_TIMEOUT)
    if not operator.wait(lambda: operator.outcome.get("goal") == str(number), START_TIMEOUT):
        raise OperatorError(f"the arm did not report goal {number} within {START_TIMEOUT:.0f} s")
    begin = time.monotonic()
    operator.open_gate()

    def over() -> bool:
        seen = operator.outcome
        return "true" in (seen["reached"], seen["contact"], seen["limit_broken"])

    deadline = begin + time_limit
    while not operator.wait(over, 0.2) and time.monotonic() < deadline:
        if operator.verdict == Verdict.STOP:  # a busy machine made something stale
            operator.open_gate()
    attempt = Attempt(number, begin, time.monotonic(), dict(operator.outcome))
    operator.bring_to_rest()
    return attempt


def run(demo: AskedGoals, bundle: Path, console: Console) -> int:
    """Exit status: 0 if enough goals were reached and nothing was unsafe, 1 if not, or if it broke off."""
    given = load_bundle(bundle, load_robot(demo.robot)).task.name
    if given != demo.task:
        raise ValueError(f"{bundle} is a bundle of the task {given}, asked for is --task {demo.task}")
    folder = demo.out / datetime.now().strftime("%Y%m%d-%H%M%S")
    recording = folder.resolve() / "flight.mcap"
    environment = private_environment()
    os.environ.update(environment)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    attempts: list[Attempt] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Graph(folder / "logs", environment) as graph:
            start(graph, bundle, demo.robot, demo.seed, recording)
            command = load_robot(demo.robot).command_topic
            operator = Operator(watch=graph.check_alive, arm="any_arm", command=command)
            try:
                with Progress(*columns, console=console) as progress:
                    task = progress.add_task("starting the graph", total=demo.cups)
                    if not operator.wait(lambda: operator.hears_a_graph(), START_TIMEOUT):
                        raise OperatorError(
                            f"arm, monitor and policy were not up within {START_TIMEOUT:.0f} s"
                        )
                    for number in range(1, demo.cups + 1):
                        attempts.append(reach(operator, number, demo.time_limit))
                        good = sum(attempt.success for attempt in attempts)
                        progress.update(task, advance=1, description=f"reaching, {good} of {number}")
            finally:
                operator.close()
    except OperatorError as error:
        message = f"the demo broke off: {error}\nwhat each process printed is in {folder / 'logs'}"
        console.print(message, markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the arm was stopped")
        return 130
    return report(attempts, demo, bundle, recording, console)


def report(
    attempts: Sequence[Attempt], demo: AskedGoals, bundle: Path, recording: Path, console: Console
) -> int:  # fmt: skip
    """Print the table and where the files are. Exit status 0 only if the requirements were met."""
    recorded = read_flight(*parts(recording))
    table = Table(title=f"goals of {load_robot(demo.robot).name} through the ROS 2 graph")
    for name in ("goal", "reached", "left [mm]", "time [s]", "overrides (cycles)", "cycle p50/p99 [ms]"):
        table.add_column(name, justify="left" if name.startswith("overrides") else "right")
    for attempt in attempts:
        part = recorded.between(attempt.start, attempt.end)
        reasons = ", ".join(f"{name.lower()} {count}" for name, count in overrides(part).items())
        table.add_row(
            str(attempt.number),
            ("[green]yes[/]" if attempt.success else "[red]no[/]") + " [red]unsafe[/]" * attempt.unsafe,
            f"{1e3 * float(attempt.outcome['distance']):.0f}", f"{attempt.end - attempt.start:.2f}",
            reasons or "none",
            "{:.2f} / {:.2f}".format(*percentiles([1e3 * cycle.period for cycle in part.cycles])),
        )  # fmt: skip
    console.print(table)
    leans = [c.decision.margins["lean"] for c in recorded.cycles if "lean" in c.decision.margins]
    if known := [margin for margin in leans if not math.isnan(margin)]:
        most = recorded.config.settings["most_lean"]
        said = f"the cup leaned at most {most - min(known):.3f} rad, allowed {most:g}"
        console.print(said, highlight=False)
    console.print(f"recording  {recording}", soft_wrap=True, highlight=False)
    console.print(
        f"plot       {_plot(attempts, bundle, demo.robot, recording)}", soft_wrap=True, highlight=False
    )
    share = sum(attempt.success for attempt in attempts) / len(attempts)
    held = share >= demo.required and not any(attempt.unsafe for attempt in attempts)
    verdict = "[green]held[/]" if held else "[red]did not hold[/]"
    console.print(f"{verdict}: {share:.0%} reached, {demo.required:.0%} required; nothing unsafe allowed")
    return 0 if held else 1


def _plot(attempts: Sequence[Attempt], path: Path, robot: str, recording: Path) -> str:
    try:
        from spillguard_ros.recording.flight_plot import save_plot
    except ModuleNotFoundError as error:
        return f"none: {error.name} is not installed (extra viz)"
    bundle, spans = load_bundle(path, load_robot(robot)), [(a.start, a.end) for a in attempts]
    drawn = save_plot(
        read_flight(*parts(recording)), spans, bundle.task, bundle.tool(), recording.with_suffix(".png")
    )
    return str(drawn)
