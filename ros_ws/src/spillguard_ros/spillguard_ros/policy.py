"""The policy as a node: what the cell senses in, a proposed tool twist out. It commands nothing itself."""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from spillguard_core.arm import ACTION_SCALE, JOINT_NAMES, Vec
from spillguard_core.bundle import load_bundle
from spillguard_core.kinematics import ArmKinematics
from spillguard_core.observation import observe
from spillguard_core.policy import Array32
from spillguard_ros import convert
from spillguard_ros.params import optional, read_parameters, required
from spillguard_ros.runtime import ShellNode, run
from spillguard_ros.sensors import BASE_FRAME, Sensors


@dataclass(frozen=True)
class PolicyParameters:
    """What the policy node has to be told."""

    bundle: str = required("directory of the bundle")
    state_timeout: float = required("age of the joint state [s] above which nothing is proposed", 0.001, 1.0)
    sensor_timeout: float = required("age of the others [s] above which nothing is proposed", 0.001, 5.0)
    public_key: str = optional("", "file of the Ed25519 key that must have signed the bundle")


class Policy(ShellNode):
    """A timer at the bundle's rate; nothing is proposed from stale or unfinished sensing."""

    def __init__(self) -> None:
        super().__init__("policy")

    def configure(self) -> None:
        """Load and verify the bundle, open the topics."""
        self._settings = read_parameters(self, PolicyParameters)
        key = self._settings.public_key
        self._bundle = load_bundle(Path(self._settings.bundle), JOINT_NAMES, Path(key) if key else None)
        self._kinematics = ArmKinematics(self._bundle.guard)
        width = sum(term.width for term in self._bundle.manifest.observation)
        self._propose(np.zeros(width, dtype=np.float32))  # the first call is slow
        self._sensors = Sensors(self)
        self._proposal = self.create_lifecycle_publisher(TwistStamped, "policy/proposal", 1)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to propose."""
        self._timer = self.create_timer(
            1.0 / self._bundle.manifest.policy_rate, self._tick, clock=self.steady
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Propose nothing any more."""
        self.destroy_timer(self._timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Drop the topics."""
        if hasattr(self, "_sensors"):
            for subscription in self._sensors.subscriptions:
                self.destroy_subscription(subscription)
            self.destroy_publisher(self._proposal)

    def _propose(self, obs: Array32) -> Vec:
        """Twist (4,) [m/s, rad/s] for an observation (O,)."""
        (action,) = self._bundle.policy(obs[None])
        return np.asarray(action * ACTION_SCALE, dtype=np.float64)

    def _tick(self) -> None:
        now, parameters, sensors = time.monotonic(), self._settings, self._sensors
        measurement = sensors.measurement()
        fresh = (
            now - sensors.state_received <= parameters.state_timeout
            and now - sensors.sensors_received <= parameters.sensor_timeout
        )
        if measurement is None or not fresh or not measurement.is_finite():
            return
        twist = self._propose(observe(self._bundle.terms, measurement, self._kinematics))
        if all(map(math.isfinite, twist)):
            self._proposal.publish(convert.to_twist(twist, BASE_FRAME, sensors.state_stamp))


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    return run(Policy, args)


if __name__ == "__main__":
    sys.exit(main())
