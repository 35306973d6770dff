"""Cup after cup for an hour: does the graph keep its period, and does anything in it grow?

Simulated arm, policy and safety monitor run with the recording on, as in the demo. Periods are those that the
monitor recorded. Memory, file descriptors, threads and ROS entities are compared after a warm-up, in which
everything is loaded and used once. Not part of `spillguard bench`, because of its length.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType

import numpy as np
import rclpy
import tyro
from mcap.records import Message, Metadata
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import sim  # noqa: F401 (chooses how to draw before anything else loads MuJoCo)
from benchmarks.record import Ratio, report
from spillguard_ros.operator.client import Operator, OperatorError
from spillguard_ros.recording import flight
from spillguard_ros.recording.mcap_files import parts, records
from spillguard_sim.demo import START_TIMEOUT, pour
from spillguard_sim.graph import Graph, private_environment

NODES = ("sim_arm", "safety_monitor", "policy")
LATE = 1.5  # periods after which a deadline counts as missed
SAMPLE_PERIOD = 1.0  # [s]
ENTITY_PERIOD = 15.0  # [s]; inspecting the whole graph takes some milliseconds
EDGE = 10  # samples at either end, whose maxima are compared: a transient is no growth
SCHEDULERS = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO"}
ENTITIES = {
    ("rt", "publishers"): "publishers",
    ("rt", "subscriptions"): "subscriptions",
    ("rq", "subscriptions"): "services",
    ("rq", "publishers"): "clients",
}


@dataclass
class SoakArguments:
    """Pour for a long time. Exit status 0 only if few deadlines are missed and nothing grows."""

    minutes: float = 60.0
    """Length; Ctrl-C ends it early, with a result."""
    bundle: Path = Path("artifacts/pour_coffee")
    """Directory of the bundle."""
    seed: int = 0
    """Of the sequence of cups."""
    time_limit: float = 12.0
    """Seconds a pour may take."""
    missed: float = 1.0
    """Most periods above 1.5 times the nominal one [%]."""
    growth: float = 5.0
    """Most memory that a process may gain after the warm-up [MB]."""
    out: Path = Path("runs/soak")
    """Folder in which a new folder for this run is made."""

    def __post_init__(self) -> None:
        if not self.minutes > 0.0:
            raise ValueError(f"minutes must be above 0, got {self.minutes}")

    @property
    def warm_up(self) -> float:
        """[s] before anything is compared."""
        return min(300.0, 20.0 * self.minutes)


@dataclass(frozen=True)
class Usage:
    """What one process holds at one moment."""

    time: float  # [s] steady
    memory: float  # [MB] resident
    descriptors: int
    threads: int


def usage(pid: int) -> Usage:
    """Of a running process. OSError once it has ended."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    descriptors, threads = (len(os.listdir(process / name)) for name in ("fd", "task"))
    return Usage(time.monotonic(), 1e-6 * pages * os.sysconf("SC_PAGE_SIZE"), descriptors, threads)


def scheduler(pid: int) -> str:
    """Policy and real-time priority of a running process."""
    policy, priority = os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority
    return f"{SCHEDULERS.get(policy, policy)} {priority}"


