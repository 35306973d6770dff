"""The simulated arm, noting every command that reached it and every state it was in. Tests only."""

import os
import pickle
import sys
import time

from trajectory_msgs.msg import JointTrajectory

from spillguard_ros import convert
from spillguard_ros.runtime import run
from spillguard_ros.sim_arm import SimArm


class NotedArm(SimArm):
    """Everything is the simulated arm's own; the notes are pickled tuples, one after the other.

    ("state", steady time, q, qd, desired q, desired qd) every tick;
    ("command", steady time, frame, times, positions, velocities, desired q, desired qd on arrival);
    ("refused", steady time, frame, reason).
    """

    def configure(self) -> None:
        """Open the notes first: nothing may reach the arm without one."""
        if not self.has_parameter("notes"):
            self.declare_parameter("notes", "")
        path = self.get_parameter("notes").value
        self._notes = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        super().configure()

    def _on_command(self, msg: JointTrajectory) -> None:
        now, frame = time.monotonic(), msg.header.frame_id
        try:
            command = convert.trajectory(msg)
        except ValueError as error:
            self._note(("refused", now, frame, str(error)))
        else:
            before = self._follower.desired(self._simulated())
            self._note(("command", now, frame, command.times, command.positions, command.velocities, *before))
        super()._on_command(msg)

    def _advance(self) -> None:
        super()._advance()
        data, desired = self._cell.data, self._follower.desired(self._now)
        self._note(("state", time.monotonic(), data.qpos[:7].copy(), data.qvel[:7].copy(), *desired))

    def _note(self, entry: tuple[object, ...]) -> None:
        os.write(self._notes, pickle.dumps(entry))


if __name__ == "__main__":
    sys.exit(run(NotedArm))
