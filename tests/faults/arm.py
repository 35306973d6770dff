"""The simulated arm, noting every command that reached it and every state it was in. Tests only."""

import os
import pickle
import sys
import time

from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from spillguard_ros import convert
from spillguard_ros.driver import CONTROLLER
from spillguard_ros.follower import TrajectoryFollower
from spillguard_ros.runtime import run
from spillguard_ros.sim_arm import SimArm


class NotedArm(SimArm):
    """Everything is the simulated arm's own; the notes are pickled tuples, one after the other.

    ("state", steady time, q, qd, desired q, desired qd) every tick;
    ("command", steady time, frame, times, positions, velocities, desired q, desired qd on arrival);
    ("refused", steady time, frame, reason).

    Services make its driver report a fault or nothing at all, and switch its controller off and on.
    """

    _faulted, _switched_off, _silent = False, False, False

    def configure(self) -> None:
        """Open the notes first: nothing may reach the arm without one."""
        if not self.has_parameter("notes"):
            self.declare_parameter("notes", "")
        path = self.get_parameter("notes").value
        self._notes = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        super().configure()
        self.create_service(SetBool, "~/fault", self._on_fault)
        self.create_service(SetBool, "~/silence", self._on_silence)
        self.create_service(SetBool, "~/switch_off", self._on_switch_off)

    def _on_fault(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._faulted = response.success = request.data
        self._on_second()  # told at once
        return response

    def _on_silence(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._silent = response.success = request.data
        return response

    def _on_second(self) -> None:
        if not self._silent:
            super()._on_second()

    def _on_switch_off(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """An inactive controller takes nothing and leaves the servos where they are."""
        self._catch_up()
        self._switched_off = response.success = request.data
        self._follower = TrajectoryFollower(self._last_q)
        return response

    def _driver_status(self) -> DiagnosticStatus:
        status = super()._driver_status()
        if self._faulted:
            status.level, status.message = DiagnosticStatus.ERROR, "actuator 4 is in fault"
        if self._switched_off:
            status.values[0].value = "inactive"
            assert status.values[0].key.startswith(CONTROLLER)
        return status

    def _on_command(self, msg: JointTrajectory) -> None:
        if self._switched_off:
            return
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
