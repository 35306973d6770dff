"""Faults of whole processes: the arm's response, and its timing."""

import itertools
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import MONITOR_PERIOD
from spillguard_ros.node import convert
from tests.faults.arms import PROPOSAL, FaultArm
from tests.faults.cases import (
    CLOCKS,
    DISCOVERY,
    GOES_ON,
    HOLDS,
    REPEATS,
    RESTS,
    SERVO,
    STOPS,
    WRITERS,
    Case,
    Repeat,
    run,
)
from tests.faults.commands import FOREIGN
from tests.faults.harness import Cell, refused
from tests.ros.harness import PATIENCE

COMMAND = CLOCKS["command_timeout"]
CYCLES = 30  # in which the arm must not be commanded to move
REACH = 0.1  # [s] reach of commands: the arm executes the last one while the monitor is at rest and silent
STALE = ("PROPOSAL_STALE",)
HUNG = ("STATE_STALE", "TRACKING_ERROR", "NOT_SETTLING")  # whichever comes first latches
IN_FLIGHT = 2  # statuses that a monitor may have been about to send when it was stopped


def silent_monitor(arm: FaultArm) -> float:
    """[s] from the last command to rest."""
    return CLOCKS["coast_time"] + arm.braking + SERVO


def send(cell: Cell, process: str, number: signal.Signals) -> float:
    """Steady time [s] of the signal."""
    now = time.monotonic()
    cell.graph.signal(process, number)
    return now


@pytest.mark.parametrize(
    ("case", "number"),
    [
        (Case("policy_killed", "policy: killed", HOLDS, STALE, COMMAND), signal.SIGKILL),
        (Case("policy_ended", "policy: ends in good order", HOLDS, STALE, COMMAND), signal.SIGINT),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_policy_that_ends(cell: Cell, case: Case, number: signal.Signals) -> None:
    def once() -> Repeat:
        cell.ready()
        repeat = cell.answer(case, send(cell, "policy", number))
        cell.graph.wait("policy", PATIENCE)
        cell.start_policy()
        return repeat

    run(case, once)


def test_policy_that_is_stopped(cell: Cell) -> None:
    case = Case("policy_stopped", "policy: SIGSTOP", HOLDS, STALE, COMMAND)

    def once() -> Repeat:
        cell.ready()
        repeat = cell.answer(case, send(cell, "policy", signal.SIGSTOP))
        cell.graph.signal("policy", signal.SIGCONT)
        return repeat

    run(case, once)


def test_policy_that_is_ten_times_too_slow(no_policy: Cell) -> None:
    cell = no_policy
    # The signal is handled between two callbacks; one more answer may be in transit.
    case = Case("policy_slow", "policy: ten times slower", HOLDS, STALE, COMMAND + MONITOR_PERIOD)
    cell.start_policy("slow_policy", module="tests.faults.slow_policy")

    def once() -> Repeat:
        cell.ready()
        repeat = cell.answer(case, send(cell, "slow_policy", signal.SIGUSR1))
        cell.graph.signal("slow_policy", signal.SIGUSR2)
        return repeat

    try:
        run(case, once)
    finally:
        cell.stop("slow_policy")


def test_two_policies_at_once(cell: Cell, reverse_bundle: Path) -> None:
    case = Case("policy_twice", "policy: two at once, one turning the other way", GOES_ON)
    cell.start_policy("other_policy", bundle=reverse_bundle)
    try:
        both = lambda: cell.watcher.node.count_publishers(f"raw/{PROPOSAL}") == 2  # noqa: E731
        cell.until(both, PATIENCE, "a second policy")

        def once() -> Repeat:
            cell.ready()
            return cell.answer(case, time.monotonic())

        run(case, once)
    finally:
        cell.stop("other_policy")


def commands_while(cell: Cell, seconds: float) -> int:
    """Number of commands that reach the arm in that time [s]."""
    cell.notes.read()
    before = len(cell.notes.commands)
    cell.watcher.spin(seconds)
    cell.notes.read()
    return len(cell.notes.commands) - before


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("killed", [signal.SIGKILL]), ("ended", [signal.SIGTERM, signal.SIGINT])],
    ids=["killed", "ended"],
)
def test_monitor_that_ends_and_is_started_again(cell: Cell, name: str, numbers: list[signal.Signals]) -> None:
    shown = " or ".join(number.name for number in numbers)
    case = Case(
        f"monitor_{name}", f"monitor: {shown}, then started again", RESTS, detection=silent_monitor(cell.arm)
    )
    turns = itertools.cycle(numbers)

    def once() -> Repeat:
        cell.ready()
        number = next(turns)
        fault = send(cell, "safety_monitor", number)
        status = cell.graph.wait("safety_monitor", PATIENCE)
        repeat = cell.answer(case, fault)
        if number is not signal.SIGKILL:
            assert status == 0
            assert cell.notes.sent[-1].holds, "the last command is a stop"
        cell.start_monitor()
        cell.watcher.forget()
        cell.until(lambda: len(cell.watcher.seen()) > CYCLES, PATIENCE, "a new monitor")
        assert commands_while(cell, 0.3) == 0, "a monitor that nobody has reset moves nothing"
        assert cell.watcher.latest()["reason"] == "NOT_RESET"
        return repeat

    run(case, once)


