"""A graph with a relay in it, in which one thing after the other goes wrong and is put right again."""

import itertools
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import deserialize_message
from std_msgs.msg import String
from std_srvs.srv import Trigger

from spillguard_core.decision import Verdict
from spillguard_ros.convert import status_values
from spillguard_ros.driver import CONTROLLERS
from spillguard_ros.graph import Graph
from spillguard_ros.operator import Operator, OperatorError
from tests.faults.cases import BRAKING, CLOCKS, GOES_ON, JITTER, SERVO, Case, Repeat
from tests.faults.commands import Notes, all_unsafe, hold_after, rest_after
from tests.faults.relay import PROPOSAL, STATES

START = 40.0  # [s] in which four processes come up on a busy machine
MOVING = 0.04  # [rad/s]
ASKED, PATIENCE = 8, 2.0  # times, and [s] each
WATCH = 0.6  # [s] for which an arm that shall go on is watched
ATTEMPTS = 3  # to get the arm going; a machine that stutters may stop it again at once
SETTLE = 0.12  # [s] after which no message of before is under way
FOLLOWED = ("PASS", "LIMIT", "RECOVER")
SILENT = {"verdict": "silent", "reason": "none"}


class Watcher(Operator):
    """An operator who also keeps every status."""

    def __init__(self) -> None:
        super().__init__()
        self._status: list[tuple[float, bytes]] = []
        self.began: dict[int, float] = {}
        self.node.create_subscription(DiagnosticArray, "safety_monitor/status", self._on_status, 50, raw=True)
        self.node.create_subscription(String, "fault_relay/began", self._on_began, 10)
        self.orders = self.node.create_publisher(String, "fault_relay/order", 10)

    def _on_status(self, msg: bytes) -> None:
        self._status.append((time.monotonic(), msg))

    def _on_began(self, msg: String) -> None:
        answer = json.loads(msg.data)
        self.began[answer["number"]] = answer["began"]

    def forget(self) -> None:
        """Start a new list of statuses."""
        self._status.clear()

    def seen(self, since: float = 0.0) -> list[dict[str, str]]:
        """Values of each status since a steady time [s]."""
        return [_values(msg) for when, msg in self._status if when > since]

    def latest(self) -> dict[str, str]:
        """Values of the newest status; empty before the first."""
        return _values(self._status[-1][1]) if self._status else {}

    def call(self, service: str) -> tuple[bool, str]:
        """As any operator's, but asks again: the answer of a server that has just come up may be lost."""
        client = self._services.get(service)
        if client is None:
            client = self._services[service] = self.node.create_client(Trigger, service)
        for _ in range(ASKED):
            if self.wait(client.service_is_ready, PATIENCE):
                future = client.call_async(Trigger.Request())
                if self.wait(future.done, PATIENCE):
                    answer = future.result()
                    return bool(answer.success), str(answer.message)
        raise OperatorError(f"{service} did not answer {ASKED} times within {PATIENCE} s")


def _values(msg: bytes) -> dict[str, str]:
    return status_values(deserialize_message(msg, DiagnosticArray).status[0])


