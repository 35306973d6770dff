"""Real processes and a witness that hears what they say to each other."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.arm import Vec
from spillguard_core.decision import Verdict
from spillguard_ros import convert
from spillguard_ros.graph import Graph, private_environment
from spillguard_ros.operator import Operator
from spillguard_ros.realtime import TASKS
from spillguard_ros.sensors import BASE_FRAME, SENSOR_QOS

ROOT = Path(__file__).parents[2]
LISTENING = 35  # SCHED_FIFO priority, between those of launch/params
STILL = 0.02  # [rad/s]
MOVED = 5e-3  # [rad]; a loaded servo sags by 2e-3 when its set point is taken from where it is


@dataclass
class Heard:
    """Messages with the steady time [s] at which they came."""

    joints: list[tuple[float, Vec, Vec]] = field(default_factory=list)
    proposals: list[float] = field(default_factory=list)
    commands: list[tuple[float, JointTrajectory]] = field(default_factory=list)
    status: list[DiagnosticArray] = field(default_factory=list)
    diagnostics: list[DiagnosticArray] = field(default_factory=list)

    def clear(self) -> None:
        """Forget all of it."""
        for entry in fields(self):
            getattr(self, entry.name).clear()


class Witness(Operator):
    """An operator that also listens to the arm and may speak in the policy's place."""

    def __init__(self, namespace: str = "") -> None:
        super().__init__(namespace)
        self.heard = Heard()
        self._stamp = Time().to_msg()  # of the state that a proposal answers
        self.frozen_stamp = False
        node = self.node
        node.create_subscription(JointState, "joint_states", self._on_joints, SENSOR_QOS)
        node.create_subscription(TwistStamped, "policy/proposal", self._on_proposal, 10)
        heard = self.heard
        node.create_subscription(DiagnosticArray, "safety_monitor/status", heard.status.append, 10)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._proposals = node.create_publisher(TwistStamped, "policy/proposal", 1)

    def _on_joints(self, msg: JointState) -> None:
        q, qd = convert.joint_state(msg)
        if not self.frozen_stamp:
            self._stamp = msg.header.stamp
        self.heard.joints.append((time.monotonic(), q, qd))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        if msg.status[0].name.startswith("safety_monitor"):  # the arm's driver speaks there, too
            self.heard.diagnostics.append(msg)

    def _on_proposal(self, msg: TwistStamped) -> None:
        self.heard.proposals.append(time.monotonic())

    def _on_command(self, msg: JointTrajectory) -> None:
        super()._on_command(msg)
        self.heard.commands.append((self.command_received, msg))

    def propose(self, values: list[float], duration: float, frame: str = BASE_FRAME) -> None:
        """Say the same twist (4,) at 20 Hz for `duration` [s], each time in answer to the newest state."""
        end = time.monotonic() + duration
        while time.monotonic() < end:
            msg = convert.to_twist(np.array(values), frame, self._stamp)
            self._proposals.publish(msg)
            self.spin(0.05)

    def travel(self) -> float:
        """Largest way [rad] of a joint within what was heard."""
        q = np.array([q for _, q, _ in self.heard.joints])
        return float(np.ptp(q, axis=0).max())

    def speed(self) -> float:
        """Largest joint speed [rad/s] of the newest state."""
        return float(np.abs(self.heard.joints[-1][2]).max())

    def moving(self) -> bool:
        """Whether the newest state is one of an arm in motion."""
        return bool(self.heard.joints) and self.speed() > 2 * STILL

    def still(self) -> bool:
        """Whether the newest state is one of an arm at rest."""
        return bool(self.heard.joints) and self.speed() < STILL

    def stopped(self) -> bool:
        """Whether the monitor's newest verdict is STOP."""
        return self.verdict == Verdict.STOP


@dataclass
class Stage:
    """A graph with its witness."""

    graph: Graph
    witness: Witness
    bundle: Path
    namespace: str

    def start(self, node: str, module: str = "", **parameters: object) -> None:
        """Start one of the nodes."""
        named: Mapping[str, object] = {"seed": 0} if node == "sim_arm" else {"bundle": self.bundle}
        arguments = ["-r", f"__ns:={self.namespace}"] if self.namespace else []
        self.graph.start(node, node, {**named, **parameters}, *arguments, module=module)

    def until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait for the condition, or fail with the logs."""
        if not self.witness.wait(condition, timeout):
            raise AssertionError(f"{what} did not happen within {timeout} s\n{self.logs()}")

    def logs(self) -> str:
        """What every process printed."""
        files = sorted(self.graph.log("any").parent.glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def settle(self, timeout: float = 10.0) -> None:
        """Until the arm reports."""
        self.witness.heard.clear()
        self.until(lambda: len(self.witness.heard.joints) > 5, timeout, "a joint state")


@contextmanager
def private_ros() -> Iterator[dict[str, str]]:
    """ROS 2 on a domain of its own; yields what processes of this graph need in their environment.

    Whoever makes an `Operator` in it closes that, which also ends ROS 2 here.
    """
    before, environment = dict(os.environ), private_environment()
    os.environ.update(environment)
    # The stand-in for the policy is a process of its own and is found by name.
    path = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH", "")]))
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield {**environment, "PYTHONPATH": path}
    finally:
        rclpy.try_shutdown()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def listening_first() -> Iterator[None]:
    """This process ahead of simulation and policy, behind the monitor, where it has the right to that.

    A witness that has to wait for them sees late what came in time. What it starts is not ahead of anybody.
    """

    def schedule(policy: int, priority: int) -> None:
        for task in os.listdir(TASKS):
            with suppress(ProcessLookupError, PermissionError):
                os.sched_setscheduler(int(task), policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))

    schedule(os.SCHED_FIFO, LISTENING)
    try:
        yield
    finally:
        schedule(os.SCHED_OTHER, 0)


class MakeStage(Protocol):
    """Starts a graph; it ends with the context."""

    def __call__(self, *nodes: str, namespace: str = "") -> AbstractContextManager[Stage]:
        """`nodes` are started, with the orbiting policy's bundle."""
