"""Somebody who proposes in the policy's place, to a running safety monitor: every command passes the gate,
and nothing moves before an operator's resume."""

import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState

from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.task import Carrier
from spillguard_core.robot.arm import Robot, Vec
from spillguard_ros.node import convert
from spillguard_ros.node.actions import proposal_messages
from spillguard_ros.node.sensors import SENSOR_QOS
from spillguard_ros.operator.caller import Caller, OperatorError

PERIOD = 0.05  # [s] between proposals
APPEAR = 20.0  # [s] for joint states and the monitor's status
LISTEN = 1.0  # [s] until others that publish proposals are known
FRESH = 0.1  # [s] age of a joint state above which nothing is proposed
FOLLOWING = "following"  # the monitor's mode while the policy drives
PROPOSAL, STATUS = "policy/proposal", "safety_monitor/status"


class Proposer(Caller):
    """Proposes, and listens to the arm and to the monitor."""

    def __init__(self, bundle: Bundle, robot: Robot, namespace: str = "") -> None:
        """`robot`: as the bundle's, with the prefix of its messages."""
        super().__init__(namespace)
        self._robot, self._task, self._tool = robot, bundle.task, bundle.tool()
        self._messages = proposal_messages(bundle.task, robot, bundle.manifest.ahead)
        self._state: JointState | None = None
        self._received = -np.inf
        self._others: tuple[str, ...] = ()  # names in the newest joint state that is not this arm's
        self.status: dict[str, str] = {}
        node = self.node
        node.create_subscription(JointState, "joint_states", self._on_joints, SENSOR_QOS)
        node.create_subscription(DiagnosticArray, STATUS, self._on_status, 1)
        self._proposals: Publisher[Any] = node.create_publisher(self._messages.kind, PROPOSAL, 1)

    def _on_joints(self, msg: JointState) -> None:
        if convert.names_no_joint(msg, self._robot.message_joints):
            self._others = tuple(msg.name)
        else:
            self._state, self._received = msg, time.monotonic()

    def _on_status(self, msg: DiagnosticArray) -> None:
        if msg.status:
            self.status = convert.status_values(msg.status[0])

    @property
    def mode(self) -> str:
        """The monitor's; empty before its first status."""
        return self.status.get("mode", "")

    def posture(self) -> Vec | None:
        """(J,) [rad]; None without a fresh and valid joint state."""
        if self._state is None or time.monotonic() - self._received > FRESH:
            return None
        q, _ = convert.joint_state(self._state, self._robot.message_joints)
        return q if np.isfinite(q).all() else None

    def pose(self) -> Any:
        """Pose of the tool; None without a fresh and valid joint state."""
        q = self.posture()
        return None if q is None else self._tool.pose(q)

    def propose(self, action: Vec) -> None:
        """Publish an action (A,) in answer to the newest joint state."""
        assert self._state is not None
        self._proposals.publish(self._messages.message(action, self._state.header.stamp))

    def meet(self) -> None:
        """Wait for the arm and the monitor. OperatorError if one is missing, if others may propose, or if
        the monitor would pass a proposal at once."""
        if not self.wait(lambda: self.posture() is not None, APPEAR):
            wanted = f"no joint states of {', '.join(self._robot.message_joints)} within {APPEAR:.0f} s"
            got = convert.shown(", ".join(self._others))
            why = f"got those of {got}; is it --joint-prefix or --robot?" if got else "does the driver run?"
            raise OperatorError(f"{wanted}; {why}")
        if not self.wait(lambda: self.mode != "", APPEAR):
            raise OperatorError(f"no safety monitor reported within {APPEAR:.0f} s; is it active?")
        self.spin(LISTEN)
        # A policy may be there and silent: it gave up, or waits for its sensors.
        if (others := self.node.count_publishers(PROPOSAL) - 1) > 0:
            raise OperatorError(f"others publish on {PROPOSAL} ({others}); end the policy first")
        if self.mode == FOLLOWING:
            raise OperatorError("the monitor passes proposals already; hold first: spillguard operator hold")

    def await_resume(self, timeout: float) -> Vec:
        """Propose rest until an operator has resumed; the posture (J,) [rad] then. OperatorError."""
        deadline = time.monotonic() + timeout
        while True:
            q = self.posture()
            if q is not None:
                if self.mode == FOLLOWING:
                    return q
                self.propose(self.rest(q))
            if time.monotonic() > deadline:
                raise OperatorError(f"no resume within {timeout:.0f} s; the monitor is {self.mode}")
            self.spin(PERIOD)

    def rest(self, q: Vec) -> Vec:
        """The action (A,) that keeps an arm at q (J,) [rad]."""
        return q if self._task.carrier is Carrier.POSITIONS else np.zeros(len(self._task.action))