@dataclass
class Cell:
    """Arm, relay, policy and monitor as processes, and whoever watches them."""

    graph: Graph
    watcher: Watcher
    notes: Notes
    bundle: Path
    _numbers: itertools.count = field(default_factory=lambda: itertools.count(1))
    _rng: random.Random = field(default_factory=lambda: random.Random(0))

    def start_arm(self) -> None:
        """The arm, whose messages go through the relay."""
        moved = [word for topic in STATES for word in ("-r", f"{topic}:=raw/{topic}")]
        parameters = {"seed": 0, "notes": self.notes.path}
        self.graph.start("sim_arm", "sim_arm", parameters, *moved, module="tests.faults.arm")

    def start_relay(self) -> None:
        """The relay."""
        self.graph.start("relay", "sim_arm", {}, module="tests.faults.relay")

    def start_policy(self, name: str = "policy", module: str = "", **more: object) -> None:
        """A policy, whose proposals go through the relay."""
        words = ["-r", f"{PROPOSAL}:=raw/{PROPOSAL}", "-r", f"__node:={name}"]
        self.graph.start(name, "policy", {"bundle": self.bundle, **more}, *words, module=module)

    def start_monitor(self, **more: object) -> None:
        """The safety monitor."""
        told = {"bundle": self.bundle, "driver_status": CONTROLLERS, **more}
        self.graph.start("safety_monitor", "safety_monitor", told)

    def stop(self, process: str) -> None:
        """End a process in good order. One that is still starting may not hear the first signal."""
        for _ in range(5):
            self.graph.signal(process, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.graph.wait(process, 2.0)
                return
        raise AssertionError(f"{process} did not end within 10 s of five interrupts")

    def until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait for the condition, or fail with the logs."""
        if not self.poll(condition, timeout):
            files = sorted(self.graph.log("any").parent.glob("*.log"))
            logs = "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files)
            raise AssertionError(f"{what} not within {timeout} s; last: {self.watcher.latest()}\n{logs}")

    def poll(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Ask every 20 ms whether the condition holds; False if it did not within `timeout` [s]."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.watcher.spin(0.02)
        return True

    def order(self, topics: tuple[str, ...] = (), fault: str = "", **figures: object) -> float:
        """Tell the relay what to do to these topics; steady time [s] at which it began."""
        number = next(self._numbers)
        order = {"number": number, "topics": topics, "fault": fault or None, "figures": figures}
        assert self.watcher.wait(lambda: self.watcher.orders.get_subscription_count() > 0, START), "no relay"
        self.watcher.orders.publish(String(data=json.dumps(order)))
        self.until(lambda: number in self.watcher.began, 10.0, "an answer of the relay")
        return self.watcher.began[number]

    def moving(self) -> bool:
        """The policy is followed, and the arm moves."""
        self.notes.read()
        states = self.notes.states[-5:]
        moves = len(states) == 5 and all(state.speed > MOVING for state in states)
        return moves and self.watcher.latest().get("verdict") in FOLLOWED

    def resting(self, since: float) -> bool:
        """The arm has come to rest since a steady time [s]."""
        self.notes.read()
        return not np.isnan(rest_after(self.notes, since))

    def ready(self) -> None:
        """Nothing wrong any more, the gate open, the arm in motion, at no special moment of a cycle."""
        for _ in range(ATTEMPTS):
            self.order()
            self.watcher.spin(SETTLE)
            if self.harm():
                self.new_cup()
            self.watcher.insist("safety_monitor/reset", START)
            self.watcher.call("safety_monitor/resume")
            self.notes.clear()
            if self.poll(self.moving, 5.0):
                self.notes.clear()
                self.watcher.forget()
                self.watcher.spin(0.1 + self._rng.uniform(0.0, 0.05))
                if not self.harm():
                    return
        self.until(lambda: self.moving() and not self.harm(), 5.0, "motion in which nothing is wrong yet")

    def new_cup(self) -> None:
        """The arm at its start again, everything in order."""
        self.watcher.bring_to_rest()
        assert self.watcher.call("sim_arm/new_cup")[0]
        self.watcher.outcome.clear()
        self.until(lambda: not self.harm(), 5.0, "a new cup")
        self.notes.clear()
        self.notes.commands.clear()

    def answer(self, case: Case, fault: float, bound: float | None = None) -> Repeat:
        """What came of a fault that began at steady time `fault` [s], of which `bound` says how soon."""
        bound = case.bound if bound is None else bound
        if case.answer == GOES_ON:
            self.watcher.spin(max(0.0, fault + WATCH - time.monotonic()))
        else:
            self.poll(lambda: self.resting(fault), bound + JITTER + BRAKING + SERVO + 0.5)
            self.watcher.spin(0.06)  # the outcome comes every 50 ms
        return self.judged(case, fault, bound)

    def judged(self, case: Case, fault: float, bound: float) -> Repeat:
        """The figures of what was noted since the fault."""
        self.notes.read()
        stalled, silence = self.stalled(fault)
        hold, rest = hold_after(self.notes, fault), rest_after(self.notes, fault)
        seen = self.watcher.seen(fault)
        followed = [values["verdict"] in FOLLOWED for values in seen]
        # The last of the strictest: a machine that stutters may have made the arm hold for a moment before.
        strictest = max(reversed(seen), key=lambda values: Verdict[values["verdict"]], default=SILENT)
        return Repeat(
            to_hold=float("nan") if hold is None else hold.time - fault,
            to_rest=rest - fault,
            bound=bound,
            verdict=strictest["verdict"],
            reason=strictest["reason"],
            followed=float(np.mean(followed)) if followed else 0.0,
            stalled=stalled,
            silence=silence,
            unsafe=tuple(all_unsafe(self.notes) + self.harm()),
        )

    def stalled(self, since: float) -> tuple[float, float]:
        """Longest times [s], from just before on, between ticks of arm or monitor, and between commands."""
        before = since - CLOCKS["state_timeout"]
        ticks = [state.time for state in self.notes.states if state.time > before]
        commands = [command.time for command in self.notes.commands if command.time > before]
        periods = [1e-3 * float(values["period [ms]"]) for values in self.watcher.seen(before)]
        return max([*np.diff(ticks).tolist(), *periods], default=0.0), max(
            np.diff(commands).tolist(), default=0.0
        )

    def harm(self) -> list[str]:
        """What the cell itself says went wrong."""
        seen = self.watcher.outcome
        return [name for name in ("contact", "limit_broken") if seen.get(name) != "false"]


class MakeCell(Protocol):
    """Starts nothing yet; what is started ends with the context."""

    def __call__(self) -> AbstractContextManager[Cell]: ...
