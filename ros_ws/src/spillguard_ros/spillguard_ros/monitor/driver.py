"""Whether the arm's driver is in order: what its controller manager reports on /diagnostics, what its
trajectory controller says of its parameter, and who commands it.

A forward position controller has no such parameter: it joins nothing. With it the position streamer has to be
there, as the only publisher of its commands.
"""

import math
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

from spillguard_ros.monitor.driver_reports import Report, Reports, namesakes, read_report
from spillguard_ros.node.intake import subscribe

DIAGNOSTICS = "/diagnostics"
MANAGER = "controller_manager"
CONTROLLERS = f"{MANAGER}: Controllers Activity"
CONTROLLER = "joint_trajectory_controller"
JOINS = "interpolate_from_desired_state"  # of the controller; open_loop_control on Humble
ACTION = "follow_joint_trajectory"
UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"  # until discovery is complete


SHORTEST_TIMEOUT = 2.5  # [s] in which a controller that is asked once a second may miss one question
AHEAD, BEHIND = 0.02, 2.0  # [s] that the driver's clock may seem to be; a busy machine is late, too


def clock_fault(now: float, stamp: float) -> str:
    """Whether the driver's clock is not ours, as far as the newest joint state shows; empty if it may be.

    `now` [s] on our ROS clock; `stamp` [s] of the state, 0 if it has none. Commands are stamped, so both
    sides have to agree on the time. A driver whose clock is ahead would begin a path in its middle. For one
    that is behind each begins too late, which shows as an arm that does not follow; a state may just be late.
    """
    age = now - stamp
    if stamp == 0.0 or -AHEAD <= age <= BEHIND:
        return ""
    apart = f"{abs(age):.3f} s {'behind' if age > 0.0 else 'ahead of'} this node's clock"
    return f"joint states are stamped {apart}; commands need one clock on both sides (NTP, use_sim_time)"


class ControllerParameter:
    """Asks the controller, again and again, whether its boolean parameter is true.

    A controller for which it is false joins messages to where the arm is measured to be. Ours leave nothing
    to join while both sides agree on the time; should they not, the arm at least does not shake.
    """

    def __init__(self, node: Node, controller: str, parameter: str, timeout: float) -> None:
        """`controller` is the full name of its node; answers older than `timeout` [s] do not count.

        ValueError for a time in which no answer may be lost.
        """
        if not timeout >= SHORTEST_TIMEOUT:
            raise ValueError(
                f"driver_timeout is {timeout} s, with driver_parameter at least {SHORTEST_TIMEOUT} s"
            )
        self._node, self._name, self._parameter, self._timeout = node, controller, parameter, timeout
        self._service = f"{controller}/get_parameters"
        self.client: Client[Any, Any] = node.create_client(GetParameters, self._service)
        self._asked: list[tuple[float, Future[Any]]] = []  # when, on the steady clock [s]; not yet answered
        self._answered = -math.inf  # [s] when the newest answer had been asked for
        self._fault = ""

    def ask(self, now: float) -> None:
        """Ask again; for once a second. `now` is on the steady clock [s]."""
        self._look(now)
        servers = self._node.count_services(self._service)
        if servers > 1:
            self._answered, self._fault = now, f"{servers} nodes answer to {self._service}"
        elif self.client.service_is_ready():
            request = GetParameters.Request(names=[self._parameter])
            self._asked.append((now, self.client.call_async(request)))

    def _look(self, now: float) -> None:
        """Read what was answered, and give up what has not been for too long."""
        waiting = []
        for asked, future in self._asked:
            if future.done():
                if asked >= self._answered:
                    self._answered, self._fault = asked, self._read(future.result())
            elif now - asked > self._timeout:
                self.client.remove_pending_request(future)
            else:
                waiting.append((asked, future))
        self._asked = waiting

    def _read(self, answer: GetParameters.Response | None) -> str:
        values = [] if answer is None else answer.values
        if len(values) != 1 or values[0].type == ParameterType.PARAMETER_NOT_SET:
            return (
                f"{self._name} has no parameter {self._parameter}: its release may call it otherwise "
                "(open_loop_control on Humble), driver_parameter says how"
            )
        if values[0].type == ParameterType.PARAMETER_BOOL and values[0].bool_value:
            return ""
        return (
            f"{self._parameter} of {self._name} is not true, so it may join messages to the measured state "
            "and shake the arm; launch/controllers.yaml shows how it is set"
        )

    def fault(self, now: float) -> str:
        """The fault at steady time `now` [s]; empty if none."""
        self._look(now)
        if not now - self._answered <= self._timeout:
            return f"{self._name} does not say whether its {self._parameter} is true"
        return self._fault


