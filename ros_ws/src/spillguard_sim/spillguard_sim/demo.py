"""`spillguard demo`: the complete graph on this machine, ten randomised cups, and their results.

Simulated arm, policy and safety monitor run as three processes from the same parameter files that the launch
files use, on a private ROS domain.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Literal

import rclpy
import tyro
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import sim  # noqa: F401 (selects the rendering backend before anything else loads MuJoCo)
from sim.pouring.domain import SPREADS
from sim.pouring.domain_file import spread_of
from spillguard_core.gate.reasons import Verdict
from spillguard_core.robot.arm import load_robot
from spillguard_ros.monitor.driver import CONTROLLER, CONTROLLERS
from spillguard_ros.node.keys import make_keys
from spillguard_ros.node.outputs import FORWARD_CONTROLLER
from spillguard_ros.operator.client import Operator, OperatorError
from spillguard_ros.operator.page_access import TOKEN_VARIABLE, new_token
from spillguard_sim import demo_report, reach_demo
from spillguard_sim.demo_report import PouredCup
from spillguard_sim.graph import Graph, private_environment

PAGE, PAGE_PORT = "operator_page", 8090
START_TIMEOUT = 120.0  # [s] for three processes to start, on a machine under other load
OPEN_TIMEOUT = 60.0  # [s] for the monitor to decide after a reset, and for the next cup


@dataclass(frozen=True)
class Demo:
    """Pour cups, or reach goals with any arm, through the ROS 2 graph. Exit status 0 only if enough succeeded
    and none was unsafe."""

    task: Literal["pouring", "reach", "carry"] = "pouring"
    """What is to be done; reach: the tool of any arm, to a point; carry: the same with an open cup in it."""
    robot: str = "gen3"
    """Name of the arm, or a folder with its robot.yaml. Only the gen3 pours."""
    bundle: Path | None = None
    """Directory of the bundle; by default the one of the task and arm in artifacts."""
    cups: int = 10
    """Randomised cells to pour in, or goals to reach."""
    seed: int = 0
    """Of the sequence of cells or goals."""
    required: float = 0.9
    """Share of the cups or goals that has to succeed."""
    domain: str = "pours"
    """What the cells differ in: nominal, pours, full, or a domain file."""
    time_limit: float = 12.0
    """Seconds a pour may take."""
    out: Path = Path("runs/demo")
    """Folder in which a new folder for this run is made."""
    page: bool = False
    """Show the operator page in the browser, until Ctrl-C."""
    signed: bool = False
    """Reset and resume are signed, with a pair of keys made for this run."""
    output: Literal["trajectory", "positions"] = "trajectory"
    """What the arm's controller is given; positions are streamed by a fourth process."""
    policy_module: str = "spillguard_ros.policy"
    """Python module that runs as the policy's process."""

    def __post_init__(self) -> None:
        if self.task != "pouring" and self.signed:
            raise ValueError(f"--signed is of the pouring demo alone, got --task {self.task}")
        if self.task == "pouring" and self.robot != "gen3":
            raise ValueError(f"only the gen3 pours, got {self.robot!r}; try --task reach")
        if self.task != "pouring" and self.output != "trajectory":
            raise ValueError(
                f"the arm of --task {self.task} takes trajectories alone, got --output {self.output}"
            )
        load_robot(self.robot)  # ValueError for one that is not there
        if not self.cups >= 1:
            raise ValueError(f"cups must be at least 1, got {self.cups}")
        if not 0.0 <= self.required <= 1.0:
            raise ValueError(f"required must be a share in [0, 1], got {self.required}")
        spread_of(self.domain)
        if not self.time_limit > 0.0:
            raise ValueError(f"time_limit must be above 0 s, got {self.time_limit}")

    @property
    def folder(self) -> Path:
        """Of the bundle."""
        if self.bundle is not None:
            return self.bundle
        arm = Path(self.robot).name
        return Path("artifacts") / ("pour_coffee" if self.task == "pouring" else f"{self.task}_{arm}")


def _told(domain: str) -> str:
    """As processes in other folders find it."""
    return domain if domain in SPREADS else str(Path(domain).expanduser().resolve())


def _start(graph: Graph, demo: Demo, recording: Path, keys: tuple[Path, Path] | None) -> None:
    bundle = demo.folder.resolve()
    output, streamed = {"output": demo.output}, demo.output == "positions"
    graph.start("sim_arm", "sim_arm", {"seed": demo.seed, "domain": _told(demo.domain), **output})
    controller = {
        "driver_status": CONTROLLERS,
        "driver_controller": FORWARD_CONTROLLER if streamed else CONTROLLER,
    }
    told = {"bundle": bundle, "record": recording, **output, **controller}
    if keys is not None:
        told["operator_keys"] = keys[1]
    graph.start("safety_monitor", "safety_monitor", told)
    if streamed:
        graph.start("position_streamer", "position_streamer", {})
    graph.start("policy", "policy", {"bundle": bundle}, module=demo.policy_module)
    if demo.page:
        signs = {} if keys is None else {"key_file": keys[0]}
        graph.start(PAGE, PAGE, {"bundle": bundle, "port": PAGE_PORT, **signs})


