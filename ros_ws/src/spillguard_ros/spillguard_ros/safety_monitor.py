"""The safety monitor: between policy and arm, the only writer of the arm's command topic.

A thin shell. Callbacks store, one steady timer asks the gate, and what the gate says is sent, reported and
recorded. The node itself decides nothing about safety. It starts closed, every command it sends ends at
rest, and the last thing it sends before it ends is a stop.
"""

import math
import sys
import time
from dataclasses import dataclass
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
from spillguard_core.bundle import Bundle, load_bundle
from spillguard_core.decision import GateConfig, Inputs, Proposal, Request, SuspensionRequest
from spillguard_core.gate import decide, initial_decision, refusal
from spillguard_core.trajectory import braking_trajectory
from spillguard_ros import convert, flight
from spillguard_ros.params import optional, read_parameters, required
from spillguard_ros.recorder import FlightRecorder
from spillguard_ros.runtime import ShellNode, run
from spillguard_ros.sensors import BASE_FRAME, Sensors
from spillguard_ros.status import UNCALIBRATED, decision_status, granted, recorder_status, suspension_news

COMMAND = "joint_trajectory_controller/joint_trajectory"
WRITER_PERIOD = 0.1  # [s] between two looks for another node on the command topic
MEGABYTE = 1_000_000
LAST_WORD_TIMEOUT = 0.2  # [s] to see the last command arrive


@dataclass(frozen=True)
class MonitorParameters:
    """What the monitor has to be told. Limits and the critic's threshold come with the bundle."""

    bundle: str = required("directory of the bundle")
    command_timeout: float = required("age of a proposal [s] at which the arm holds", 0.01, 1.0)
    teleop_timeout: float = required("age of a teleop message [s] at which the arm holds", 0.01, 1.0)
    state_timeout: float = required("age of the joint state [s] at which the arm stops", 0.01, 1.0)
    sensor_timeout: float = required("age of the other sensors [s] at which the arm holds", 0.01, 5.0)
    position_tolerance: float = required("[rad] a measured joint may read beyond its limit", 0.0, 0.1)
    max_tracking_error: float = required("[rad] between command and measurement", 0.001, 0.5)
    tracking_cycles: int = required("decisions in a row above that error before the arm stops", 1, 100)
    tracking_lag: float = required("[s] by which a healthy arm trails its command", 0.0, 0.5)
    settle_time: float = required("[s] after which a held arm must be still", 0.1, 10.0)
    still_speed: float = required("[rad/s] below which every joint counts as still", 0.001, 0.5)
    coast_time: float = required("[s] a command lasts beyond its period before it brakes", 0.0, 0.1)
    clearance: float = required("[m] kept from everything in the world model while braking", 0.0, 0.5)
    free_tilt: float = required("[rad] the cup may lean beside the target", 0.0, 3.2)
    max_suspension: float = required("[s] for which the critic may be suspended; 0: never", 0.0, 600.0)
    critic_release: float = required("share of the threshold at which the critic lets go", 0.0, 1.0)
    record_limit: int = required("[MB] of the newest flight that are kept on the disk", 1, 1_000_000)
    record_reserve: int = required("[MB] of the disk that a recording leaves free", 0, 10**9)
    allow_uncalibrated: bool = required("take a bundle whose critic's threshold promises nothing")
    record: str = optional("", "MCAP file to write the flight to; empty: no recording")
    public_key: str = optional("", "file of the Ed25519 key that must have signed the bundle")


def gate_config(parameters: MonitorParameters, bundle: Bundle) -> GateConfig:
    """The gate's configuration from the parameters and the bundle's manifest."""
    manifest, same = bundle.manifest, (
        "command_timeout", "teleop_timeout", "state_timeout", "sensor_timeout", "position_tolerance",
        "max_tracking_error", "tracking_cycles", "tracking_lag", "settle_time", "still_speed", "coast_time",
        "clearance", "free_tilt", "critic_release", "max_suspension",
    )  # fmt: skip
    if not parameters.command_timeout <= 2.0 / manifest.policy_rate:
        raise ValueError(
            f"command_timeout is {parameters.command_timeout} s, allowed are two periods of the policy, "
            f"{2.0 / manifest.policy_rate} s"
        )
    return GateConfig(
        limits=manifest.limits.arrays(),
        period=1.0 / manifest.monitor_rate,
        critic_threshold=manifest.threshold.value,
        **{name: getattr(parameters, name) for name in same},
    )


def calibration(parameters: MonitorParameters, bundle: Bundle) -> str:
    """What the threshold promises, for every status. ValueError for a bundle that may not run."""
    threshold = bundle.manifest.threshold
    if threshold.certificate is not None:
        return threshold.calibration
    if not parameters.allow_uncalibrated:
        raise ValueError(
            f"the threshold of bundle {parameters.bundle} promises nothing ({threshold.calibration}); run "
            "`spillguard calibrate` on it, or set allow_uncalibrated to true"
        )
    return f"{UNCALIBRATED}: {threshold.calibration}"


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
        self._twists = [
            self.create_subscription(TwistStamped, "policy/proposal", self._on_proposal, 1),
            self.create_subscription(TwistStamped, "teleop/twist", self._on_teleop, 1),
        ]
        self._command = self.create_lifecycle_publisher(JointTrajectory, COMMAND, 1)
        self._status = self.create_lifecycle_publisher(DiagnosticArray, "~/status", 10)
        self._diagnostics = self.create_lifecycle_publisher(DiagnosticArray, "/diagnostics", 1)
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
            for subscription in [*self._sensors.subscriptions, *self._twists]:
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
