"""The safety monitor, recording its commands and when they were decided. Tests only."""

import os
import pickle
import sys
from contextlib import suppress
from typing import Any

from spillguard_ros.monitor.safety_monitor import SafetyMonitor
from spillguard_ros.node import convert
from spillguard_ros.node.runtime import run


class NotedMonitor(SafetyMonitor):
    """The monitor unchanged; it adds pickled tuples to the arm's notes.

    ("sent", steady time of the decision, times, positions, velocities). The delay until a command reaches the
    arm shows the load of the machine; whether it continues the previous one is judged by the decision times.
    """

    def configure(self) -> None:
        """Open the notes first."""
        if not self.has_parameter("notes"):
            self.declare_parameter("notes", "")
        self._notes = os.open(self.get_parameter("notes").value, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._sent: list[Any] = []
        super().configure()
        assert self._arm is not None, "a monitor in shadow commands nothing"
        publisher = self._arm.publisher
        publish = publisher.publish

        def publish_and_keep(msg: Any) -> None:
            publish(msg)
            self._sent.append(msg)

        publisher.publish = publish_and_keep  # type: ignore[method-assign]

    def _tick(self) -> None:
        super()._tick()
        for msg in self._sent:
            sent = convert.trajectory(msg, self._robot.message_joints)
            entry = ("sent", self._decision.decided, sent.times, sent.positions, sent.velocities)
            with suppress(OSError):  # a test may have filled the disk
                os.write(self._notes, pickle.dumps(entry))
        self._sent.clear()


if __name__ == "__main__":
    sys.exit(run(NotedMonitor))
