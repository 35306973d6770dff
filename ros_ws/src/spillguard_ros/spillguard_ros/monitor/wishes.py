"""The newest actions that ask for a motion, of the policy and of a teleoperator, and their faults."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
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
        self, node: Node, robot: Robot, task: Task, ahead: Ahead | None,
        record: Callable[[str, object], None], *, alone: bool = False,
    ) -> None:  # fmt: skip
        """`ahead`: how the policy's chunks are; `record` gets every message, with its topic. `alone`: where
        several nodes publish one of the topics, nothing on it is of use."""
        self._node, self._alone, self._publishers = node, alone, dict.fromkeys((PROPOSAL, TELEOP), 0)
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
        self._said: dict[str, Proposal | None] = {PROPOSAL: None, TELEOP: None}
        self._doubts: dict[str, Callable[[], str]] = {PROPOSAL: str, TELEOP: str}  # as in `Sensors`

    def count(self) -> None:
        """Look who publishes; for ten times a second."""
        self._publishers = {topic: self._node.count_publishers(topic) for topic in self._publishers}

    @property
    def crowd(self) -> str:
        """On which topics several nodes speak, whom nothing here tells apart; empty if none."""
        return ", ".join(f"{number} nodes publish {topic}" for topic, number in self._several())

    def _several(self) -> list[tuple[str, int]]:
        return [(topic, number) for topic, number in self._publishers.items() if number > 1]

    @property
    def proposal(self) -> Proposal | None:
        """The policy's newest; no numbers while several publish and one alone may."""
        return self._heard(PROPOSAL)

    @property
    def teleop(self) -> Proposal | None:
        """The teleoperator's, in the same way."""
        return self._heard(TELEOP)

    def _heard(self, topic: str) -> Proposal | None:
        said = self._said[topic]
        if said is None or not self._crowded(topic):
            return said
        return replace(said, twist=np.full_like(said.twist, math.nan), chunk=None)

    def _crowded(self, topic: str) -> bool:
        return self._alone and self._publishers[topic] > 1

    def words(self, topic: str) -> str:
        """Fault in the newest message of a topic: what was received, what is needed; empty if none."""
        why = self._doubts[topic]()
        if self._crowded(topic):
            why = f"{self._publishers[topic]} nodes publish it; where operator_keys is set one alone may"
        return f"{topic}: {why}" if why else ""

    def _on_proposal(self, msg: Any, received: float) -> None:
        stamp, messages = convert.seconds(msg.header.stamp), self._proposals
        self._said[PROPOSAL] = messages.proposal(msg, received, stamp)
        self._doubts[PROPOSAL] = lambda: messages.fault(msg) or convert.stamp_fault(msg.header.stamp)

    def _on_teleop(self, msg: Any, received: float) -> None:
        self._said[TELEOP] = self._teleop.proposal(msg, received, math.nan)
        self._doubts[TELEOP] = partial(self._teleop.fault, msg)

    def _refuse(self, topic: str, why: str) -> None:
        self._doubts[topic] = lambda: why
