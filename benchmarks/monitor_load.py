"""Share of one core that the safety monitor takes: held, and while cups are poured; joint states at 1 kHz.

The graph is that of `pour_sim.launch.py`, with the recording on. Counted is the processor time of the
monitor's process with all its threads, those of the middleware and the recorder included, over the time that
passes. So the result does not depend on how long the process waits for a processor, and the machine may be
shared; other load still makes the same work longer, because caches are shared, too. Compare two versions in
turns.
"""

import math
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rclpy
import tyro
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.signals import SignalHandlerOptions

import sim  # noqa: F401 (chooses how to draw before anything else loads MuJoCo)
from benchmarks.bundles import SHIPPED
from benchmarks.record import Ratio, report
from spillguard_core.gate.reasons import Verdict
from spillguard_ros.monitor.driver import CONTROLLERS, JOINS
from spillguard_ros.operator.client import Operator, OperatorError
from spillguard_sim.demo import START_TIMEOUT
from spillguard_sim.graph import Graph, private_environment

MONITOR = "safety_monitor"
LIMIT = 0.25  # of a core
AIMED = 1000  # [Hz] joint states, as from ros2_kortex, for which it is a limit
GRAPHS = ((AIMED, False), (AIMED, True), (100, False))
"""Joint states per second, and whether somebody listens to the status, as the operator page does."""
STATES = ("held", "pouring")
TICK = 1.0 / os.sysconf("SC_CLK_TCK")  # [s]
SHORTEST = 2.0  # [s] of pouring that counts as a measurement


@dataclass
class LoadBenchArguments:
    """Benchmark of the monitor's processor time."""

    repeats: int = 5
    """Cups in each graph; before each of them the arm is held."""
    seconds: float = 6.0
    """For which it is watched while held, and at most while it pours."""
    bundle: Path = SHIPPED
    """Directory of the bundle."""
    seed: int = 0
    """Of the sequence of cups."""


class Used(NamedTuple):
    """Processor time of a process."""

    at: float  # [s] steady
    threads: Counter[str]  # [s] by name of the thread

    def share(self, since: "Used") -> float:
        """Cores in use since then."""
        return (self.threads.total() - since.threads.total()) / (self.at - since.at)


def used(pid: int) -> Used:
    """Of a running process. The times of its threads, which all live as long as it does, make up its own."""
    threads = Counter[str]()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        user, system = map(int, rest.split()[11:13])
        threads[_shown(int(task.name), pid, name)] += TICK * (user + system)  # type: ignore[assignment]
    return Used(time.monotonic(), threads)


def _shown(task: int, pid: int, name: str) -> str:
    """What a thread does: those of the interpreter have no names of their own."""
    if name.startswith("dds."):
        return name.rstrip("0123456789.")  # a port
    return "control loop" if task == pid else "recorder" if name.startswith("python") else name


class LoadBench:
    """One graph, whose monitor is watched cup after cup."""

    def __init__(self, args: LoadBenchArguments, graph: Graph, operator: Operator) -> None:
        self._args, self._graph, self._operator = args, graph, operator
        self.shares: dict[str, list[float]] = {state: [] for state in STATES}
        self.threads: dict[str, Counter[str]] = {state: Counter() for state in STATES}
        self.times: Counter[str] = Counter()

    def _watch(self, state: str, seconds: float) -> None:
        pid, operator = self._graph.pid(MONITOR), self._operator
        before, over = used(pid), time.monotonic() + seconds
        stopped = operator.wait(lambda: operator.verdict == Verdict.STOP or self._poured(state), seconds)
        after = used(pid)
        if stopped and (operator.verdict == Verdict.STOP or after.at - before.at < SHORTEST):
            raise OperatorError(f"{state}: over {over - after.at:.1f} s early, verdict {operator.verdict}")
        self.shares[state].append(after.share(before))
        self.threads[state].update(after.threads - before.threads)
        self.times[state] += after.at - before.at  # type: ignore[assignment]

    def _poured(self, state: str) -> bool:
        return state == "pouring" and self._operator.outcome["success"] == "true"

    def cup(self, number: int) -> None:
        """Held with the policy speaking, then poured."""
        operator = self._operator
        if number > 1:
            operator.bring_to_rest()
            operator.insist("sim_arm/new_cup", START_TIMEOUT)
        if not operator.wait(lambda: operator.outcome.get("cup") == str(number), START_TIMEOUT):
            raise OperatorError(f"cup {number} did not come")
        operator.insist(f"{MONITOR}/reset", START_TIMEOUT)
        operator.verdict = math.nan
        operator.wait(lambda: operator.verdict == Verdict.HOLD, START_TIMEOUT)
        self._watch("held", self._args.seconds)
        operator.open_gate()
        operator.wait(lambda: operator.verdict < Verdict.HOLD, START_TIMEOUT)
        self._watch("pouring", self._args.seconds)


def measure(args: LoadBenchArguments, rate: int, heard: bool, folder: Path) -> LoadBench:
    """Cup after cup with `rate` joint states per second; `heard`: somebody listens to the status."""
    environment, bundle = private_environment(), args.bundle.resolve()
    os.environ.update(environment)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    told = {"bundle": bundle, "record": folder / "flight.mcap"}
    driver = {"driver_status": CONTROLLERS, "driver_parameter": JOINS}
    with Graph(folder / "logs", environment) as graph:
        graph.start("sim_arm", "sim_arm", {"seed": args.seed, "joint_state_rate": rate})
        graph.start(MONITOR, MONITOR, {**told, **driver})
        graph.start("policy", "policy", {"bundle": bundle})
        operator = Operator()
        if heard:
            operator.node.create_subscription(
                DiagnosticArray, f"{MONITOR}/status", lambda data: None, 1, raw=True
            )
        bench = LoadBench(args, graph, operator)
        try:
            if not operator.wait(operator.hears_a_graph, START_TIMEOUT):
                raise OperatorError(f"the graph was not up within {START_TIMEOUT:.0f} s")
            for number in range(1, args.repeats + 1):
                bench.cup(number)
            operator.bring_to_rest()
        finally:
            operator.close()
    return bench


def by_thread(bench: LoadBench, state: str) -> str:
    """Shares of a core, the largest first; threads that take next to nothing are left out."""
    found = bench.threads[state].most_common()
    shares = [(name, seconds / bench.times[state]) for name, seconds in found]
    return ", ".join(f"{name} {100.0 * share:.1f} %" for name, share in shares if share >= 0.001)


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(LoadBenchArguments)
    ratios, figures = [], {}
    for rate, heard in GRAPHS:
        with tempfile.TemporaryDirectory() as folder:
            bench = measure(args, rate, heard, Path(folder))
        for state in STATES:
            name = f"{state}, joint states at {rate} Hz{', status heard' if heard else ''}"
            over = [share / LIMIT for share in bench.shares[state]]
            ratios.append(
                Ratio(
                    f"{name}: cores over {LIMIT}",
                    over,
                    1.0 if rate == AIMED else None,
                    higher_is_better=False,
                )
            )
            figures[name] = (
                f"{100.0 * np.median(bench.shares[state]):.1f} % of a core: {by_thread(bench, state)}"
            )
    figures["counted"] = "processor time of the monitor's process and all its threads; recording on"
    report("monitor_load", ratios, figures, ("ros-rclpy", "onnxruntime", "mujoco", "numpy"))


if __name__ == "__main__":
    main()
