"""Notes when the machine itself stood still, so that a test can tell that from what it tests.

A virtual machine may lose a processor to its host for a tenth of a second and more, and nothing that runs
on it can help that. One process a processor sleeps, ahead of all others, and writes down when it slept for
too long.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
NAP = 0.005  # [s]
NOTED = 0.02  # [s] standstill that is written down
STALL = 0.04  # [s] standstill that excuses what came late
PRIORITY = 90  # SCHED_FIFO, above all that is tested; without the right to it, a busy machine is noted, too


class Stalls:
    """Watches every processor that this process may run on, until the context ends."""

    def __init__(self, folder: Path) -> None:
        self._notes = {cpu: folder / f"processor_{cpu}.txt" for cpu in sorted(os.sched_getaffinity(0))}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Stalls":
        for cpu, path in self._notes.items():
            path.touch()
            command = [sys.executable, "-m", "tests.ros.stalls", str(cpu), str(path), str(os.getpid())]
            self._processes.append(subprocess.Popen(command, cwd=ROOT))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def longest(self, since: float) -> float:
        """Longest standstill [s] of a processor that ended after a steady time [s]; 0 if there was none."""
        lines = [line.split() for path in self._notes.values() for line in path.read_text().splitlines()]
        return max((float(length) for end, length in lines if float(end) > since), default=0.0)

    def signal(self, number: int) -> None:
        """To every process that watches."""
        for process in self._processes:
            process.send_signal(number)


def watch(cpu: int, path: Path, starter: int) -> None:
    """Write the end and the length [s] of every standstill of a processor, as long as `starter` lives."""
    os.sched_setaffinity(0, {cpu})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    last = time.monotonic()
    with path.open("a", buffering=1) as notes:
        while os.getppid() == starter:
            time.sleep(NAP)
            now = time.monotonic()
            if now - last > NOTED:
                notes.write(f"{now:.4f} {now - last:.4f}\n")
            last = now


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its starter ends it
    watch(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
