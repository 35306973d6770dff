"""Real-time priority: set on every thread where the system permits it, omitted otherwise."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spillguard_sim.graph import launch_file, private_environment
from tests.ros.harness import PATIENCE
from tests.ros.test_refusals import run_node

PR_CAPBSET_DROP, CAP_SYS_NICE = 24, 23
STARTED = "cup 1"  # in the log of a configured simulated arm
PRIORITY = 7

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SCHED_FIFO is Linux's")


def without_the_right() -> None:
    """No child of this process may take real-time priority, not even as root."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def may_take_priority() -> bool:
    """Whether a process started here may take it."""
    text = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, check=False).returncode == 0


@contextmanager
def sim_arm(log: Path, priority: int, prepare: Callable[[], None] | None = None) -> Iterator[int]:
    """A running simulated arm; yields its process id. It is shut down in order."""
    command = [sys.executable, "-m", "spillguard_sim.sim_arm", "--ros-args"]
    command += [
        "--params-file",
        str(launch_file("params/sim_arm.yaml")),
        "-p",
        f"realtime_priority:={priority}",
    ]
    environment = {**os.environ, **private_environment()}
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, preexec_fn=prepare)
    try:
        deadline = time.monotonic() + PATIENCE
        while STARTED not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        time.sleep(0.2)
        yield process.pid
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def scheduling(pid: int) -> set[tuple[int, int]]:
    """Policy and priority of all threads."""
    threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    return {(os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority) for thread in threads}


def test_every_thread_runs_at_the_priority_that_was_asked_for(tmp_path: Path) -> None:
    if not may_take_priority():
        pytest.skip("this user may not take real-time priority")
    log = tmp_path / "log"
    with sim_arm(log, PRIORITY) as pid:
        assert scheduling(pid) == {(os.SCHED_FIFO, PRIORITY)}
        assert len(os.listdir(f"/proc/{pid}/task")) > 1
    assert "realtime_priority" not in log.read_text()


def test_priority_zero_leaves_the_process_as_it_is(tmp_path: Path) -> None:
    with sim_arm(tmp_path / "log", 0) as pid:
        assert scheduling(pid) == {(os.SCHED_OTHER, 0)}


def test_where_it_is_refused_the_node_says_so_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with sim_arm(log, PRIORITY, without_the_right) as pid:
        assert scheduling(pid) == {(os.SCHED_OTHER, 0)}
    text = log.read_text()
    assert f"realtime_priority {PRIORITY} was refused (Operation not permitted)" in text
    assert "rtprio" in text


@pytest.mark.parametrize("value", ["-1", "100", "high"])
def test_priority_out_of_range_is_refused(value: str) -> None:
    ended = run_node("policy", f"realtime_priority:={value}", file=False)
    assert ended.returncode == 1
    assert "parameter 'realtime_priority' is refused" in ended.stderr
    assert "from 0 to 99" in ended.stderr


@pytest.mark.parametrize("node", ["safety_monitor", "sim_arm", "policy"])
def test_every_node_is_launched_with_a_priority(node: str) -> None:
    text = launch_file(f"params/{node}.yaml").read_text()
    (line,) = [line for line in text.splitlines() if "realtime_priority" in line]
    assert 0 < int(line.split(":")[1].split("#")[0]) < 50  # ros2_control uses 50 for the driver
