"""The simulated arm, with a note of every command that reached it and of every state it was in. Tests only."""

import pickle
import sys
import time
from pathlib import Path

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
        path = Path(self.declare_parameter("notes", "").value)
        self._notes = path.open("ab", buffering=0)
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
        self._notes.write(pickle.dumps(entry))


if __name__ == "__main__":
    sys.exit(run(NotedArm))
