"""A person's hands in code: call the monitor's services, read what it and the cell report."""

import math
import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.node import Node
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.decision import SuspensionRequest, Verdict
from spillguard_ros import convert
from spillguard_ros.runtime import make_executor

SERVICE_TIMEOUT = 15.0  # [s] a cold start on a busy machine takes a few
ATTEMPTS = 3  # to get an answer within that time
SILENCE = 0.1  # [s] without a command after which no other is under way
COMMAND = "joint_trajectory_controller/joint_trajectory"


class OperatorError(RuntimeError):
    """A service that is not there, does not answer or refuses."""


class Operator:
    """A node with clients, and a thread of nobody: it spins only while it waits."""

    def __init__(self, namespace: str = "", watch: Callable[[], None] = lambda: None) -> None:
        """`watch` is called while waiting; it raises when waiting has become pointless."""
        self._watch = watch
        self.node = Node("operator", namespace=namespace)
        self._executor = make_executor()
        self._executor.add_node(self.node)
        self._services: dict[str, Client] = {}
        self.outcome: dict[str, str] = {}
        self.verdict = float("nan")
        self.node.create_subscription(DiagnosticStatus, "sim_arm/outcome", self._on_outcome, 1)
        self.command_received = -math.inf  # steady time [s]
        self.node.create_subscription(Float64, "safety_monitor/verdict", self._on_verdict, 1)
        self.node.create_subscription(JointTrajectory, COMMAND, self._on_command, 1)

    def _on_outcome(self, msg: DiagnosticStatus) -> None:
        self.outcome = convert.status_values(msg)

    def _on_verdict(self, msg: Float64) -> None:
        self.verdict = msg.data

    def _on_command(self, msg: JointTrajectory) -> None:
        del msg
        self.command_received = time.monotonic()

    def spin(self, duration: float) -> None:
        """Take in messages for `duration` [s]."""
        self.wait(lambda: False, duration)

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Take in messages until the condition holds; False if it did not within `timeout` [s]."""
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0.0:
                return False
            self._executor.spin_once(timeout_sec=min(left, 0.05))
            self._watch()
        return True

    def call(self, service: str) -> tuple[bool, str]:
        """Answer of a Trigger service: granted or not, and what it says."""
        answer: Trigger.Response = self.ask(service, Trigger, Trigger.Request())
        return bool(answer.success), str(answer.message)

    def suspend_critic(self, reason: str, seconds: float) -> tuple[bool, str]:
        """Answer of the monitor: granted or not, and what it says."""
        request = SetParametersAtomically.Request()
        request.parameters = convert.to_parameters(SuspensionRequest(reason, seconds))
        service = "safety_monitor/suspend_critic"
        answer: SetParametersAtomically.Response = self.ask(service, SetParametersAtomically, request)
        return bool(answer.result.successful), str(answer.result.reason)

    def ask(self, service: str, kind: type, request: object) -> Any:
        """Answer of a service of type `kind`. Asked again where none comes: either may be lost."""
        client = self._services.get(service)
        if client is None:
            client = self._services[service] = self.node.create_client(kind, service)
        if not self.wait(client.service_is_ready, SERVICE_TIMEOUT):
            raise OperatorError(f"service {service} did not appear within {SERVICE_TIMEOUT:.0f} s")
        for _ in range(ATTEMPTS):  # to ask for the same twice changes nothing
            future = client.call_async(request)
            if self.wait(future.done, SERVICE_TIMEOUT / ATTEMPTS):
                return future.result()
            client.remove_pending_request(future)
        raise OperatorError(f"service {service} did not answer within {SERVICE_TIMEOUT:.0f} s")

    def insist(self, service: str, timeout: float) -> None:
        """Call until it is granted, or say why it was refused."""
        deadline = time.monotonic() + timeout
        while True:
            granted, message = self.call(service)
            if granted:
                return
            if time.monotonic() > deadline:
                raise OperatorError(f"{service} refused: {message}")
            self.spin(0.05)

    def open_gate(self, timeout: float = 10.0) -> None:
        """Reset and resume. A fault in between stops the monitor again, so both are tried until both hold."""
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
        """Stop the arm, and wait until the monitor has no more to send."""
        self.insist("safety_monitor/stop", 1.0)
        self.verdict = math.nan
        quiet = self.wait(
            lambda: self.verdict == Verdict.STOP and time.monotonic() - self.command_received > SILENCE, 3.0
        )
        if not quiet:
            raise OperatorError("the monitor still sends commands 3 s after a stop")

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()
