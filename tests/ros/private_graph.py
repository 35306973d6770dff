"""ROS 2 on a domain of its own, and a priority for those who listen."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from spillguard_ros.node.realtime import TASKS
from spillguard_sim.graph import private_environment

ROOT = Path(__file__).parents[2]
LISTENING = 35  # SCHED_FIFO priority, between those of launch/params


@contextmanager
def private_ros() -> Iterator[dict[str, str]]:
    """ROS 2 on a private domain; yields the environment for processes of this graph.

    Whoever creates an `Operator` in it must close it, which also shuts down ROS 2 in this process.
    """
    before, environment = dict(os.environ), private_environment()
    os.environ.update(environment)
    # The policy's stand-in runs as a separate process and is imported by name.
    path = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH", "")]))
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield {**environment, "PYTHONPATH": path}
    finally:
        rclpy.try_shutdown()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def listening_first() -> Iterator[None]:
    """Priority of this process above simulation and policy, below the monitor, where permitted.

    If the witness had to wait, it would see punctual messages late. Child processes do not inherit it.
    """

    def schedule(policy: int, priority: int) -> None:
        for task in os.listdir(TASKS):
            with suppress(ProcessLookupError, PermissionError):
                os.sched_setscheduler(int(task), policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))

    schedule(os.SCHED_FIFO, LISTENING)
    try:
        yield
    finally:
        schedule(os.SCHED_OTHER, 0)
