"""Faults of the arm's driver: it reports one, its controller is switched off, it says nothing any more."""

import time

import numpy as np
from std_srvs.srv import SetBool

from spillguard_core.arm import MONITOR_PERIOD
from tests.faults.cases import CLOCKS, JITTER, RESTS, SERVO, STOPS, Case, Repeat, run
from tests.faults.harness import Cell

REPORT = 1.0  # [s] between two statuses of a driver
JUMP = 0.02  # [rad] that the set point may be off the arm when the monitor takes over again


def tell(cell: Cell, service: str, on: bool) -> float:
    """Steady time [s] at which the arm was told."""
    client = cell.watcher.node.create_client(SetBool, f"sim_arm/{service}")
    cell.until(client.service_is_ready, 15.0, service)
    now = time.monotonic()
    future = client.call_async(SetBool.Request(data=on))
    cell.until(future.done, 5.0, f"an answer of {service}")
    cell.watcher.node.destroy_client(client)
    return now


def refused(cell: Cell, why: str) -> None:
    """A reset is refused for that reason as long as it lasts, and nothing clears the fault by itself."""
    granted, message = cell.watcher.call("safety_monitor/reset")
    assert not granted
    assert why in message


def test_driver_that_reports_a_fault(cell: Cell) -> None:
    case = Case("driver_fault", "driver: reports a fault", STOPS, ("DRIVER_FAULT",), MONITOR_PERIOD)

    def once() -> Repeat:
        cell.ready()
        fault = tell(cell, "fault", True)
        try:
            repeat = cell.answer(case, fault)
            if repeat.reason in case.reasons:  # a machine that stutters may have stopped it before
                refused(cell, "actuator 4 is in fault")
        finally:
            tell(cell, "fault", False)
        cell.until(lambda: cell.watcher.call("safety_monitor/reset")[0], 2.0 * REPORT, "a reset")
        return repeat

    run(case, once)


def test_controller_that_is_switched_off_and_on(cell: Cell) -> None:
    """It takes no command, so the arm does not follow; the driver's status may tell first."""
    reasons = ("TRACKING_ERROR", "DRIVER_FAULT")
    case = Case("driver_switched", "driver: its controller is switched off", RESTS, reasons, SERVO)

    def once() -> Repeat:
        cell.ready()
        fault = tell(cell, "switch_off", True)
        try:
            cell.until(lambda: cell.watcher.latest()["verdict"] == "STOP", 2.0 * REPORT, "a stop")
            assert cell.watcher.latest()["reason"] in reasons
            repeat = cell.answer(case, fault)
            cell.watcher.spin(1.2 * REPORT)
            refused(cell, "joint_trajectory_controller is inactive")
        finally:
            tell(cell, "switch_off", False)
        cell.watcher.spin(1.2 * REPORT)
        assert cell.watcher.latest()["verdict"] == "STOP", "that it is back is no reset"
        cell.notes.clear()
        cell.notes.commands.clear()
        cell.watcher.insist("safety_monitor/reset", 2.0)
        cell.watcher.spin(0.3)
        cell.notes.read()
        first, q = cell.notes.commands[0], cell.notes.states[0].q
        assert first.holds
        assert np.abs(first.positions[-1] - q).max() < JUMP, "goes on from where the arm is"
        return repeat

    run(case, once)


def test_driver_that_falls_silent(cell: Cell) -> None:
    """Its status stops coming while everything else goes on."""
    timeout = CLOCKS["driver_timeout"]
    for _ in range(3):  # a machine that stutters may stop the arm before
        cell.ready()
        told = tell(cell, "silence", True)
        try:
            cell.until(lambda: cell.watcher.latest()["verdict"] == "STOP", timeout + JITTER, "a stop")
            stopped = time.monotonic() - told
            if cell.watcher.latest()["reason"] == "DRIVER_FAULT":
                refused(cell, "allowed")
                break
        finally:
            tell(cell, "silence", False)
    else:
        raise AssertionError(f"stopped three times, but for {cell.watcher.latest()['reason']}")
    assert stopped > timeout - REPORT - JITTER
