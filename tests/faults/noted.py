"""What the simulated arms of the fault tests have in common: notes, and a driver that fails when asked to."""

import os
import pickle
import time
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from sim.pouring.arms import Drive
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from spillguard_ros.node import convert


class Noted(ABC):
    """Before a simulated arm among the bases of a class: the arm unchanged, plus notes, which are pickled
    tuples, one after the other.

    ("state", steady time, q, qd, desired q, desired qd, told qd, inside) every tick: told qd is the velocity
    setpoint of the servos, inside whether joints and tool were within their bounds; ("command", steady time,
    frame, times, positions, velocities); ("refused", steady time, frame, reason).

    Services make its driver report a fault or fall silent, and switch its controller off and on.
    """

    _faulted, _switched_off, _silent = False, False, False

    @abstractmethod
    def _motor(self) -> Drive:
        """The controller and the servos."""

    @abstractmethod
    def _seen(self) -> tuple[Vec, Vec, bool]:
        """Where the joints truly are (J,) [rad], how fast (J,) [rad/s], and whether that is within bounds."""

    @abstractmethod
    def _hold_at(self, q: Vec) -> None:
        """A controller without a command, the servos at q (J,) [rad]."""

    def configure(self: Any) -> None:
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
            super()._on_second()  # type: ignore[misc]

    def _on_switch_off(self: Any, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """An inactive controller accepts no command and leaves the servos at their setpoints."""
        self._catch_up()
        self._switched_off = response.success = request.data
        self._hold_at(self._motor().told)
        return response

    def _driver_status(self) -> DiagnosticStatus:
        status = super()._driver_status()  # type: ignore[misc]
        if self._faulted:
            status.level, status.message = DiagnosticStatus.ERROR, "actuator 4 is in fault"
        if self._switched_off:
            assert status.values[0].key.endswith(".state")
            status.values[0].value = "inactive"
        return status

    def _on_command(self: Any, msg: JointTrajectory) -> None:
        if self._switched_off:
            return
        now, frame = time.monotonic(), msg.header.frame_id
        try:
            command = convert.trajectory(msg, self._robot.message_joints)
        except ValueError as error:
            self._note(("refused", now, frame, str(error)))
        else:
            self._note(("command", now, frame, command.times, command.positions, command.velocities))
        super()._on_command(msg)

    def _advance(self) -> None:
        before = self._motor().told
        super()._advance()  # type: ignore[misc]
        motor = self._motor()
        told = np.maximum(np.abs(motor.told - before) / MONITOR_PERIOD, np.abs(motor.servo.qd))
        q, qd, inside = self._seen()
        desired = motor.controller.command, motor.controller.velocity
        self._note(("state", time.monotonic(), q, qd, *desired, told, inside))

    def _note(self, entry: tuple[object, ...]) -> None:
        os.write(self._notes, pickle.dumps(entry))
