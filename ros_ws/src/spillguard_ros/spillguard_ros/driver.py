"""What the arm's driver says about itself on /diagnostics, as ros2_control's controller manager does."""

import math
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from spillguard_ros.convert import status_values

DIAGNOSTICS = "/diagnostics"
CONTROLLERS = "Controllers Activity"  # the controller manager's status; before it stands its node's name
CONTROLLER = "joint_trajectory_controller"
ACTIVE = "active"


def driver_fault(status: DiagnosticStatus | None, age: float, controller: str, timeout: float) -> str:
    """What is wrong with a driver that said `status` `age` [s] ago; empty if nothing.

    Its `controller`, unless that is empty, has to be active. None: it has said nothing yet.
    """
    if status is None:
        return "has not reported yet"
    if not 0.0 <= age <= timeout:
        return f"reported {age:.1f} s ago, allowed {timeout} s"
    if status.level not in (DiagnosticStatus.OK, DiagnosticStatus.WARN):
        return f"reports: {status.message}"
    values = status_values(status)
    state = values.get(f"{controller}.state", values.get(controller, "unknown"))
    return "" if not controller or state == ACTIVE else f"{controller} is {state}"


class Driver:
    """Keeps the newest status called `status`. An empty name: nothing is awaited and nothing is wrong."""

    def __init__(self, node: Node, status: str, controller: str, timeout: float) -> None:
        self._wanted, self._controller, self._timeout = status, controller, timeout
        self._received, self._status = -math.inf, None
        self.subscriptions = (
            [node.create_subscription(DiagnosticArray, DIAGNOSTICS, self._on_diagnostics, 10)]
            if status
            else []
        )

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if self._wanted in (status.name, status.name.rpartition(": ")[2]):
                self._received, self._status = time.monotonic(), status

    def fault(self, now: float) -> str:
        """What is wrong at steady time `now` [s]; empty if nothing."""
        if not self._wanted:
            return ""
        return driver_fault(self._status, now - self._received, self._controller, self._timeout)
