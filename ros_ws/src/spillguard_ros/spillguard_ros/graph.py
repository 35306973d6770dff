"""Starts nodes as processes of their own, on a private domain, and ends them whatever happens."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from spillguard_ros.runtime import STARTER

PROFILE = "udp_loopback_profile.xml"
GRACE = 2.0  # [s] for a process to end by itself


def launch_file(name: str) -> Path:
    """A file of the launch folder, from the source tree or from where the package is installed."""
    beside = Path(__file__).resolve().parents[1] / "launch" / name
    if beside.exists():
        return beside
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory("spillguard_ros")) / "launch" / name


def private_environment() -> dict[str, str]:
    """Variables for a graph that only talks to itself: random domain, UDP on loopback, no shared memory."""
    return {
        "ROS_DOMAIN_ID": str(random.SystemRandom().randint(1, 100)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(launch_file(PROFILE)),
        "OMP_NUM_THREADS": "1",
    }


class Graph:
    """Processes by name. Leaving the context ends all of them."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs, self._environment = logs, {**os.environ, **environment, STARTER: str(os.getpid())}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Graph":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self, name: str, node: str, parameters: Mapping[str, object], *arguments: str, module: str = ""
    ) -> None:
        """Run `node` with its parameter file and these parameters; output goes to the log of `name`.

        `module` runs in place of the node's own; `arguments` go to ROS.
        """
        command = [sys.executable, "-m", module or f"spillguard_ros.{node}", "--ros-args", *arguments]
        command += ["--params-file", str(launch_file(f"params/{node}.yaml"))]
        for key, value in parameters.items():
            command += ["-p", f"{key}:={value}"]
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def log(self, name: str) -> Path:
        """Where the output of a process goes."""
        return self._logs / f"{name}.log"

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one process."""
        self._processes[name].send_signal(number)

    def pid(self, name: str) -> int:
        """Process number."""
        return self._processes[name].pid

    def wait(self, name: str, timeout: float) -> int:
        """Exit status of a process that is about to end."""
        return self._processes[name].wait(timeout)

    def dead(self) -> list[str]:
        """Names of processes that have ended without being asked to."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def stop(self) -> None:
        """SIGINT to all, SIGKILL to those that do not listen."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