class Driver:
    """Listens for the status named exactly `status`, and asks the controller for its `parameter`.

    With an empty name neither is expected or checked.
    """

    def __init__(
        self,
        node: Node,
        status: str,
        controller: str,
        timeout: float,
        parameter: str = "",
        node_name: str = "",
        positions: str = "",
    ) -> None:
        """`node_name`: the full name of the trajectory controller's own node. `positions`: the full name of
        the forward position controller's topic, which takes that one's place; empty: it does not."""
        self._node, self._wanted, self._controller, self._node_name = node, status, controller, node_name
        self._positions, self._streams = positions, 0
        parameter = "" if positions else parameter
        self._reports, self._namesakes, self._publishers = Reports(status, timeout), "", -1
        self._parameter = ControllerParameter(node, node_name, parameter, timeout) if parameter else None
        self.subscriptions = (
            [
                subscribe(
                    node, DiagnosticArray, DIAGNOSTICS, self._on_diagnostics, self._on_refused, 10, status
                )
            ]
            if status
            else []
        )

    @property
    def clients(self) -> list[Client[Any, Any]]:
        """To be destroyed with the node's topics."""
        return [self._parameter.client] if self._parameter else []

    def _on_diagnostics(self, msg: DiagnosticArray, received: float) -> None:
        for status in msg.status:
            if status.name == self._wanted:
                self._reports.add(read_report(status, self._controller), received)

    def _on_refused(self, why: str) -> None:
        self._reports.add(Report(why), time.monotonic())

    def look_around(self) -> None:
        """Ask the controller, and check for other reporters if the number of publishers has changed."""
        if self._parameter:
            self._parameter.ask(time.monotonic())
        count = self._node.count_publishers(DIAGNOSTICS) if self._wanted else self._publishers
        if count == self._publishers:
            return
        found = self._node.get_publishers_info_by_topic(DIAGNOSTICS)
        self._namesakes = namesakes(self._wanted, [(info.node_namespace, info.node_name) for info in found])
        known = all(info.node_name != UNKNOWN_NODE for info in found)
        self._publishers = count if known else -1

    def commanders(self, topic: str) -> int:
        """How many can move the arm: publishers on the monitor's topic, by its full name, and clients of the
        controller's action, whose goals are requests of a service. Where positions are streamed, in the place
        of these clients publishers of positions, but for the streamer.
        """
        if self._positions:
            self._streams = self._node.count_publishers(self._positions)
            return self._node.count_publishers(topic) + max(self._streams - 1, 0)
        goals = f"{self._node_name}/{ACTION}/_action/send_goal"
        return self._node.count_publishers(topic) + self._node.count_clients(goals)

    def fault(self, now: float, stamp: float) -> str:
        """The fault at steady time `now` [s], with the newest joint state of `stamp` [s]; empty if none."""
        told = (self._reports.fault(now) or self._namesakes) if self._wanted else ""
        told = told or (self._parameter.fault(now) if self._parameter else "") or self._stream_fault()
        return told or clock_fault(1e-9 * self._node.get_clock().now().nanoseconds, stamp)

    def _stream_fault(self) -> str:
        if not self._positions or self._streams > 0:
            return ""
        return f"nobody publishes {self._positions}: is the position streamer running?"

    @property
    def warning(self) -> str:
        """Warnings in the newest good report; empty if none."""
        return self._reports.warning