def _nothing() -> None:
    """Nothing to report."""


class PageNews:
    """Reports where the page is once it listens, or that it will not."""

    def __init__(self, graph: Graph, token: str, console: Console) -> None:
        self._graph, self._token, self._console, self._told = graph, token, console, False

    def __call__(self) -> None:
        """Check, until there was something to report."""
        if self._told:
            return
        printed = self._graph.log(PAGE).read_text(errors="replace")
        if "operator page  http" in printed:
            self._tell(f"operator page  http://127.0.0.1:{PAGE_PORT}\ntoken          {self._token}")
        elif PAGE in self._graph.dead():
            last = printed.strip().splitlines() or ["(no output)"]
            self._tell(f"no operator page: {last[-1]}")

    def _tell(self, text: str) -> None:
        self._told = True
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _stay_open(graph: Graph, console: Console, news: Callable[[], None]) -> None:
    """Keep the graph and its page running until Ctrl-C or the end of the page."""
    while PAGE not in graph.dead() and "operator page  http" not in graph.log(PAGE).read_text(
        errors="replace"
    ):
        time.sleep(0.2)  # the last cup may be poured before the page is up
    news()
    if PAGE in graph.dead():
        return
    with suppress(KeyboardInterrupt):  # before the message is printed: Ctrl-C may follow at once
        console.print("all cups are poured; the operator page stays open until Ctrl-C")
        while PAGE not in graph.dead():
            time.sleep(0.2)


def pour(operator: Operator, number: int, time_limit: float) -> PouredCup:
    """Place cup `number` (from 1) in the cell and let the policy pour."""
    if number > 1:
        operator.bring_to_rest()
        operator.insist("sim_arm/new_cup", OPEN_TIMEOUT)
    if not operator.wait(lambda: operator.outcome.get("cup") == str(number), START_TIMEOUT):
        raise OperatorError(f"the arm did not report cup {number} within {START_TIMEOUT:.0f} s")
    operator.open_gate()
    operator.verdict = math.nan  # left from the previous cup
    if not operator.wait(lambda: operator.verdict < Verdict.STOP, OPEN_TIMEOUT):
        raise OperatorError(f"the monitor did not open within {OPEN_TIMEOUT:.0f} s of its reset")
    start = time.monotonic()  # the monitor's clock

    def over() -> bool:
        seen = operator.outcome
        broken = seen["spilled"] != "0" or seen["contact"] == "true" or seen["limit_broken"] == "true"
        return seen["success"] == "true" or broken or operator.verdict == Verdict.STOP

    operator.wait(over, time_limit)
    return PouredCup(number, start, time.monotonic(), dict(operator.outcome))


def _pour_all(
    graph: Graph, demo: Demo, console: Console, news: Callable[[], None], key: Path | None
) -> list[PouredCup]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    cups: list[PouredCup] = []

    def watch() -> None:
        news()
        graph.check_alive(PAGE)  # nothing depends on it

    operator = Operator(watch=watch, key=key)
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("starting the graph", total=demo.cups)
            if not operator.wait(lambda: operator.hears_a_graph(), START_TIMEOUT):
                raise OperatorError(f"arm, monitor and policy were not up within {START_TIMEOUT:.0f} s")
            for number in range(1, demo.cups + 1):
                cups.append(pour(operator, number, demo.time_limit))
                good = sum(cup.success for cup in cups)
                progress.update(task, advance=1, description=f"pouring, {good} of {number} succeeded")
        operator.bring_to_rest()
    finally:
        operator.close()
    return cups


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(demo: Demo, console: Console) -> int:
    """Exit status: 0 if the requirements were met, 1 if not, 2 if the demo could not run."""
    if not (demo.folder / "manifest.json").exists():
        console.print(
            f"there is no bundle at {demo.folder}: name another with --bundle, or make one with "
            "spillguard train and spillguard export, or spillguard wrap"
        )
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    if demo.task != "pouring":
        return reach_demo.run(demo, demo.folder, console)
    folder = demo.out / datetime.now().strftime("%Y%m%d-%H%M%S")
    recording = folder.resolve() / "flight.mcap"
    environment = private_environment()
    os.environ.update(environment)
    if demo.page:
        environment[TOKEN_VARIABLE] = new_token()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        with Graph(folder / "logs", environment) as graph:
            keys = make_keys("demo", folder.resolve() / "keys") if demo.signed else None
            _start(graph, demo, recording, keys)
            news = PageNews(graph, environment[TOKEN_VARIABLE], console) if demo.page else _nothing
            cups = _pour_all(graph, demo, console, news, None if keys is None else keys[0])
            if demo.page:
                _stay_open(graph, console, news)
    except OperatorError as error:
        message = f"the demo broke off: {error}\nwhat each process printed is in {folder / 'logs'}"
        console.print(message, markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the arm was stopped")
        return 130
    return demo_report.report(cups, demo, recording, console)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    demo = tyro.cli(Demo, args=arguments, prog="spillguard demo", description=Demo.__doc__)
    return run(demo, Console())


if __name__ == "__main__":
    sys.exit(main())
