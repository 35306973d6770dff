"""The simulated arm, recording every command it received and each of its states. Tests only."""

import os
import pickle
import sys
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from sim.pouring.gen3 import JOINT_NAMES
from spillguard_core.robot.arm import MONITOR_PERIOD
from spillguard_ros.monitor.driver import CONTROLLER
from spillguard_ros.node import convert
from spillguard_ros.node.runtime import run
from spillguard_sim.sim_arm import SimArm


class NotedArm(SimArm):
    """The simulated arm unchanged, plus notes: pickled tuples, one after the other.

    ("state", steady time, q, qd, desired q, desired qd, told qd, inside) every tick: told qd is the velocity
    setpoint of the servos, inside whether joints and lip were within their bounds; ("command", steady time,
    frame, times, positions, velocities); ("refused", steady time, frame, reason).

    Services make its driver report a fault or fall silent, and switch its controller off and on.
    """

    _faulted, _switched_off, _silent = False, False, False

    def configure(self) -> None:
        """Open the notes first: no command may reach the arm unrecorded."""
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
        self._on_second()  # reported at once
        return response

    def _on_silence(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._silent = response.success = request.data
        return response

    def _on_second(self) -> None:
        if not self._silent:
            super()._on_second()

    def _on_switch_off(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """An inactive controller accepts no command and leaves the servos at their setpoints."""
        self._catch_up()
        self._switched_off = response.success = request.data
        self._settle(self._drive.told)
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
            command = convert.trajectory(msg, JOINT_NAMES)
        except ValueError as error:
            self._note(("refused", now, frame, str(error)))
        else:
            self._note(("command", now, frame, command.times, command.positions, command.velocities))
        super()._on_command(msg)

    def _advance(self) -> None:
        before = self._drive.told
        super()._advance()
        data, desired = self._cell.data, (self._drive.controller.command, self._drive.controller.velocity)
        told = np.maximum(np.abs(self._drive.told - before) / MONITOR_PERIOD, np.abs(self._drive.servo.qd))
        seen = data.qpos[:7].copy(), data.qvel[:7].copy()
        self._note(("state", time.monotonic(), *seen, *desired, told, self._cell._inside()))

    def _note(self, entry: tuple[object, ...]) -> None:
        os.write(self._notes, pickle.dumps(entry))


if __name__ == "__main__":
    sys.exit(run(NotedArm))
