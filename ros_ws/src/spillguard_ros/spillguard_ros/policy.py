"""The policy node: sensor readings in, a proposed action out. It commands nothing itself."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher, LifecycleState, TransitionCallbackReturn

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.graphs import Array32, PolicyRun
from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.patience import Patience, watched
from spillguard_core.gate.task import observe_from
from spillguard_core.robot.arm import load_robot
from spillguard_ros.node.actions import proposal_messages
from spillguard_ros.node.params import optional, read_parameters, required
from spillguard_ros.node.runtime import ShellNode, run
from spillguard_ros.node.sensors import Sensors, read_frames


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of the policy node."""

    bundle: str = required("directory of the bundle")
    robot: str = required("name of the arm, or a folder with its robot.yaml")
    state_timeout: float = required("age of the joint state [s] above which nothing is proposed", 0.001, 1.0)
    sensor_timeout: float = required("age of the others [s] above which nothing is proposed", 0.001, 5.0)
    patience: float = required(
        "[s] of motion after which it gives up and ends the work; 0: never", 0.0, 3600.0
    )
    joint_prefix: str = optional("", "before the names of joints and base frame in messages; empty: none")
    public_key: str = optional("", "file of the Ed25519 key that must have signed the bundle")


class Policy(ShellNode):
    """Runs at the bundle's rate; proposes nothing from stale or incomplete sensor data."""

    in_rounds = True

    def __init__(self) -> None:
        super().__init__("policy")

    def configure(self) -> None:
        """Load and verify the bundle, open the topics."""
        self._settings = read_parameters(self, PolicyParameters)
        key = self._settings.public_key
        robot = load_robot(self._settings.robot, self._settings.joint_prefix)
        self._bundle = bundle = load_bundle(Path(self._settings.bundle), robot, Path(key) if key else None)
        self._tool = bundle.tool()
        self._messages = proposal_messages(bundle.task, robot, bundle.manifest.ahead)
        width = sum(term.width for term in self._bundle.manifest.observation)
        self._run = PolicyRun(bundle.policy)
        self._propose(np.zeros(width, dtype=np.float32))  # the first call is slow
        self._sensors = Sensors(self, robot, bundle.task, read_frames(self, bundle.task))
        self._proposal: LifecyclePublisher[Any] = self.create_lifecycle_publisher(
            self._messages.kind, "policy/proposal", 1
        )

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start proposing."""
        self._patience = Patience()
        self._run.reset()
        self._timer = self.create_timer(
            1.0 / self._bundle.manifest.policy_rate, self._tick, clock=self.steady
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop proposing."""
        self.destroy_timer(self._timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Drop the topics."""
        if hasattr(self, "_sensors"):
            for subscription in self._sensors.subscriptions:
                self.destroy_subscription(subscription)
            self.destroy_lifecycle_publisher(self._proposal)

    def _propose(self, obs: Array32) -> NDArray[np.float64]:
        """Actions (H, A) in the task's units for an observation (O,); one action but of a chunk."""
        return np.asarray(self._bundle.actions(self._run(obs)), dtype=np.float64)

    def _tick(self) -> None:
        now, parameters, sensors = time.monotonic(), self._settings, self._sensors
        measurement = sensors.measurement()
        fresh = (
            now - sensors.state_received <= parameters.state_timeout
            and now - sensors.sensors_received <= parameters.sensor_timeout
        )
        if measurement is None or not fresh or not measurement.is_finite():
            self._run.reset()  # what it remembers would no longer be of equal steps in time
            return
        bundle = self._bundle
        state = self._tool.state(measurement.joint_position, measurement.joint_velocity)
        ending = bundle.task.ending(state)
        if self._gave_up(now, measurement, ending is None):
            if ending is None:
                return  # silence: the monitor holds, and needs a resume
            action = np.tile(np.clip(ending, -bundle.scale, bundle.scale), (bundle.manifest.actions, 1))
        else:
            action = self._propose(observe_from(bundle.task, bundle.terms, measurement, state))
        if np.isfinite(action).all():
            self._proposal.publish(self._messages.message(action, sensors.state_stamp))

    def _gave_up(self, now: float, measurement: Measurement, ended: bool) -> bool:
        """Whether the policy has had its time; says so once."""
        before, longest = self._patience, self._settings.patience
        self._patience = watched(before, now, measurement.joint_velocity, ended, longest)
        if self._patience.gave_up and not before.gave_up:
            sensed = {name: np.round(value, 4).tolist() for name, value in measurement.sensed.items()}
            words = f"gave up after {longest:g} s: ends the work, then falls silent; sensed {sensed}"
            self.get_logger().warning(words)
        return self._patience.gave_up


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    return run(Policy, args)


if __name__ == "__main__":
    sys.exit(main())