def processor_times() -> NDArray[np.float64]:
    """Of all processors since the start of the machine [ticks]: all of it, idle, taken by the host."""
    user, nice, system, idle, wait, interrupts, soft, steal = map(
        float, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    return np.array([user + nice + system + idle + wait + interrupts + soft + steal, idle + wait, steal])


def entities(node: Node) -> Counter[str]:
    """Endpoints in the graph as `node` sees it, by node and kind; equal names are counted separately."""
    found: Counter[str] = Counter()
    for topic, _ in node.get_topic_names_and_types(no_demangle=True):
        sides = {
            "publishers": node.get_publishers_info_by_topic(topic, no_mangle=True),
            "subscriptions": node.get_subscriptions_info_by_topic(topic, no_mangle=True),
        }
        for side, infos in sides.items():
            kind = ENTITIES.get((topic.split("/")[0], side))
            if kind is not None:
                found.update(f"{info.node_name} {kind}" for info in infos)
    return found


def growth(time: Iterable[float], values: Iterable[float]) -> tuple[float, float]:
    """Slope of a linear fit [1/h], and its total over the whole time."""
    t, x = np.asarray(list(time)), np.asarray(list(values))
    slope = float(np.polyfit(t - t[0], x, 1)[0]) if len(t) > 1 else float("nan")
    return 3600.0 * slope, slope * float(t[-1] - t[0])


def gain(values: list[int]) -> int:
    """Growth of the maximum from the start to the end."""
    edge = min(EDGE, len(values) // 2)
    return max(values[-edge:]) - max(values[:edge])


def periods(recording: Path) -> tuple[NDArray[np.float64], float]:
    """Of all recorded cycles [s], the first without one left out, and the nominal one."""
    found, nominal = [], float("nan")
    for part in parts(recording):
        for topic, record in records(part):
            if topic == flight.TOPIC and isinstance(record, Message):
                found.append(float(json.loads(record.data)["period"]))
            elif isinstance(record, Metadata):
                nominal = flight.decode_config(record.metadata["config"]).period
    every = np.array(found)
    return every[np.isfinite(every)], nominal


@dataclass
class Soak:
    """Observations during the run."""

    args: SoakArguments
    graph: Graph
    progress: Progress
    task: TaskID
    begun: float  # [s] steady
    operator: Operator | None = None
    cups: list[bool] = field(default_factory=list)
    usages: dict[str, list[Usage]] = field(default_factory=lambda: {name: [] for name in NODES})
    entities: list[Counter[str]] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)  # of the machine, averaged over a minute by the system
    schedulers: dict[str, str] = field(default_factory=dict)
    processors: NDArray[np.float64] = field(default_factory=processor_times)  # at the start
    ended: str = ""  # reason, if it ended early
    _next_sample: float = 0.0
    _next_entities: float = 0.0

    def watch(self) -> None:
        """Sample the processes at each interval. OperatorError if one has ended."""
        for name in self.graph.dead():
            raise OperatorError(f"{name} ended; what it printed is in {self.graph.log(name)}")
        now = time.monotonic()
        if now < self._next_sample:
            return
        self._next_sample = now + SAMPLE_PERIOD
        text = f"{sum(self.cups)} of {len(self.cups)} cups poured"
        self.progress.update(self.task, completed=now - self.begun, description=text)
        if now - self.begun < self.args.warm_up or self.operator is None:
            return
        self.loads.append(os.getloadavg()[0])
        for name in NODES:
            self.usages[name].append(usage(self.graph.pid(name)))
            self.schedulers[name] = scheduler(self.graph.pid(name))
        if now >= self._next_entities:
            self._next_entities = now + ENTITY_PERIOD
            self.entities.append(entities(self.operator.node))

    def pour_until_the_end(self) -> None:
        """Cup after cup. The time counts from the moment when all processes are up."""
        operator = Operator(watch=self.watch)
        try:
            operator.wait(operator.hears_a_graph, START_TIMEOUT)
            self.operator, self.begun = operator, time.monotonic()
            while time.monotonic() - self.begun < 60.0 * self.args.minutes:
                self.cups.append(pour(operator, len(self.cups) + 1, self.args.time_limit).success)
            operator.bring_to_rest()
        except OperatorError as error:
            self.ended = str(error)
        except KeyboardInterrupt:
            self.ended = "interrupted"
        finally:
            operator.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(args: SoakArguments, folder: Path) -> Soak:
    """Start everything, pour, and end everything."""
    environment, bundle = private_environment(), args.bundle.resolve()
    os.environ.update(environment)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, _interrupt)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Graph(folder / "logs", environment) as graph, Progress(*columns) as progress:
        graph.start("sim_arm", "sim_arm", {"seed": args.seed})
        graph.start("safety_monitor", "safety_monitor", {"bundle": bundle, "record": folder / "flight.mcap"})
        graph.start("policy", "policy", {"bundle": bundle})
        task = progress.add_task("starting the graph", total=60.0 * args.minutes)
        soak = Soak(args, graph, progress, task, time.monotonic())
        soak.pour_until_the_end()
    return soak


