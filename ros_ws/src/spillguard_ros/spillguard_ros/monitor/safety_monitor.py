"""The safety monitor: between policy and arm, the only writer of the arm's command topic.

A thin shell. Callbacks store, one steady timer calls the gate, and its decision is sent, reported and
recorded. The node itself makes no safety decision. It starts closed, every command it sends ends at rest, and
its last command before it ends is a stop. In shadow it has no publisher of commands: it looks on.
"""

import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.certificate import at_speed
from spillguard_core.bundle.gate_config import gate_config
from spillguard_core.bundle.site import load_site
from spillguard_core.gate.decision import Inputs, Mode, Request, SuspensionRequest
from spillguard_core.gate.gate import decide, initial_decision
from spillguard_core.gate.refusal import refusal
from spillguard_core.robot.arm import load_robot
from spillguard_ros.monitor.arm_output import arm_output
from spillguard_ros.monitor.driver import Driver
from spillguard_ros.monitor.operators import Operators
from spillguard_ros.monitor.parameters import MonitorParameters, settings_parameters
from spillguard_ros.monitor.reporting import MEGABYTE, Reporter
from spillguard_ros.monitor.services import Services
from spillguard_ros.monitor.status import (
    PROPOSAL,
    TELEOP,
    About,
    in_words,
    refusal_in_words,
    said,
    suspension_news,
)
from spillguard_ros.monitor.wishes import Wishes
from spillguard_ros.node import convert
from spillguard_ros.node.keys import load_public_keys
from spillguard_ros.node.outputs import POSITIONS, Output
from spillguard_ros.node.params import read_parameters
from spillguard_ros.node.runtime import ShellNode, run
from spillguard_ros.node.sensors import Sensors, read_frames
from spillguard_ros.recording import flight
from spillguard_ros.recording.recorder import FlightRecorder

WRITER_PERIOD = 0.1  # [s] between two checks for another node on the command topic


