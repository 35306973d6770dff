"""What the safety monitor tells of each decision, on its topics and in the recording. It decides nothing."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from std_msgs.msg import Float64

from spillguard_core.gate.decision import GateConfig
from spillguard_ros.monitor.driver import DIAGNOSTICS
from spillguard_ros.monitor.latency import Latency
from spillguard_ros.monitor.status import decision_status, recorder_status
from spillguard_ros.node import convert
from spillguard_ros.node.intake import subscribe
from spillguard_ros.recording import flight
from spillguard_ros.recording.recorder import FlightRecorder

MEGABYTE = 1_000_000
LOG_PERIOD = 1.0  # [s] between two log lines with the same answer to the same service
MOST_ANSWERS = 100  # different ones in that time; what is refused beyond them is neither logged nor recorded
REQUESTS = "safety_monitor/requests"  # of a recording: who asked for what, and what was answered
PAGE = "operator_page/requests"  # who pressed what there: the page's word, which any node could give
LATE = 1.5  # periods between two cycles, above which the second is late


def _heard(publisher: LifecyclePublisher[Any]) -> bool:
    """Whether anybody listens: thirty entries a hundred times a second are not made for nobody."""
    return publisher.get_subscription_count() > 0


class Reporter:
    """Publishers of the status, of the numbers to plot, and of the summary on /diagnostics."""

    late_cycles = 0  # of this activation

    def __init__(
        self,
        node: LifecycleNode,
        config: GateConfig,
        margin_units: Mapping[str, str],
        calibration: str,
        recorder: FlightRecorder | None,
        record: Callable[[str, object], None],
        trained_latency: float | None = None,
    ) -> None:
        """`config` of the gate; `calibration` is what the critic's threshold promises, in words;
        `trained_latency` [s] of the bundle.
        """
        self._latency = Latency(trained_latency)
        self._logged: dict[tuple[str, str, str], float] = {}  # service, who, answer -> when [s]
        self._node, self._config, self._units = node, config, margin_units
        self._calibration, self._recorder, self._record = calibration, recorder, record
        self._latest: tuple[flight.CycleRecord, str, str] | None = None
        self._status = node.create_lifecycle_publisher(DiagnosticArray, "~/status", 10)
        self._diagnostics = node.create_lifecycle_publisher(DiagnosticArray, DIAGNOSTICS, 1)
        self._numbers = {
            name: node.create_lifecycle_publisher(Float64, f"~/{name}", 10)
            for name in ("q_c", "verdict", "command_age")
        }
        self.publishers = [self._status, self._diagnostics, *self._numbers.values()]
        self.subscriptions = (
            [subscribe(node, DiagnosticStatus, PAGE, self._pressed, lambda _: None, 10)] if recorder else []
        )
        """To be destroyed with the node's topics."""

    def report(self, cycle: flight.CycleRecord, driver_warning: str, crowd: str = "") -> None:
        """Every cycle; `crowd`: on which topics several nodes ask for motion."""
        decision = cycle.decision
        self.late_cycles += cycle.period > LATE * self._config.period
        self._latency.add(cycle.inputs)
        self._latest = cycle, driver_warning, crowd
        if _heard(self._status):
            self._status.publish(self._status_array(cycle, driver_warning, crowd))
        age = decision.margins["command_age"]
        values = {"q_c": decision.q_c, "verdict": float(decision.verdict), "command_age": age}
        for name, value in values.items():
            msg = Float64(data=value)
            if _heard(self._numbers[name]):
                self._numbers[name].publish(msg)
            self._record(f"safety_monitor/{name}", msg)
        self._record(flight.TOPIC, cycle)

    def asked(self, service: str, who: str, granted: bool, answer: str) -> None:
        """Log and record that `who` called `service`, and the answer.

        Each line goes to the graph and to disk, so what repeats itself does once a second at most. What is
        granted is in the recorded cycle, too.
        """
        now, key = time.monotonic(), (service, who, answer)
        self._logged = {said: when for said, when in self._logged.items() if now - when < LOG_PERIOD}
        if key in self._logged or (not granted and len(self._logged) >= MOST_ANSWERS):
            return
        self._logged[key] = now
        self._node.get_logger().info(f"{service}: {answer} (asked by {who})")
        values = {"service": service, "who": who, "granted": str(granted).lower()}
        level = DiagnosticStatus.OK if granted else DiagnosticStatus.WARN
        self._record(REQUESTS, convert.to_status(service, level, answer, values))

    def _pressed(self, msg: DiagnosticStatus, received: float) -> None:
        """Record it as it came; what comes too fast is as much of a flood here as at a service."""
        self._logged = {said: when for said, when in self._logged.items() if received - when < LOG_PERIOD}
        key = PAGE, str([pair.value for pair in msg.values]), msg.message
        if key not in self._logged and len(self._logged) < MOST_ANSWERS:
            self._logged[key] = received
            self._record(PAGE, msg)

    def report_to_diagnostics(self) -> None:
        """Once a second, after the first decision: the latest status, and the recorder's."""
        self._latency.sum_up(time.monotonic())
        if self._latest is not None:
            msg = self._status_array(*self._latest)
            if self._recorder is not None:
                msg.status = [*msg.status, recorder_status(self._recorder)]
            self._diagnostics.publish(msg)

    def _status_array(self, cycle: flight.CycleRecord, driver_warning: str, crowd: str) -> DiagnosticArray:
        recorder = self._recorder
        extra = {
            "decide_time [ms]": f"{1e3 * cycle.decide_time:.3f}",
            "period [ms]": f"{1e3 * cycle.period:.3f}",
            "late_cycles": str(self.late_cycles),
            "latency_p50 [ms]": f"{1e3 * self._latency.median:.1f}",
            "latency_p99 [ms]": f"{1e3 * self._latency.highest:.1f}",
            "latency": self._latency.warning,
            "command_writers": str(cycle.inputs.command_writers),
            "crowd": crowd,
            "driver": cycle.inputs.driver_fault or driver_warning,
            "calibration": self._calibration,
            "speed": f"{100 * self._config.speed_scale:g} %",
            "recorder": "off" if recorder is None else recorder.error or "on",
            "recorder_dropped": str(0 if recorder is None else recorder.dropped),
            "recorder_written [MB]": f"{0.0 if recorder is None else recorder.written / MEGABYTE:.3f}",
            "detail": cycle.told,
        }
        msg = DiagnosticArray(
            status=[decision_status(cycle.decision, self._units, extra, self._config.speed_scale)]
        )
        msg.header.stamp = self._node.get_clock().now().to_msg()
        return msg
