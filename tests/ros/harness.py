"""Real processes, and a witness that receives the messages between them."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.time import Time
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from sim.pouring.gen3 import GEN3, JOINT_NAMES
from spillguard_core.gate.reasons import Verdict
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.node import convert
from spillguard_ros.node.actions import ActionMessages
from spillguard_ros.node.convert import status_values
from spillguard_ros.node.sensors import SENSOR_QOS
from spillguard_ros.operator.client import Operator, OperatorError
from spillguard_sim.graph import Graph

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # [s] for any event, on a machine shared with others
QUEUE = 100  # statuses queued while the listener is delayed; older ones would be useless
LATE = ("STATE_STALE", "SENSOR_STALE", "PROPOSAL_STALE", "POLICY_SILENT", "TRACKING_ERROR", "NOT_SETTLING")
"""Reasons that a healthy graph gives if its processes are delayed by the machine, or messages crowded out."""
MESSAGES = ActionMessages(POURING, GEN3)
STILL = 0.02  # [rad/s]
MOVED = 5e-3  # [rad]; a loaded servo sags by 2e-3 when its setpoint is reset to the measured position


@dataclass
class Heard:
    """Messages with the steady time [s] of their arrival."""

    joints: list[tuple[float, Vec, Vec]] = field(default_factory=list)
    proposals: list[float] = field(default_factory=list)
    commands: list[tuple[float, JointTrajectory]] = field(default_factory=list)
    status: list[DiagnosticArray] = field(default_factory=list)
    diagnostics: list[DiagnosticArray] = field(default_factory=list)

    def clear(self) -> None:
        """Forget all messages."""
        for entry in fields(self):
            getattr(self, entry.name).clear()


def halted_for_being_late(values: Mapping[str, str]) -> bool:
    """Whether a status says that the arm stays at rest until somebody asks, for no reason but delays."""
    return values.get("mode") in ("stopped", "held") and values["reason"] in LATE


class Witness(Operator):
    """An operator that also listens to the arm and may publish in the policy's place."""

    def __init__(self, namespace: str = "") -> None:
        super().__init__(namespace)
        self.heard = Heard()
        self.joint_names = JOINT_NAMES
        self._stamp = Time().to_msg()  # of the state that a proposal answers
        self.frozen_stamp = False
        node = self.node
        node.create_subscription(JointState, "joint_states", self._on_joints, SENSOR_QOS)
        node.create_subscription(TwistStamped, "policy/proposal", self._on_proposal, 10)
        heard = self.heard
        node.create_subscription(DiagnosticArray, "safety_monitor/status", heard.status.append, QUEUE)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._proposals = node.create_publisher(TwistStamped, "policy/proposal", 1)

    def _on_joints(self, msg: JointState) -> None:
        if convert.names_no_joint(msg, self.joint_names):  # another arm's
            return
        q, qd = convert.joint_state(msg, self.joint_names)
        if not self.frozen_stamp:
            self._stamp = msg.header.stamp
        self.heard.joints.append((time.monotonic(), q, qd))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        if msg.status[0].name.startswith("safety_monitor"):  # the arm's driver publishes there, too
            self.heard.diagnostics.append(msg)

    def give_up_proposing(self) -> None:
        """Leave the proposals to somebody else."""
        self.node.destroy_publisher(self._proposals)

    def _on_proposal(self, msg: TwistStamped) -> None:
        self.heard.proposals.append(time.monotonic())

    def _on_command(self, msg: JointTrajectory) -> None:
        super()._on_command(msg)
        self.heard.commands.append((self.command_received, msg))

    def ask(self, service: str, kind: type, request: object) -> Any:
        """Like any operator, but with a long timeout."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return super().ask(service, kind, request)
            except OperatorError:
                if time.monotonic() > deadline:
                    raise

    def insist(self, service: str, timeout: float = PATIENCE) -> None:
        """Like any operator, but with a long timeout."""
        super().insist(service, max(timeout, PATIENCE))

    def open_gate(self, timeout: float = PATIENCE) -> None:
        """Like any operator, but with a long timeout."""
        super().open_gate(max(timeout, PATIENCE))

    def propose(self, values: list[float], duration: float, frame: str = GEN3.base_frame) -> None:
        """Publish the same twist (4,) at 20 Hz for `duration` [s], each in answer to the newest state."""
        end = time.monotonic() + duration
        while time.monotonic() < end:
            msg = MESSAGES.message(np.array(values), self._stamp)
            msg.header.frame_id = frame
            self._proposals.publish(msg)
            self.spin(0.05)

    def travel(self) -> float:
        """Largest travel [rad] of a joint within the messages received."""
        q = np.array([q for _, q, _ in self.heard.joints])
        return float(np.ptp(q, axis=0).max())

    def speed(self) -> float:
        """Largest joint speed [rad/s] of the newest state."""
        return float(np.abs(self.heard.joints[-1][2]).max())

    def moving(self) -> bool:
        """Whether the arm moves in the newest state."""
        return bool(self.heard.joints) and self.speed() > 2 * STILL

    def still(self) -> bool:
        """Whether the arm is at rest in the newest state."""
        return bool(self.heard.joints) and self.speed() < STILL

    def stopped(self) -> bool:
        """Whether the monitor's newest verdict is STOP."""
        return self.verdict == Verdict.STOP


