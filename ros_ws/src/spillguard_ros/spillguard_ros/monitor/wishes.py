"""The newest actions that ask for a motion, of the policy and of a teleoperator, and their faults."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node

from spillguard_core.bundle.manifest import Ahead
from spillguard_core.gate.decision import Proposal
from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import Robot
from spillguard_ros.monitor.status import PROPOSAL, TELEOP
from spillguard_ros.node import convert
from spillguard_ros.node.actions import ActionMessages, proposal_messages
from spillguard_ros.node.intake import subscribe


class Wishes:
    """Stores; checks nothing but the words for people."""

    def __init__(
        self, node: Node, robot: Robot, task: Task, ahead: Ahead | None, record: Callable[[str, object], None]
    ) -> None:
        """`ahead`: how the policy's chunks are; `record` gets every message, with its topic."""
        self._proposals, self._teleop = proposal_messages(task, robot, ahead), ActionMessages(task, robot)
        self.forget()
        self.subscriptions = [
            subscribe(node, kind, topic, take, partial(self._refuse, topic), 1, tell=partial(record, topic))
            for topic, kind, take in (
                (PROPOSAL, self._proposals.kind, self._on_proposal),
                (TELEOP, self._teleop.kind, self._on_teleop),
            )
        ]
        """To be destroyed with the node's topics."""

    def forget(self) -> None:
        """As if nobody had spoken yet."""
        self.proposal: Proposal | None = None
        self.teleop: Proposal | None = None
        self._doubts: dict[str, Callable[[], str]] = {PROPOSAL: str, TELEOP: str}  # as in `Sensors`

    def words(self, topic: str) -> str:
        """Fault in the newest message of a topic: what was received, what is needed; empty if none."""
        why = self._doubts[topic]()
        return f"{topic}: {why}" if why else ""

    def _on_proposal(self, msg: Any, received: float) -> None:
        stamp, messages = convert.seconds(msg.header.stamp), self._proposals
        self.proposal = messages.proposal(msg, received, stamp)
        self._doubts[PROPOSAL] = lambda: messages.fault(msg) or convert.stamp_fault(msg.header.stamp)

    def _on_teleop(self, msg: Any, received: float) -> None:
        self.teleop = self._teleop.proposal(msg, received, math.nan)
        self._doubts[TELEOP] = partial(self._teleop.fault, msg)

    def _refuse(self, topic: str, why: str) -> None:
        self._doubts[topic] = lambda: why
