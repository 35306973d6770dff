"""Faults of the arm's driver: it reports one, is switched off, falls silent, or obeys others as well."""

import time

import numpy as np
from std_srvs.srv import SetBool

from spillguard_core.robot.arm import MONITOR_PERIOD
from spillguard_ros.monitor.driver import ACTION
from tests.faults.cases import CLOCKS, DISCOVERY, RESTS, SERVO, STOPS, WRITERS, Case, Repeat, run
from tests.faults.harness import Cell, refused
from tests.ros.harness import LATE, PATIENCE

CYCLES = 120  # of the monitor; a driver reports every hundred
TIMEOUT = CLOCKS["driver_timeout"]
JUMP = 0.02  # [rad] allowed between setpoint and arm when the monitor takes over again


def tell(cell: Cell, service: str, on: bool) -> float:
    """Steady time [s] at which the service was called."""
    client = cell.watcher.node.create_client(SetBool, f"{cell.arm.node}/{service}")
    cell.until(client.service_is_ready, PATIENCE, service)
    now = time.monotonic()
    future = client.call_async(SetBool.Request(data=on))
    cell.until(future.done, PATIENCE, f"an answer of {service}")
    cell.watcher.node.destroy_client(client)
    return now


def test_driver_that_reports_a_fault(cell: Cell) -> None:
    case = Case("driver_fault", "driver: reports a fault", STOPS, ("DRIVER_FAULT",), MONITOR_PERIOD)

    def once() -> Repeat:
        cell.ready()
        fault = tell(cell, "fault", True)
        try:
            repeat = cell.answer(case, fault)
            refused(cell, "actuator 4 is in fault")
        finally:
            tell(cell, "fault", False)
        refused(cell, "contradicts itself")
        cell.until(lambda: cell.watcher.call("safety_monitor/reset")[0], PATIENCE, "a reset")
        return repeat

    run(case, once)


def test_controller_that_is_switched_off_and_on(cell: Cell) -> None:
    """It accepts no command, so the arm does not follow; the driver's status may report it first."""
    reasons = ("TRACKING_ERROR", "DRIVER_FAULT")
    case = Case("driver_switched", "driver: its controller is switched off", RESTS, reasons, SERVO)

    def once() -> Repeat:
        cell.ready()
        fault = tell(cell, "switch_off", True)
        try:
            cell.until(lambda: bool(cell.told(case, fault)), PATIENCE, "a stop")
            repeat = cell.answer(case, fault)
            assert repeat.verdict == "STOP" and repeat.reason in (*reasons, *LATE)
            refused(cell, f"{cell.arm.controller} is inactive")
        finally:
            tell(cell, "switch_off", False)
        cell.watcher.forget()
        cell.until(lambda: len(cell.watcher.seen()) > CYCLES, PATIENCE, "a report that it is back")
        assert {values["verdict"] for values in cell.watcher.seen()} == {"STOP"}, (
            "that it is back is no reset"
        )
        cell.notes.clear()
        cell.watcher.insist("safety_monitor/reset", PATIENCE)
        cell.until(lambda: cell.notes.read() or bool(cell.notes.commands), PATIENCE, "a command")
        first, q = cell.notes.commands[0], cell.notes.states[0].q
        assert first.holds
        assert np.abs(first.positions[-1] - q).max() < JUMP, "goes on from where the arm is"
        return repeat

    run(case, once)


def test_driver_that_falls_silent(cell: Cell) -> None:
    """Its status stops while everything else continues."""
    case = Case("driver_silent", "driver: its status stops coming", STOPS, ("DRIVER_FAULT",), TIMEOUT)

    def once() -> Repeat:
        cell.ready()
        fault = tell(cell, "silence", True)
        try:
            repeat = cell.answer(case, fault)
            refused(cell, "allowed")
        finally:
            tell(cell, "silence", False)
        return repeat

    run(case, once, 1)


def test_a_client_of_the_controllers_action(cell: Cell) -> None:
    """A node that can send goals moves the arm past the monitor; its goals are requests of a service."""
    case = Case("action_client", "another node is a client of the controller's action", STOPS,
                ("FOREIGN_WRITER",), WRITERS + DISCOVERY)  # fmt: skip

    def once() -> Repeat:
        cell.ready()
        fault = time.monotonic()
        client = cell.watcher.node.create_client(SetBool, f"{cell.arm.controller}/{ACTION}/_action/send_goal")
        try:
            repeat = cell.answer(case, fault)
            refused(cell, "2 publishers and action clients, allowed is this monitor alone")
        finally:
            cell.watcher.node.destroy_client(client)
        cell.watcher.insist("safety_monitor/reset", PATIENCE)
        return repeat

    run(case, once)
