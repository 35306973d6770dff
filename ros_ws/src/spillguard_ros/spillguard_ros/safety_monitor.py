"""The safety monitor: between policy and arm, the only writer of the arm's command topic.

A thin shell. Callbacks store, one steady timer asks the gate, and what the gate says is sent, reported and
recorded. The node itself decides nothing about safety. It starts closed, every command it sends ends at
rest, and the last thing it sends before it ends is a stop.
"""

import math
import sys
import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.service import Service
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.arm import JOINT_NAMES
from spillguard_core.bundle import load_bundle
from spillguard_core.decision import Inputs, Proposal, Request, SuspensionRequest
from spillguard_core.gate import decide, initial_decision, refusal
from spillguard_core.trajectory import braking_trajectory
from spillguard_ros import convert, flight
from spillguard_ros.driver import DIAGNOSTICS, Driver
from spillguard_ros.monitor_parameters import MonitorParameters, calibration, gate_config
from spillguard_ros.params import read_parameters
from spillguard_ros.recorder import FlightRecorder
from spillguard_ros.runtime import ShellNode, run
from spillguard_ros.sensors import BASE_FRAME, Sensors
from spillguard_ros.status import decision_status, granted, recorder_status, suspension_news

COMMAND = "joint_trajectory_controller/joint_trajectory"
WRITER_PERIOD = 0.1  # [s] between two looks for another node on the command topic
MEGABYTE = 1_000_000
LAST_WORD_TIMEOUT = 0.2  # [s] to see the last command arrive


