"""Faults where positions are streamed: streamer or monitor die, and others stream or command beside them."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from rclpy.publisher import Publisher
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from spillguard_core.gate.trajectory import Trajectory
from spillguard_ros.node import convert
from spillguard_ros.node.outputs import FORWARD_CONTROLLER, POSITIONS
from tests.faults.commands import State, all_unsafe
from tests.faults.harness import Cell, MakeCell, refused
from tests.ros.harness import LATE, PATIENCE

STAYS = 0.01  # [rad] that a servo may still have to go when it counts as at rest
FAR, FAR_TIME = 1.0, 3.0  # [rad], [s] of a path that somebody else would have the arm follow
TRIES = 10  # until the arm was not stopped by a busy machine before


@pytest.fixture(scope="module")
def cell(make_cell: MakeCell) -> Iterator[Cell]:
    with make_cell() as cell:
        cell.start_arm(output="positions")
        cell.start_relay()
        cell.start_policy()
        start_monitor(cell)
        cell.start_streamer()
        yield cell


def start_monitor(cell: Cell) -> None:
    cell.start_monitor(output="positions", driver_controller=FORWARD_CONTROLLER)


def kill(cell: Cell, process: str) -> float:
    """Steady time [s] of the signal."""
    cell.ready()
    fault = time.monotonic()
    cell.graph.signal(process, signal.SIGKILL)
    cell.graph.wait(process, PATIENCE)
    return fault


def at_rest(cell: Cell, since: float) -> State:
    """The arm, once it has come to rest; it stays there, and nothing was unsafe on the way."""
    cell.until(lambda: cell.resting(since), PATIENCE, "rest")
    there, seen = cell.notes.states[-1], len(cell.notes.states)
    cell.until(lambda: cell.resting(since) and len(cell.notes.states) > seen + 50, PATIENCE, "more ticks")
    last = cell.notes.states[-1]
    assert last.rests and np.abs(last.q - there.q).max() < STAYS
    assert all_unsafe(cell.notes) + cell.harm_now() == []
    return last


def test_a_streamer_that_is_killed_leaves_the_arm_where_it_is(cell: Cell) -> None:
    """The controller keeps the last position; the monitor sees an arm that does not follow."""
    fault = kill(cell, "position_streamer")
    cell.until(lambda: cell.watcher.latest()["mode"] == "stopped", PATIENCE, "a stop")
    assert cell.watcher.latest()["reason"] in ("TRACKING_ERROR", "DRIVER_FAULT", *LATE)
    last = at_rest(cell, fault)
    np.testing.assert_allclose(last.q, last.desired_q, atol=STAYS)
    cell.start_streamer()
    cell.ready()


def test_a_monitor_that_is_killed_leaves_the_arm_at_the_end_of_a_verified_path(cell: Cell) -> None:
    last = at_rest(cell, kill(cell, "safety_monitor"))
    ends = [command.positions[-1] for command in cell.notes.sent[-3:]]  # the very last may have died with it
    apart = [float(np.abs(last.desired_q - end).max()) for end in ends]
    assert min(apart) < 1e-9, apart
    start_monitor(cell)
    cell.ready()


@contextmanager
def beside(cell: Cell, kind: type, topic: str) -> Iterator[Publisher]:
    """Another node's publisher, once somebody listens."""
    publisher = cell.watcher.node.create_publisher(kind, topic, 1)
    try:
        cell.until(lambda: publisher.get_subscription_count() > 0, PATIENCE, f"a listener on {topic}")
        yield publisher
    finally:
        cell.watcher.node.destroy_publisher(publisher)


def foreign_writer(
    cell: Cell, kind: type, topic: str, speak: Callable[[Publisher, np.ndarray], None]
) -> None:
    """It speaks until the monitor has stopped the arm for it; while it is there no reset is granted."""
    for _ in range(TRIES):
        cell.ready()
        cell.notes.read()
        here, fault = cell.notes.states[-1].desired_q, time.monotonic()
        with beside(cell, kind, topic) as publisher:

            def stopped() -> bool:
                speak(publisher, here)  # noqa: B023 it is called in this round
                return cell.watcher.latest()["mode"] == "stopped"

            cell.until(stopped, PATIENCE, "a stop")
            reason = cell.watcher.latest()["reason"]
            last = at_rest(cell, fault)
            assert np.abs(last.desired_q - here).max() < 0.3 * FAR
            refused(cell, "2 publishers")
        cell.watcher.insist("safety_monitor/reset", PATIENCE)
        if reason == "FOREIGN_WRITER":
            return
        assert reason in LATE
    raise AssertionError(f"stopped for being late {TRIES} times")


def test_another_node_that_streams_positions_stops_the_arm(cell: Cell) -> None:
    def speak(publisher: Publisher, here: np.ndarray) -> None:
        del here
        cell.notes.read()
        publisher.publish(Float64MultiArray(data=cell.notes.states[-1].desired_q.tolist()))

    foreign_writer(cell, Float64MultiArray, POSITIONS, speak)


def test_another_node_beside_the_monitor_is_not_streamed(cell: Cell) -> None:
    """Its trajectories would lead far away, from where the arm is, within every limit."""

    def speak(publisher: Publisher, here: np.ndarray) -> None:
        there = np.stack([here, here + FAR])
        now = cell.watcher.node.get_clock().now().to_msg()
        path = Trajectory(np.array([0.0, FAR_TIME]), there, np.zeros_like(there))
        publisher.publish(convert.to_trajectory(cell.arm.robot.message_joints, path, now))

    foreign_writer(cell, JointTrajectory, cell.arm.robot.command_topic, speak)
    log = cell.graph.log("position_streamer").read_text()
    assert "2 nodes publish trajectories" in log
