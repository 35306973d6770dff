"""Starts nodes as separate processes on a private domain, and ends them in every case."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from spillguard_core.bundle.gate_config import LAUNCH
from spillguard_ros.node.runtime import STARTER
from spillguard_ros.operator.caller import OperatorError

NODES = {
    "any_arm": "spillguard_sim.any_arm",
    "operator_page": "spillguard_ros.operator.page",
    "policy": "spillguard_ros.policy",
    "position_streamer": "spillguard_ros.position_streamer",
    "safety_monitor": "spillguard_ros.monitor.safety_monitor",
    "sim_arm": "spillguard_sim.sim_arm",
}
"""Module of each node; its parameter file has the node's name."""
PROFILE = "udp_loopback_profile.xml"
GRACE = 2.0  # [s] for a process to end by itself


def launch_file(name: str) -> Path:
    """A file of the launch folder, from the source tree or from the installation."""
    return LAUNCH / name


def private_environment() -> dict[str, str]:
    """Environment for an isolated graph: random domain, UDP on loopback, no shared memory."""
    return {
        "ROS_DOMAIN_ID": str(random.SystemRandom().randint(1, 100)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(launch_file(PROFILE)),
        "OMP_NUM_THREADS": "1",
    }


def assigned(name: str, value: object) -> str:
    """A parameter for the command line. Strings are quoted: YAML would interpret a colon in them."""
    return f"{name}:={json.dumps(value if isinstance(value, bool | int | float) else str(value))}"


class Graph:
    """Processes by name. Leaving the context ends all of them."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs, self.environment = logs, {**os.environ, **environment, STARTER: str(os.getpid())}
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

        `module` replaces the node's own module; `arguments` go to ROS.
        """
        command = [sys.executable, "-m", module or NODES[node], "--ros-args", *arguments]
        command += ["--params-file", str(launch_file(f"params/{node}.yaml"))]
        for key, value in parameters.items():
            command += ["-p", assigned(key, value)]
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def log(self, name: str) -> Path:
        """Path of a process's output."""
        return self._logs / f"{name}.log"

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one process."""
        self._processes[name].send_signal(number)

    def pid(self, name: str) -> int:
        """Process id."""
        return self._processes[name].pid

    def wait(self, name: str, timeout: float) -> int:
        """Exit status of a process that is about to end."""
        return self._processes[name].wait(timeout)

    def dead(self) -> list[str]:
        """Names of processes that ended without being asked to."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def check_alive(self, *spared: str) -> None:
        """OperatorError with its last words if a process ended on which something depends."""
        for name in set(self.dead()) - set(spared):
            lines = self.log(name).read_text(errors="replace").strip().splitlines() or ["(no output)"]
            raise OperatorError(f"{name} ended: {lines[-1]}")

    def stop(self) -> None:
        """SIGINT to all, SIGKILL to those that do not end."""
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
