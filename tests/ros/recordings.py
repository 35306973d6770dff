"""Helpers of the recorder's tests: write, read back, wait."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mcap.reader import make_reader
from trajectory_msgs.msg import JointTrajectory

from spillguard_ros.recording.mcap_files import records
from spillguard_ros.recording.recorder import FlightRecorder
from tests.ros.harness import PATIENCE

NAMES = {"config": "{}"}


def values(path: Path) -> int:
    """Number of messages in a recording."""
    return sum(topic == "x" for topic, _ in records(path))


def numbers(path: Path) -> list[int]:
    """Times of the messages, read with a reader that needs the index."""
    with path.open("rb") as stream:
        reader = make_reader(stream)
        assert reader.get_summary() is not None
        return [message.log_time for _, _, message in reader.iter_messages()]


def noise(number: int) -> JointTrajectory:
    """About 8 kB that do not compress."""
    words = np.random.default_rng(number).bytes(8000).hex()[:8000]
    return JointTrajectory(joint_names=[words])


def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Wait for the writer thread."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waits() -> int:
    """Number of voluntary context switches of this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def fill(recorder: FlightRecorder, count: int, first: int = 0) -> None:
    """Add records as fast as the recorder takes them."""
    for number in range(first, first + count):
        recorder.add("x", noise(number), number)
        until(lambda: recorder._queue.qsize() < 100)