def ratios(soak: Soak, period: NDArray[np.float64], nominal: float) -> list[Ratio]:
    """The criteria, each with its aim."""

    def at_most(name: str, value: float, aim: float) -> Ratio:
        return Ratio(name, [value], aim, higher_is_better=False)

    late = 100.0 * float((period > LATE * nominal).mean())
    found = [at_most(f"periods above {LATE:g} x nominal [%]", late, soak.args.missed)]
    for name, seen in soak.usages.items():
        _, gained = growth((u.time for u in seen), (u.memory for u in seen))
        found.append(at_most(f"{name}: memory gained [MB]", gained, soak.args.growth))
    for what in ("descriptors", "threads"):
        gained = max(gain([getattr(u, what) for u in seen]) for seen in soak.usages.values())
        found.append(at_most(f"{what} gained by any process", gained, 0))
    first, last = soak.entities[0], soak.entities[-1]
    found.append(at_most("ROS entities gained by all nodes", (last - first).total(), 0))
    return found


def figures(soak: Soak, period: NDArray[np.float64], nominal: float, recording: Path) -> dict[str, str]:
    """The remarks below the table."""
    first, last = soak.entities[0], soak.entities[-1]
    seen = next(iter(soak.usages.values()))
    total, idle, stolen = processor_times() - soak.processors
    kept = {
        "machine": f"load {min(soak.loads):.1f} to {max(soak.loads):.1f}, mean {np.mean(soak.loads):.1f}; "
        f"processors busy {100.0 * (1.0 - idle / total):.0f} %, by the host {100.0 * stolen / total:.1f} %",
        "compared": f"{(seen[-1].time - seen[0].time) / 60.0:.1f} min, after a warm-up of "
        f"{soak.args.warm_up / 60.0:.1f} min",
        "cups": f"{sum(soak.cups)} of {len(soak.cups)} poured",
        "cycles": f"{len(period)}, nominal {1e3 * nominal:.0f} ms, p50 {1e3 * np.median(period):.2f}, "
        f"p99 {1e3 * np.percentile(period, 99):.2f}, worst {1e3 * period.max():.2f} ms",
        "recording": f"{1e-6 * sum(part.stat().st_size for part in parts(recording)):.1f} MB",
    }
    for name, seen in soak.usages.items():
        slope, _ = growth((u.time for u in seen), (u.memory for u in seen))
        one, other = seen[0], seen[-1]
        kept[name] = (
            f"{soak.schedulers[name]}; {one.memory:.1f} to {other.memory:.1f} MB, slope {slope:+.2f} MB/h; "
            f"descriptors {one.descriptors} to {other.descriptors}, threads {one.threads} to {other.threads}"
        )
    for name in sorted({key.split()[0] for key in first + last}):
        counts = [
            f"{kind} {first[f'{name} {kind}']} to {last[f'{name} {kind}']}" for kind in ENTITIES.values()
        ]
        kept[f"entities of {name}"] = ", ".join(counts)
    return {"ended early": soak.ended, **kept} if soak.ended else kept


def main() -> int:
    """Exit status 0 if it held, 1 if not, 2 if there is no result."""
    args, console = tyro.cli(SoakArguments), Console()
    folder = args.out.resolve() / datetime.now().strftime("%Y%m%d-%H%M%S")
    soak = run(args, folder)
    if not soak.entities or min(map(len, soak.usages.values())) < 2:
        console.print(f"ended within the warm-up: {soak.ended or 'too short'}; see {folder / 'logs'}")
        return 2
    recording = folder / "flight.mcap"
    with console.status("reading the recording"):
        period, nominal = periods(recording)
    found = ratios(soak, period, nominal)
    report("soak", found, figures(soak, period, nominal, recording), ("ros-rclpy", "onnxruntime", "mcap"))
    failed = soak.ended not in ("", "interrupted")
    return int(failed or not all(ratio.met for ratio in found))


if __name__ == "__main__":
    sys.exit(main())