class SafetyMonitor(ShellNode):
    """`spillguard_core.gate.gate` on a 100 Hz timer."""

    in_rounds = True

    def __init__(self) -> None:
        super().__init__("safety_monitor")
        self._recorder: FlightRecorder | None = None
        self._active = False
        self._cycles = 0  # of this flight so far

    def configure(self) -> None:
        """Load and verify the bundle, open the topics. Nothing is sent yet."""
        parameters = read_parameters(self, MonitorParameters)
        streamed = Output.named(parameters.output) is Output.POSITIONS
        asked = "" if parameters.shadow and streamed else parameters.driver_parameter
        key = parameters.public_key
        robot = load_robot(parameters.robot, parameters.joint_prefix)
        site = load_site(Path(parameters.site).expanduser()) if parameters.site else None
        bundle = load_bundle(Path(parameters.bundle), robot, Path(key) if key else None, site)
        settings: Any = read_parameters(self, settings_parameters(bundle.rules))
        self._config = gate_config(vars(parameters) | vars(settings), bundle)
        # A slower arm than the certified one is no reason to refuse, but nothing is promised of it.
        full = replace(self._config, speed_scale=1.0)
        promised = bundle.promise(full, allow_uncalibrated=parameters.allow_uncalibrated)
        calibration = at_speed(promised, self._config.speed_scale)
        self._robot, self._task = robot, bundle.task
        self._models = bundle.models(self._config)
        guarded = Path(parameters.operator_keys).expanduser() if parameters.operator_keys else None
        keys = load_public_keys(guarded) if guarded else {}
        self._wishes = Wishes(self, robot, bundle.task, bundle.manifest.ahead, self._record, alone=bool(keys))
        if parameters.record:
            self._recorder = FlightRecorder(
                Path(parameters.record),
                flight.metadata(bundle, self._config, self._models),
                limit=MEGABYTE * parameters.record_limit,
                reserve=MEGABYTE * parameters.record_reserve,
            )
        frames = read_frames(self, bundle.task)
        self._sensors = Sensors(self, robot, bundle.task, frames, self._record)
        self._driver = Driver(
            self, parameters.driver_status, parameters.driver_controller, parameters.driver_timeout,
            asked, self.resolve_topic_name(robot.command_topic).rpartition("/")[0],
            # In shadow there is no streamer either, whose absence would be a fault.
            self.resolve_topic_name(POSITIONS) if streamed and not parameters.shadow else "",
        )  # fmt: skip
        self._command_topic = self.resolve_topic_name(robot.command_topic)
        self._arm = arm_output(self, robot, self._config)
        if self._arm is None:
            self.get_logger().warning("SHADOW: nothing is sent to the arm, and no button here stops it")
        self._reporter = Reporter(
            self, self._config, self._models.margin_units, calibration, self._recorder, self._record,
            bundle.manifest.trained_latency,
        )  # fmt: skip
        operators = Operators(keys, self.get_fully_qualified_name()) if keys else None
        self._offers = Services(
            self, self._refusal, lambda: self._decision.mode, self._reporter.asked, operators
        )
        self._close_gate()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start deciding, with the gate closed."""
        self._close_gate()
        self._active = True
        self._timer = self.create_timer(self._config.period, self._tick, clock=self.steady)
        self._slow_timer = self.create_timer(1.0, self._on_second, clock=self.steady)
        self._reporter.late_cycles = 0
        self._count_writers()
        self._driver.look_around()
        self._writer_timer = self.create_timer(WRITER_PERIOD, self._count_writers, clock=self.steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the arm first, then fall silent."""
        self._stop_arm()
        self.destroy_timer(self._timer)
        self.destroy_timer(self._slow_timer)
        self.destroy_timer(self._writer_timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Drop topics and services, finish the recording."""
        if hasattr(self, "_offers"):
            for subscription in [
                *self._sensors.subscriptions,
                *self._driver.subscriptions,
                *self._wishes.subscriptions,
                *self._reporter.subscriptions,
            ]:
                self.destroy_subscription(subscription)
            sent = [] if self._arm is None else [self._arm.publisher]
            for publisher in [*sent, *self._reporter.publishers]:
                self.destroy_lifecycle_publisher(publisher)
            for service in self._offers.offered:
                self.destroy_service(service)
            for client in self._driver.clients:
                self.destroy_client(client)
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    def last_words(self) -> None:
        """The last command is a stop, whatever ends the process."""
        if self._active:
            self._stop_arm()
            if self._arm is not None:
                self._arm.wait_until_heard()
        if self._recorder is not None:
            self._recorder.close()

    def _close_gate(self) -> None:
        # Cycle numbers continue through a flight, with one skipped: replay must not bridge this gap.
        number = self._cycles + 1 if self._cycles else 0
        closed = initial_decision(len(self._robot.message_joints), len(self._task.action))
        self._decision = replace(closed, cycle=number)
        self._wishes.forget()
        self._offers.forget()
        self._detail = ""  # of the decision, for people
        self._last_tick = math.nan

    def _stop_arm(self) -> None:
        """Make one more decision, with a stop request."""
        self._offers.requests.append(Request.STOP)
        self._tick()
        self._active = False

    def _record(self, topic: str, record: object) -> None:
        if self._recorder is not None:
            self._recorder.add(topic, record, time.time_ns())

    def _heard(self, about: About) -> str:
        """Fault in the messages received: topic, what was received, what is needed; empty if none."""
        if about is About.STATE:
            return self._sensors.state_words
        if about is About.SENSORS:
            return self._sensors.sensor_words
        return self._wishes.words(PROPOSAL if about is About.PROPOSAL else TELEOP)

    def _refusal(self, request: Request | SuspensionRequest) -> str:
        if not self._active:
            return "the monitor is not active"
        why = refusal(request, self._inputs(time.monotonic()), self._decision, self._config)
        return refusal_in_words(why, self._heard)

    def _count_writers(self) -> None:
        self._writers = self._driver.commanders(self._command_topic)
        self._wishes.count()

    def _inputs(self, now: float) -> Inputs:
        stamp = convert.seconds(self._sensors.state_stamp)
        return Inputs(
            now=now,
            measurement=self._sensors.measurement(),
            state_received=self._sensors.state_received,
            state_stamp=stamp,
            sensors_received=self._sensors.sensors_received,
            proposal=self._wishes.proposal,
            requests=tuple(self._offers.requests),
            command_writers=self._writers,
            teleop=self._wishes.teleop,
            suspend=self._offers.suspend,
            driver_fault=self._driver.fault(now, stamp),
        )

    def _tick(self) -> None:
        config, now, stamp = self._config, time.monotonic(), self.get_clock().now().to_msg()
        inputs = self._inputs(now)
        decision = decide(inputs, self._decision, config, self._models)
        decide_time = time.monotonic() - now
        if decision.send and self._arm is not None:
            self._record(self._robot.command_topic, self._arm.send(decision, stamp))
        # Keep the text of the fault that stopped the arm until a reset, whatever the messages are by now.
        if not decision.mode is self._decision.mode is Mode.STOPPED:
            self._detail = in_words(decision.reason, decision.detail, self._heard)
        if decision.reason is not self._decision.reason:
            self.get_logger().info(f"{said(decision, config.speed_scale)} {self._detail}")
        for news in suspension_news(self._decision.suspension, decision.suspension):
            self.get_logger().warning(news)
        self._decision, self._cycles = decision, decision.cycle
        self._offers.forget()
        period, self._last_tick = now - self._last_tick, now
        record = flight.CycleRecord(inputs, decision, decide_time, period, self._detail)
        self._reporter.report(record, self._driver.warning, self._wishes.crowd)

    def _on_second(self) -> None:
        self._driver.look_around()
        self._reporter.report_to_diagnostics()


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    return run(SafetyMonitor, args)


if __name__ == "__main__":
    sys.exit(main())
