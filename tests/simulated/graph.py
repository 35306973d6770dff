"""Simulated arm, policy and safety monitor in one process and in simulated time: the nodes' own code.

Topics, services and timers are replaced: a message arrives a few milliseconds after it was sent, a timer
fires exactly when it is due, and no node waits for a processor. So measured times are properties of the code,
independent of the load on the machine.
"""

import heapq
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import rclpy
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from std_srvs.srv import SetBool, Trigger

from spillguard_ros.monitor.driver import CONTROLLERS, DIAGNOSTICS
from spillguard_ros.node.convert import status_values
from spillguard_ros.node.runtime import ShellNode
from spillguard_ros.policy import Policy
from spillguard_sim.graph import assigned, launch_file, private_environment
from tests.faults.arm import NotedArm
from tests.faults.commands import Notes
from tests.faults.messages import FAULTS, Fault
from tests.faults.monitor import NotedMonitor

LATENCY = 0.004  # [s] longest of a message; two of them are less than `cases.MESSAGES`
MOVING = 0.04  # [rad/s]
STATUS, OUTCOME = "safety_monitor/status", "sim_arm/outcome"


@dataclass
class Outlet:
    """A node's publisher."""

    graph: "SimulatedGraph"
    node: str
    topic_name: str

    def publish(self, msg: Any) -> None:
        """Put the message in transit."""
        self.graph.send(self.node, self.topic_name, msg)

    def get_subscription_count(self) -> int:
        """What is sent is noted."""
        return 1