def asks_for_rest(msg: JointTrajectory) -> bool:
    """Whether a command brakes at once: one that goes on keeps its speed for a while after its period."""
    return not any(any(b.velocities) and a.velocities == b.velocities for a, b in pairwise(msg.points[1:]))


@dataclass
class Stage:
    """A graph with its witness."""

    graph: Graph
    witness: Witness
    bundle: Path
    namespace: str

    def start(self, node: str, module: str = "", **parameters: object) -> None:
        """Start one of the nodes."""
        own: Mapping[str, Mapping[str, object]] = {"sim_arm": {"seed": 0}, "position_streamer": {}}
        named = own.get(node, {"bundle": self.bundle})
        # A policy that leads the arm round in circles never ends.
        named = {**named, "patience": 0.0} if node == "policy" else named
        arguments = ["-r", f"__ns:={self.namespace}"] if self.namespace else []
        self.graph.start(node, node, {**named, **parameters}, *arguments, module=module)

    def until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait for the condition, or fail with the logs. The timeout is at least `PATIENCE` [s]."""
        timeout = max(timeout, PATIENCE)
        if not self.witness.wait(condition, timeout):
            raise AssertionError(f"{what} did not happen within {timeout} s\n{self.logs()}")

    def drive(self) -> None:
        """Wait until the arm moves. If a busy machine stopped it at once, reset and resume again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.witness.open_gate()
            self.witness.heard.joints.clear()
            if self.witness.wait(self.witness.moving, 5.0):
                return
            assert time.monotonic() < deadline, f"no motion within {PATIENCE} s\n{self.logs()}"

    def goes_on(self) -> None:
        """Wait until the arm moves by itself. Reset and resume only after a stop caused by a busy machine."""

        def moves() -> bool:
            if self.halted_for_being_late():
                self.witness.open_gate()
            return self.witness.moving()

        self.witness.heard.joints.clear()
        self.until(moves, PATIENCE, "motion")

    def resume(self) -> None:
        """Resume until the arm moves, or was stopped again by a busy machine."""
        granted, said = self.witness.call("safety_monitor/resume")
        assert granted or self.halted_for_being_late(), said
        self.goes_on()

    def halted_for_being_late(self) -> bool:
        """Whether the newest status says so."""
        return halted_for_being_late(self.status)

    def rest(self) -> None:
        """Wait until the arm is at rest, then until no earlier message is in transit."""
        self.until(self.witness.still, PATIENCE, "rest")
        self.watch(20)

    def watch(self, cycles: int = 50) -> None:
        """Forget all messages, then wait for this many states of the arm."""
        self.witness.heard.clear()
        self.until(lambda: len(self.witness.heard.joints) >= cycles, PATIENCE, f"{cycles} joint states")

    def news(self) -> dict[str, str]:
        """A status published after this call: older ones may still wait in the queue."""
        heard, asked = self.witness.heard.status, self.witness.node.get_clock().now()
        self.until(
            lambda: bool(heard) and Time.from_msg(heard[-1].header.stamp, asked.clock_type) >= asked,
            PATIENCE, "a status",
        )  # fmt: skip
        return self.status

    @property
    def status(self) -> dict[str, str]:
        """The monitor's newest status; before the first, every value is empty."""
        heard = self.witness.heard.status
        return defaultdict(str, status_values(heard[-1].status[0]) if heard else {})

    def logs(self) -> str:
        """The output of every process."""
        files = sorted(self.graph.log("any").parent.glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def settle(self, timeout: float = PATIENCE) -> None:
        """Wait until the arm publishes."""
        self.witness.heard.clear()
        self.until(lambda: len(self.witness.heard.joints) > 5, timeout, "a joint state")


def change(stage: Stage, transition: int) -> bool:
    """Request a lifecycle transition of the monitor; whether it succeeded."""
    client = stage.witness.node.create_client(ChangeState, "safety_monitor/change_state")
    assert stage.witness.wait(client.service_is_ready, PATIENCE)
    future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
    assert stage.witness.wait(future.done, PATIENCE)
    return bool(future.result().success)


class MakeStage(Protocol):
    """Starts a graph; it ends with the context."""

    def __call__(self, *nodes: str, namespace: str = "") -> AbstractContextManager[Stage]:
        """`nodes` are started, with the orbiting policy's bundle."""