class SafetyMonitor(ShellNode):
    """`spillguard_core.gate` on a 100 Hz timer."""

    def __init__(self) -> None:
        super().__init__("safety_monitor")
        self._recorder: FlightRecorder | None = None
        self._active = False

    def configure(self) -> None:
        """Load and verify the bundle, open the topics. Nothing is sent yet."""
        parameters = read_parameters(self, MonitorParameters)
        key = parameters.public_key
        bundle = load_bundle(Path(parameters.bundle), JOINT_NAMES, Path(key) if key else None)
        self._calibration = calibration(parameters, bundle)
        self._config = gate_config(parameters, bundle)
        self._models = bundle.models(self._config.clearance)
        self._close_gate()
        if parameters.record:
            self._recorder = FlightRecorder(
                Path(parameters.record),
                {"manifest": bundle.manifest.to_json(), "config": flight.encode_config(self._config)},
                limit=MEGABYTE * parameters.record_limit,
                reserve=MEGABYTE * parameters.record_reserve,
            )
        self._sensors = Sensors(self, self._record)
        self._driver = Driver(
            self, parameters.driver_status, parameters.driver_controller, parameters.driver_timeout
        )
        self._twists = [
            self.create_subscription(TwistStamped, "policy/proposal", self._on_proposal, 1),
            self.create_subscription(TwistStamped, "teleop/twist", self._on_teleop, 1),
        ]
        self._command = self.create_lifecycle_publisher(JointTrajectory, COMMAND, 1)
        self._status = self.create_lifecycle_publisher(DiagnosticArray, "~/status", 10)
        self._diagnostics = self.create_lifecycle_publisher(DiagnosticArray, DIAGNOSTICS, 1)
        self._numbers = {
            name: self.create_lifecycle_publisher(Float64, f"~/{name}", 10)
            for name in ("q_c", "verdict", "command_age")
        }
        self._offers = [self._offer(request) for request in Request]
        self._offers.append(
            self.create_service(SetParametersAtomically, "~/suspend_critic", self._on_suspend_critic)
        )

    def _offer(self, request: Request) -> Service:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            return self._on_request(request, response)

        return self.create_service(Trigger, f"~/{request.value}", answer)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to decide, closed."""
        self._close_gate()
        self._active = True
        self._timer = self.create_timer(self._config.period, self._tick, clock=self.steady)
        self._slow_timer = self.create_timer(1.0, self._on_second, clock=self.steady)
        self._count_writers()
        self._writer_timer = self.create_timer(WRITER_PERIOD, self._count_writers, clock=self.steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the arm first, then go silent."""
        self._stop_arm()
        self.destroy_timer(self._timer)
        self.destroy_timer(self._slow_timer)
        self.destroy_timer(self._writer_timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Drop topics and services, finish the recording."""
        if hasattr(self, "_offers"):
            for subscription in [*self._sensors.subscriptions, *self._driver.subscriptions, *self._twists]:
                self.destroy_subscription(subscription)
            for publisher in [self._command, self._status, self._diagnostics, *self._numbers.values()]:
                self.destroy_publisher(publisher)
            for service in self._offers:
                self.destroy_service(service)
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    def last_words(self) -> None:
        """The last command is a stop, whatever ends the process."""
        if self._active:
            self._stop_arm()
            self._command.wait_for_all_acked(Duration(seconds=LAST_WORD_TIMEOUT))
        if self._recorder is not None:
            self._recorder.close()

    def _close_gate(self) -> None:
        self._decision = initial_decision()
        self._proposal: Proposal | None = None
        self._teleop: Proposal | None = None
        self._requests: list[Request] = []
        self._suspend: SuspensionRequest | None = None
        self._last_tick = math.nan
        self._late = 0  # cycles that began more than half a period late

    def _stop_arm(self) -> None:
        """One more decision, with a stop."""
        self._requests.append(Request.STOP)
        self._tick()
        self._active = False

    def _record(self, topic: str, msg: object) -> None:
        if self._recorder is not None:
            self._recorder.add(topic, msg, time.time_ns())

    def _on_proposal(self, msg: TwistStamped) -> None:
        twist, stamp = convert.twist(msg, BASE_FRAME), convert.seconds(msg.header.stamp)
        self._proposal = Proposal(twist, time.monotonic(), stamp)
        self._record("policy/proposal", msg)

    def _on_teleop(self, msg: TwistStamped) -> None:
        self._teleop = Proposal(convert.twist(msg, BASE_FRAME), time.monotonic(), math.nan)
        self._record("teleop/twist", msg)

    def _refusal(self, request: Request | SuspensionRequest) -> str:
        if not self._active:
            return "the monitor is not active"
        return refusal(request, self._inputs(time.monotonic()), self._decision, self._config)

    def _on_request(self, request: Request, response: Trigger.Response) -> Trigger.Response:
        reason = self._refusal(request)
        if not reason:
            self._requests.append(request)
        response.success, response.message = not reason, reason or granted(request, self._decision.mode)
        self.get_logger().info(f"{request.value}: {response.message}")
        return response

    def _on_suspend_critic(
        self, request: SetParametersAtomically.Request, response: SetParametersAtomically.Response
    ) -> SetParametersAtomically.Response:
        try:
            asked = convert.suspension_request(request.parameters)
            reason = self._refusal(asked)
        except ValueError as error:
            reason = str(error)
        if not reason:
            self._suspend = asked
        response.result.successful = not reason
        response.result.reason = reason or f"the critic is suspended for {asked.seconds} s: {asked.reason}"
        self.get_logger().info(f"suspend_critic: {response.result.reason}")
        return response

    def _count_writers(self) -> None:
        # By the resolved name: `count_publishers` expands a relative one, but does not remap it.
        self._writers = self.count_publishers(self._command.topic_name)

    def _inputs(self, now: float) -> Inputs:
        return Inputs(
            now=now,
            measurement=self._sensors.measurement(),
            state_received=self._sensors.state_received,
            state_stamp=convert.seconds(self._sensors.state_stamp),
            sensors_received=self._sensors.sensors_received,
            proposal=self._proposal,
            requests=tuple(self._requests),
            command_writers=self._writers,
            teleop=self._teleop,
            suspend=self._suspend,
            driver_fault=self._driver.fault(now),
        )

    def _tick(self) -> None:
        config, now = self._config, time.monotonic()
        inputs = self._inputs(now)
        decision = decide(inputs, self._decision, config, self._models)
        decide_time = time.monotonic() - now
        if decision.send:
            command = convert.to_trajectory(braking_trajectory(decision, config))
            self._command.publish(command)
            self._record(COMMAND, command)
        if decision.reason is not self._decision.reason:
            self.get_logger().info(f"{decision.verdict.name}: {decision.reason.value} {decision.detail}")
        for news in suspension_news(self._decision.suspension, decision.suspension):
            self.get_logger().warning(news)
        self._decision, self._suspend = decision, None
        self._requests.clear()
        period, self._last_tick = now - self._last_tick, now
        self._late += period > 1.5 * config.period
        self._report(flight.Cycle(inputs, decision, decide_time, period))

    def _report(self, cycle: flight.Cycle) -> None:
        decision = cycle.decision
        self._status.publish(self._status_array(cycle))
        age = decision.margins.command_age
        values = {"q_c": decision.q_c, "verdict": float(decision.verdict), "command_age": age}
        for name, value in values.items():
            msg = Float64(data=value)
            self._numbers[name].publish(msg)
            self._record(f"safety_monitor/{name}", msg)
        self._record(flight.TOPIC, cycle)

    def _status_array(self, cycle: flight.Cycle) -> DiagnosticArray:
        recorder = self._recorder
        extra = {
            "decide_time [ms]": f"{1e3 * cycle.decide_time:.3f}",
            "period [ms]": f"{1e3 * cycle.period:.3f}",
            "late_cycles": str(self._late),
            "command_writers": str(self._writers),
            "calibration": self._calibration,
            "recorder": "off" if recorder is None else recorder.error or "on",
            "recorder_dropped": str(0 if recorder is None else recorder.dropped),
            "recorder_written [MB]": f"{0.0 if recorder is None else recorder.written / MEGABYTE:.3f}",
        }
        msg = DiagnosticArray(status=[decision_status(cycle.decision, extra)])
        msg.header.stamp = self.get_clock().now().to_msg()
        self._latest = msg
        return msg

    def _on_second(self) -> None:
        if self._decision.cycle:
            more = [] if self._recorder is None else [recorder_status(self._recorder)]
            status = [*self._latest.status, *more]
            self._diagnostics.publish(DiagnosticArray(header=self._latest.header, status=status))


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    return run(SafetyMonitor, args)


if __name__ == "__main__":
    sys.exit(main())