class SimulatedGraph:
    """Nodes, and their common clock."""

    def __init__(self, notes: Path, seed: int = 0) -> None:
        self.now = 100.0  # [s]
        self.notes = Notes(notes)
        self.status: list[tuple[float, dict[str, str]]] = []  # with the time of each
        self.outcome: dict[str, str] = {}  # of the cup
        self.reports: list[float] = []  # [s] times at which the monitor published diagnostics
        self.writers = 1  # on the command topic
        self.away: set[str] = set()  # nodes that are dead or stopped
        self.faults: dict[str, Fault] = {}  # by topic, applied to messages sent from now on
        self.began = float("nan")  # [s] when a message was first affected by its fault
        self._rng = random.Random(seed)
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._listeners: defaultdict[str, list[tuple[str, Callable[[Any], None]]]] = defaultdict(list)
        self._last: dict[tuple[str, str], float] = {}  # [s] arrivals: messages stay in order
        self._services: dict[str, Callable[[Any, Any], Any]] = {}

    def host(self, node: ShellNode) -> None:
        """Take over a node's topics, services, timers and clock, and start it."""
        name, shell = node.get_name(), node
        full = lambda topic: topic.replace("~", name)  # noqa: E731

        def listen(
            kind: type, topic: str, callback: Callable[[Any], None], *_: Any, raw: bool = False, **__: Any
        ) -> None:
            heard = (lambda msg: callback(serialize_message(msg))) if raw else callback
            self._listeners[full(topic)].append((name, heard))

        def offer(kind: type, service: str, callback: Callable[[Any, Any], Any], **_: Any) -> None:
            self._services[full(service)] = callback

        def timer(period: float, callback: Callable[[], None], **_: Any) -> None:
            self._at(self.now + period * self._rng.random(), lambda: self._fire(name, period, callback))

        ours = {
            "create_lifecycle_publisher": lambda kind, topic, *_: Outlet(self, name, full(topic)),
            "create_subscription": listen,
            "create_service": offer,
            "create_timer": timer,
            "count_publishers": lambda topic: self.writers,
            "get_clock": lambda: SimpleNamespace(now=lambda: Time(nanoseconds=round(1e9 * self.now))),
        }
        for method, stand_in in ours.items():
            setattr(shell, method, stand_in)
        with self._clock():
            shell.configure()
            shell.on_activate(None)  # type: ignore[arg-type]

    def _clock(self) -> Any:
        return patch.object(time, "monotonic", lambda: self.now)

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), act))

    def _fire(self, name: str, period: float, callback: Callable[[], None]) -> None:
        self._at(self.now + period, lambda: self._fire(name, period, callback))
        if name not in self.away:
            callback()

    def send(self, node: str, topic: str, msg: Any) -> None:
        """Send to all subscribers, with the topic's fault applied."""
        if topic == STATUS:
            self.status.append((self.now, status_values(msg.status[0])))
        elif topic == OUTCOME:
            self.outcome = status_values(msg)
        elif topic == DIAGNOSTICS and node == "safety_monitor":
            self.reports.append(self.now)
        fault = self.faults.get(topic)
        if fault is not None and not self.began >= 0.0:
            self.began = self.now
        for later, sent in [(0.0, msg)] if fault is None else fault(deepcopy(msg)):
            for listener, callback in self._listeners[topic]:
                self._deliver((topic, listener), later, sent, callback)

    def _deliver(self, way: tuple[str, str], later: float, msg: Any, callback: Callable[[Any], None]) -> None:
        arrival = self.now + later + self._rng.uniform(0.0, LATENCY)
        if not later:
            arrival = self._last[way] = max(arrival, self._last.get(way, 0.0))

        def arrive() -> None:
            if way[1] not in self.away:
                callback(msg)

        self._at(arrival, arrive)

    def run(self, seconds: float) -> None:
        """Let simulated time [s] pass."""
        end = self.now + seconds
        with self._clock():
            while self._due and self._due[0][0] <= end:
                self.now, _, act = heapq.heappop(self._due)
                act()
        self.now = end

    def ask(self, service: str, on: bool | None = None) -> tuple[bool, str]:
        """Answer of a service: whether it was granted, and its message."""
        with self._clock():
            kind = Trigger if on is None else SetBool
            request = Trigger.Request() if on is None else SetBool.Request(data=on)
            answer = self._services[service](request, kind.Response())
        return bool(answer.success), str(answer.message)

    def harm(self, topics: tuple[str, ...], fault: str, **figures: object) -> None:
        """Inject a fault on these topics from now on."""
        self.began = float("nan")
        self.faults = {topic: FAULTS[fault](**figures) for topic in topics}

    def ready(self) -> None:
        """No fault active, the gate open, the arm moving, at a random point of a cycle."""
        self.faults, self.writers = {}, 1
        self.away.clear()
        self.run(0.25)
        for _ in range(10):
            self.ask("safety_monitor/reset")
            self.run(0.05)
            self.ask("safety_monitor/resume")
            self.notes.clear()
            self.run(0.4 + self._rng.uniform(0.0, 0.05))
            self.notes.read()
            if all(state.speed > MOVING for state in self.notes.states[-5:]):
                self.notes.clear()
                self.status.clear()
                return
        raise AssertionError(f"no motion: {self.status[-1]}")

    def seen(self, since: float) -> list[dict[str, str]]:
        """Statuses of the monitor since a time [s]."""
        return [values for when, values in self.status if when > since]


@contextmanager
def simulated_graph(
    bundle: Path, folder: Path, policy: Callable[[], ShellNode] = Policy
) -> Iterator[SimulatedGraph]:
    """The three nodes with their launch parameters."""
    graph = SimulatedGraph(folder / "notes")
    arguments = ["--ros-args"]
    for name in ("sim_arm", "policy", "safety_monitor"):
        arguments += ["--params-file", str(launch_file(f"params/{name}.yaml"))]
    told = {"bundle": bundle, "notes": graph.notes.path, "driver_status": CONTROLLERS, "patience": 0.0}
    for name, value in told.items():
        arguments += ["-p", assigned(name, value)]
    with patch.dict("os.environ", private_environment()):
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        nodes = [NotedArm(), policy(), NotedMonitor()]
        try:
            for node in nodes:
                graph.host(node)
            yield graph
        finally:
            for node in nodes:
                node.destroy_node()
            rclpy.try_shutdown()
