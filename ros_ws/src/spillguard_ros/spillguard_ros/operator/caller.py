"""Calls the monitor's services, with minimal imports: a person waits for the effect.

Imports neither the gate nor its dependencies, and numpy only as far as rclpy itself does.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import Trigger

from spillguard_ros.node.executors import make_executor
from spillguard_ros.node.signed import CHALLENGE, OUT_OF_DATE, SIGNED, SIGNED_SERVICE, SUSPEND, Signer

SERVICE_TIMEOUT = 15.0  # [s]; a cold start on a busy machine takes a few
ATTEMPTS = 3  # within that time
MONITOR = "safety_monitor"


class OperatorError(RuntimeError):
    """A service that is missing, does not answer or refuses."""


class Caller:
    """A node with clients and no thread of its own: it spins only while it waits."""

    def __init__(
        self, namespace: str = "", watch: Callable[[], None] = lambda: None, key: Path | None = None
    ) -> None:
        """`watch` is called while waiting; it raises if further waiting is pointless. `key`: file of the
        private key that signs what a monitor with `operator_keys` wants signed; ValueError, OSError."""
        self._watch, self._signer = watch, Signer(key) if key is not None else None
        self.node = Node("operator", namespace=namespace, enable_rosout=False, start_parameter_services=False)
        self._executor = make_executor()
        self._executor.add_node(self.node)
        self._services: dict[str, Client] = {}

    def spin(self, duration: float) -> None:
        """Process messages for `duration` [s]."""
        self.wait(lambda: False, duration)

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Process messages until the condition holds; False if it did not within `timeout` [s]."""
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0.0:
                return False
            self._executor.spin_once(timeout_sec=min(left, 0.05))
            self._watch()
        return True

    def call(self, service: str) -> tuple[bool, str]:
        """Answer of a Trigger service: whether it was granted, and its message. Signed if there is a key and
        the monitor wants it."""
        room, _, verb = service.rpartition("/")
        if room == MONITOR and verb in SIGNED and (signed := self._signed(verb)) is not None:
            return signed
        answer: Trigger.Response = self.ask(service, Trigger, Trigger.Request())
        return bool(answer.success), str(answer.message)

    def suspend_critic(self, reason: str, seconds: float) -> tuple[bool, str]:
        """Answer of the monitor: whether it was granted, and its message."""
        if (signed := self._signed(SUSPEND, reason, seconds)) is not None:
            return signed
        text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=reason)
        number = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=seconds)
        asked = [Parameter(name="reason", value=text), Parameter(name="seconds", value=number)]
        request = SetParametersAtomically.Request(parameters=asked)
        service = f"{MONITOR}/{SUSPEND}"
        answer: SetParametersAtomically.Response = self.ask(service, SetParametersAtomically, request)
        return bool(answer.result.successful), str(answer.result.reason)

    def _signed(self, verb: str, reason: str = "", seconds: float = 0.0) -> tuple[bool, str] | None:
        """The answer to a signed request; None without a key, or where the monitor wants no signature."""
        if self._signer is None:
            return None
        service = f"{MONITOR}/{SIGNED_SERVICE}"
        # By the name at which we look for it, not one that it tells: another monitor may answer in its place.
        monitor = self.node.resolve_service_name(service).rpartition("/")[0]
        for _ in range(ATTEMPTS):
            given: Trigger.Response = self.ask(f"{MONITOR}/{CHALLENGE}", Trigger, Trigger.Request())
            if not given.success:
                return None
            request = self._signer.request(monitor, verb, str(given.message), reason, seconds)
            result = self.ask(service, SetParametersAtomically, request).result
            if not result.reason.startswith(OUT_OF_DATE):  # another operator was quicker, or the answer lost
                break
        return bool(result.successful), str(result.reason)

    def ask(self, service: str, kind: type, request: object) -> Any:
        """Answer of a service of type `kind`. Repeated without an answer: call or answer may be lost."""
        client = self._services.get(service)
        if client is None:
            client = self._services[service] = self.node.create_client(kind, service)
        if not self.wait(client.service_is_ready, SERVICE_TIMEOUT):
            raise OperatorError(f"service {service} did not appear within {SERVICE_TIMEOUT:.0f} s")
        for _ in range(ATTEMPTS):  # the requests are idempotent
            future = client.call_async(request)
            if self.wait(future.done, SERVICE_TIMEOUT / ATTEMPTS):
                return future.result()
            client.remove_pending_request(future)
        raise OperatorError(f"service {service} did not answer within {SERVICE_TIMEOUT:.0f} s")

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()
