"""Operator client: calls the monitor's services and reads what the monitor and the cell report."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.gate.reasons import Verdict
from spillguard_ros.node import convert
from spillguard_ros.operator.caller import SERVICE_TIMEOUT, Caller, OperatorError

SILENCE = 0.1  # [s] without a command after which none counts as being executed
COMMAND = "joint_trajectory_controller/joint_trajectory"


class Operator(Caller):
    """A caller that also subscribes to status topics."""

    def __init__(
        self, namespace: str = "", watch: Callable[[], None] = lambda: None, *, arm: str = "sim_arm",
        command: str = COMMAND, key: Path | None = None,
    ) -> None:  # fmt: skip
        """`watch` and `key` as in `Caller`; `arm`: the simulated arm's node, `command`: topic of the arm's
        commands."""
        super().__init__(namespace, watch, key)
        self.outcome: dict[str, str] = {}
        self.verdict = float("nan")
        self.node.create_subscription(DiagnosticStatus, f"{arm}/outcome", self._on_outcome, 1)
        self.command_received = -math.inf  # steady time [s]
        self.node.create_subscription(Float64, "safety_monitor/verdict", self._on_verdict, 1)
        self.node.create_subscription(JointTrajectory, command, self._on_command, 1)

    def _on_outcome(self, msg: DiagnosticStatus) -> None:
        self.outcome = convert.status_values(msg)

    def _on_verdict(self, msg: Float64) -> None:
        self.verdict = msg.data

    def _on_command(self, msg: JointTrajectory) -> None:
        del msg
        self.command_received = time.monotonic()

    def outcome_now(self, timeout: float = 60.0) -> dict[str, str]:
        """What the simulated arm says from now on, not what it may have said before."""
        self.outcome = {}
        if not self.wait(lambda: bool(self.outcome), timeout):
            raise OperatorError(f"the arm has told no outcome for {timeout:.0f} s")
        return self.outcome

    def hears_a_graph(self) -> bool:
        """Arm and monitor are publishing, and the policy is about to."""
        speaks = bool(self.outcome) and not math.isnan(self.verdict)
        return speaks and self.node.count_publishers("policy/proposal") > 0

    def insist(self, service: str, timeout: float) -> None:
        """Repeat the call until it is granted; on timeout report why it was refused."""
        deadline = time.monotonic() + timeout
        while True:
            granted, message = self.call(service)
            if granted:
                return
            if time.monotonic() > deadline:
                raise OperatorError(f"{service} refused: {message}")
            self.spin(0.05)

    def open_gate(self, timeout: float = 60.0) -> None:
        """Reset and resume. A fault in between stops the monitor again, so retry until both hold."""
        deadline = time.monotonic() + timeout
        while True:
            self.insist("safety_monitor/reset", max(deadline - time.monotonic(), 0.0))
            granted, message = self.call("safety_monitor/resume")
            if granted:
                return
            if time.monotonic() > deadline:
                raise OperatorError(f"safety_monitor/resume refused: {message}")
            self.spin(0.05)

    def bring_to_rest(self) -> None:
        """Stop the arm, and wait until the monitor sends no more commands."""
        self.insist("safety_monitor/stop", 1.0)
        self.verdict = math.nan
        quiet = self.wait(
            lambda: self.verdict == Verdict.STOP and time.monotonic() - self.command_received > SILENCE,
            SERVICE_TIMEOUT,
        )
        if not quiet:
            raise OperatorError(f"the monitor still sends commands {SERVICE_TIMEOUT:.0f} s after a stop")