def test_monitor_that_is_stopped(cell: Cell) -> None:
    case = Case(
        "monitor_stopped", "monitor: SIGSTOP, then SIGCONT", RESTS, detection=silent_monitor(cell.arm)
    )

    def once() -> Repeat:
        cell.ready()
        fault = send(cell, "safety_monitor", signal.SIGSTOP)
        cell.until(lambda: cell.resting(fault), PATIENCE, "rest")
        assert commands_while(cell, 0.3) == 0
        while cell.watcher.seen():  # earlier messages may still wait in the queue
            cell.watcher.forget()
            cell.watcher.spin(0.2)
        cell.graph.signal("safety_monitor", signal.SIGCONT)
        cell.until(lambda: len(cell.watcher.seen()) > CYCLES, PATIENCE, "a monitor that goes on")
        assert cell.watcher.latest()["reason"] == "STATE_STALE"
        modes = [values["mode"] for values in cell.watcher.seen()]
        # The cycle that was cut in two ends, and a message may have been on its way: they report the past.
        assert set(modes[IN_FLIGHT:]) == {"stopped"} and modes == sorted(modes), modes
        cell.notes.read()
        assert cell.notes.commands[-1].holds, "a monitor that was blind does not go on by itself"
        return cell.judged(case, fault, case.bound)

    run(case, once)


def test_driver_that_hangs_stops_the_arm_until_a_reset(cell: Cell) -> None:
    """When it answers depends on when it is let go on, so nothing is measured: the stop latches."""
    for _ in range(REPEATS):
        cell.ready()
        hang(cell)


def hang(cell: Cell) -> None:
    """Stop the driver's process until the monitor has stopped the arm, then let it go on."""
    fault = send(cell, cell.arm.node, signal.SIGSTOP)
    try:
        cell.until(lambda: cell.watcher.latest()["mode"] == "stopped", PATIENCE, "a stop")
    finally:
        cell.graph.signal(cell.arm.node, signal.SIGCONT)
    told, back = cell.watcher.latest()["reason"], time.monotonic()
    assert told in HUNG
    cell.until(lambda: len(cell.watcher.seen(back)) > CYCLES, PATIENCE, "more cycles")
    assert {(values["mode"], values["reason"]) for values in cell.watcher.seen(back)} == {("stopped", told)}
    cell.until(lambda: cell.resting(back), PATIENCE, "rest")
    case = Case("driver_hangs", "driver: SIGSTOP, then SIGCONT", STOPS, (told,))
    assert cell.judged(case, fault, case.bound).unsafe == ()


def test_another_node_on_the_command_topic(cell: Cell) -> None:
    case = Case(
        "foreign_writer", "another node commands the arm", STOPS, ("FOREIGN_WRITER",), WRITERS + DISCOVERY
    )

    def once() -> Repeat:
        cell.ready()
        cell.notes.read()
        rest, robot = cell.notes.states[-1].desired_q, cell.arm.robot
        fault = time.monotonic()  # the monitor may notice before anything is published
        foreign = cell.watcher.node.create_publisher(JointTrajectory, robot.command_topic, 1)
        msg = convert.to_trajectory(
            robot.message_joints, Trajectory(np.array([REACH]), rest[None], np.zeros((1, cell.arm.joints)))
        )
        msg.header.frame_id = FOREIGN
        try:

            def arrived() -> bool:
                foreign.publish(msg)
                cell.notes.read()
                return bool(cell.notes.foreign)

            cell.until(arrived, PATIENCE, "the test's command at the arm")
            repeat = cell.answer(case, fault)
            refused(cell, "another node")
        finally:
            cell.watcher.node.destroy_publisher(foreign)
        return repeat

    run(case, once)
