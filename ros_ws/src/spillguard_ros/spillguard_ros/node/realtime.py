"""Real-time priority for a whole process, so that load on the machine cannot delay a control loop."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from spillguard_ros.node.params import optional

TASKS = Path("/proc/self/task")
HINT = (
    "this process shares its processor with all others; to allow it, give the user an rtprio limit "
    "(/etc/security/limits.d) or the process CAP_SYS_NICE"
)


@dataclass(frozen=True)
class Scheduling:
    """Scheduling parameters of every node."""

    realtime_priority: int = optional(0, "SCHED_FIFO priority of the whole process; 0: leave as it is", 0, 99)


def run_first_in_first_out(priority: int) -> str:
    """Put all threads of this process on SCHED_FIFO at `priority` (1..99). Returns why it failed, or empty.

    All of them: one left at normal priority would delay the others, which wait for the messages it receives
    or for the interpreter lock. Threads started later inherit the priority.
    """
    if not sys.platform.startswith("linux"):
        return f"realtime_priority {priority} is not applied: only Linux has SCHED_FIFO here"
    for task in os.listdir(TASKS):
        try:
            os.sched_setscheduler(int(task), os.SCHED_FIFO, os.sched_param(priority))
        except ProcessLookupError:
            continue  # the thread has just ended
        except OSError as error:
            return f"realtime_priority {priority} was refused ({error.strerror}): {HINT}"
    return ""
