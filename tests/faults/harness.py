"""A graph with a relay, into which faults are injected one after the other and removed again."""

import itertools
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import deserialize_message
from std_msgs.msg import String
from std_srvs.srv import Trigger

from spillguard_ros.monitor.driver import CONTROLLERS, JOINS
from spillguard_ros.node.convert import status_values
from spillguard_ros.operator.client import Operator, OperatorError
from spillguard_sim.graph import Graph
from tests.faults.arms import PROPOSAL, FaultArm
from tests.faults.cases import GOES_ON, RESTS, Case, Repeat
from tests.faults.commands import Notes, all_unsafe, hold_after, rest_after
from tests.ros.harness import PATIENCE, QUEUE, halted_for_being_late

MOVING = 0.04  # [rad/s]
ASKED, ANSWER = 60, 2.0  # number of calls, and [s] each
CYCLES = 60  # consecutive, in which the policy must be followed if the arm shall keep moving
WATCHED = 30  # cycles in which an arm at rest must stay there
SETTLE = 0.12  # [s] after which no earlier message is in transit
FOLLOWED = ("PASS", "LIMIT", "RECOVER")
SILENT = {"verdict": "silent", "reason": "none"}


class Watcher(Operator):
    """An operator that also keeps every status."""

    def __init__(self, arm: FaultArm) -> None:
        super().__init__(arm=arm.node, command=arm.robot.command_topic)
        self._status: list[tuple[float, bytes]] = []
        self._read: list[tuple[float, dict[str, str]]] = []  # only those read so far
        self.began: dict[int, float] = {}
        self.node.create_subscription(
            DiagnosticArray, "safety_monitor/status", self._on_status, QUEUE, raw=True
        )
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
        self._read.clear()

    def seen(self, since: float = 0.0) -> list[dict[str, str]]:
        """Values of each status since a steady time [s]."""
        self._read += [(when, _values(msg)) for when, msg in self._status[len(self._read) :]]
        return [values for when, values in self._read if when > since]

    def latest(self) -> dict[str, str]:
        """Values of the newest status; empty before the first."""
        return _values(self._status[-1][1]) if self._status else {}

    def call(self, service: str) -> tuple[bool, str]:
        """Like any operator's, but repeated: the answer of a server that has just started may be lost."""
        client = self._services.get(service)
        if client is None:
            client = self._services[service] = self.node.create_client(Trigger, service)
        for _ in range(ASKED):
            if self.wait(client.service_is_ready, ANSWER):
                future = client.call_async(Trigger.Request())
                if self.wait(future.done, ANSWER):
                    answer = future.result()
                    return bool(answer.success), str(answer.message)
        raise OperatorError(f"{service} did not answer {ASKED} times within {ANSWER} s")


def _values(msg: bytes) -> dict[str, str]:
    return status_values(deserialize_message(msg, DiagnosticArray).status[0])


@dataclass
class Cell:
    """Arm, relay, policy and monitor as processes, with a watcher."""

    arm: FaultArm
    graph: Graph
    watcher: Watcher
    notes: Notes
    bundle: Path
    _numbers: itertools.count = field(default_factory=lambda: itertools.count(1))
    _rng: random.Random = field(default_factory=lambda: random.Random(0))

    def start_arm(self, **more: object) -> None:
        """The arm, with its messages going through the relay."""
        arm = self.arm
        moved = [word for topic in arm.states for word in ("-r", f"{topic}:=raw/{topic}")]
        told = {"seed": 0, "notes": self.notes.path, **more}
        if arm.bundle is not None:  # the pouring cell has a model of its own
            told |= {"bundle": self.bundle, **arm.told}
        self.graph.start(arm.node, arm.node, told, *moved, module=arm.module)

    def start_relay(self) -> None:
        """The relay."""
        topics = " ".join((*self.arm.states, PROPOSAL))
        self.graph.start("relay", self.arm.node, {"topics": topics}, module="tests.faults.relay")

    def start_policy(self, name: str = "policy", module: str = "", **more: object) -> None:
        """A policy, with its proposals going through the relay."""
        words = ["-r", f"{PROPOSAL}:=raw/{PROPOSAL}", "-r", f"__node:={name}"]
        told = {"bundle": self.bundle, "patience": 0.0, **self.arm.told, **more}
        self.graph.start(name, "policy", told, *words, module=module)

    def start_monitor(self, **more: object) -> None:
        """The safety monitor."""
        driver = {
            "driver_status": CONTROLLERS, "driver_parameter": JOINS, "driver_controller": self.arm.controller,
        }  # fmt: skip
        told = {"bundle": self.bundle, "notes": self.notes.path, **self.arm.told, **driver, **more}
        # A shipped bundle of an arm that reaches has no critic, so nothing of it could be calibrated.
        told = {"allow_uncalibrated": self.arm.bundle is not None, **told}
        self.graph.start("safety_monitor", "safety_monitor", told, module="tests.faults.monitor")

    def start_streamer(self) -> None:
        """What turns the monitor's trajectories into positions."""
        self.graph.start("position_streamer", "position_streamer", self.arm.told)

    def stop(self, process: str) -> None:
        """Shut a process down. One that is still starting may miss the first signal."""
        for _ in range(10):
            self.graph.signal(process, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.graph.wait(process, 0.1 * PATIENCE)
                return
        raise AssertionError(f"{process} did not end within {PATIENCE} s of ten interrupts")

    def until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait for the condition, or fail with the logs. The timeout is at least `PATIENCE` [s]."""
        if not self.poll(condition, max(timeout, PATIENCE)):
            files = sorted(self.graph.log("any").parent.glob("*.log"))
            logs = "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files)
            raise AssertionError(f"{what} not within {timeout} s; last: {self.watcher.latest()}\n{logs}")

    def poll(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Check every 20 ms whether the condition holds; False if it did not within `timeout` [s]."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.watcher.spin(0.02)
        return True

    def order(self, topics: tuple[str, ...] = (), fault: str = "", **figures: object) -> float:
        """Order the relay to inject a fault on these topics; steady time [s] at which it began."""
        number = next(self._numbers)
        order = {"number": number, "topics": topics, "fault": fault or None, "figures": figures}
        self.until(lambda: self.watcher.orders.get_subscription_count() > 0, PATIENCE, "a relay")
        self.watcher.orders.publish(String(data=json.dumps(order)))
        self.until(lambda: number in self.watcher.began, PATIENCE, "an answer of the relay")
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
        """No fault active, the gate open, the arm moving, at a random point of a cycle."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.order()
            self.watcher.spin(SETTLE)
            if self.harm_now():
                self.begin_again()
            self.watcher.open_gate(PATIENCE)
            self.notes.clear()
            if self.poll(self.moving, 5.0):
                self.notes.clear()
                self.watcher.forget()
                self.watcher.spin(0.1 + self._rng.uniform(0.0, 0.05))
                if self.moving() and not self.harm():
                    return
            assert time.monotonic() < deadline, f"no motion within {PATIENCE} s: {self.watcher.latest()}"

    def begin_again(self) -> None:
        """With another cup and the arm at its start, or with another goal; no fault active."""
        self.watcher.bring_to_rest()
        granted, said = self.watcher.call(f"{self.arm.node}/{self.arm.again}")
        assert granted, said
        self.until(lambda: not self.harm_now(), PATIENCE, "an arm that did no harm")
        self.notes.clear()
        self.notes.sent.clear()

    def answer(self, case: Case, fault: float, bound: float | None = None) -> Repeat:
        """Result of a fault that began at steady time `fault` [s], to be answered within `bound` [s]."""
        if case.answer == GOES_ON:
            self.until(lambda: self.goes_on(fault), PATIENCE, f"an arm that goes on for {CYCLES} cycles")
            return self.judged(case, fault, case.bound)
        if case.answer != RESTS:
            self.until(lambda: bool(self.told(case, fault)), PATIENCE, "a hold or a stop")
        self.until(lambda: self.resting(fault), PATIENCE, "rest")
        began, rested = time.monotonic(), len(self.notes.commands)
        if case.answer != RESTS:  # otherwise there may be no monitor
            self.until(lambda: len(self.watcher.seen(began)) >= WATCHED, PATIENCE, "more cycles")
        self.notes.read()
        moved = not all(command.holds for command in self.notes.commands[rested:])
        return replace(self.judged(case, fault, case.bound if bound is None else bound), moved=moved)

    def told(self, case: Case, fault: float) -> dict[str, str] | None:
        """The first status since the fault with the expected reason, or with a stop for another reason."""
        for values in self.watcher.seen(fault):
            stopped = values["mode"] == "stopped"
            if values["verdict"] in ("HOLD", "STOP") and (values["reason"] in case.reasons or stopped):
                return values
        return None

    def goes_on(self, fault: float) -> bool:
        """The policy is followed in enough consecutive cycles; a halt by a busy machine is undone."""
        seen = self.watcher.seen(fault)
        if seen and halted_for_being_late(seen[-1]):
            self.watcher.open_gate(PATIENCE)
        rows = "".join("x" if values["verdict"] in FOLLOWED else " " for values in self.watcher.seen(fault))
        return "x" * CYCLES in rows

    def judged(self, case: Case, fault: float, bound: float) -> Repeat:
        """The figures from the notes since the fault, and what the arm says now, after what is judged."""
        harm = self.harm_now()
        self.notes.read()
        hold, rest = hold_after(self.notes, fault), rest_after(self.notes, fault)
        seen = self.watcher.seen(fault)
        followed = [values["verdict"] in FOLLOWED for values in seen]
        others = {values["reason"] for values in seen if values["verdict"] not in FOLLOWED}
        said = self.told(case, fault) or SILENT
        return Repeat(
            to_hold=float("nan") if hold is None else hold.time - fault,
            to_rest=rest - fault,
            bound=bound,
            verdict=said["verdict"],
            reason=said["reason"],
            followed=float(np.mean(followed)) if followed else 0.0,
            other=tuple(sorted(others)),
            unsafe=tuple(all_unsafe(self.notes) + harm),
        )

    def harm(self) -> list[str]:
        """Harm in the newest outcome that the arm reported."""
        return [name for name in self.arm.harm if self.watcher.outcome.get(name) != "false"]

    def harm_now(self) -> list[str]:
        """Harm until now: an outcome that was heard before may be older than what is judged."""
        self.watcher.outcome_now(PATIENCE)
        return self.harm()


def refused(cell: Cell, why: str) -> None:
    """Once the monitor knows, every reset is refused for that reason."""

    def said() -> bool:
        granted, message = cell.watcher.call("safety_monitor/reset")
        return not granted and why in message

    cell.until(said, PATIENCE, f"a refusal that says {why!r}")
    assert not cell.watcher.call("safety_monitor/reset")[0]


class MakeCell(Protocol):
    """Starts nothing yet; what is started ends with the context."""

    def __call__(self) -> AbstractContextManager[Cell]: ...
