"""What the controller manager reports of itself on /diagnostics, judged.

Contents of the controller manager's status, read in `controller_manager.cpp` of ros-controls/ros2_control,
branches jazzy (9ffbf97fd), kilted (cbe7d2c38) and master (53b9999d1), and `diagnostic_updater.hpp` of
ros/diagnostics:

- One array per second with "<manager>: Controllers Activity", "<manager>: Hardware Components Activity"
  and "<manager>: Controller Manager Activity". <manager> is the node's bare name ("controller_manager"), so
  two managers in two namespaces use the same name, unless `diagnostic_updater.use_fqn` (newer releases) makes
  each use its full one ("/arm1/controller_manager").
- Controllers Activity has a key "<controller>.state" for each loaded controller with its lifecycle state
  (unconfigured, inactive, active, finalized); up to release 4.20 the key was "<controller>" alone. Active
  ones add "<controller>.execution_time", and some ".periodicity".
- Its level is OK ("All controllers are active", "Not all controllers are active"), or WARN or ERROR for the
  jitter of any controller (standard deviation above 100 or 200 us by default): "High execution jitter or mean
  error : [ ... ]", "High periodicity jitter or mean error : [ ... ]". It is ERROR, too, without an active
  hardware component: "No hardware components are currently active to activate controllers". Several of these
  are joined by "; ".
- Humble's publishes none of this: the name of the status must be left empty there.
"""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus

from spillguard_ros.node.convert import shown

ACTIVE = "active"
JITTER = re.compile(r"High (execution|periodicity) jitter or mean error( : \[[^\[\]]*\])?")


class Report(NamedTuple):
    """Content of one status. Both fields are empty if it is good."""

    fault: str
    warning: str = ""


def read_report(status: DiagnosticStatus, controller: str) -> Report:
    """Judge a status by the state of `controller`, unless that is empty, and by the cause of its level.

    Jitter of any controller is a warning. Any other error, known or unknown, is a fault.
    """
    names = (f"{controller}.state", controller)
    states = sorted({pair.value for pair in status.values if pair.key in names})
    if controller and states != [ACTIVE]:
        said = " and ".join(shown(state) or "in no state" for state in states)
        return Report(f"{controller} is {said or 'not among its controllers'}")
    if status.level == DiagnosticStatus.OK:
        return Report("")
    text = " ".join(status.message.split())
    about_jitter = all(JITTER.fullmatch(part.strip()) for part in text.split(";"))
    if status.level == DiagnosticStatus.WARN or (status.level == DiagnosticStatus.ERROR and about_jitter):
        return Report("", shown(text))
    return Report(f"reports: {shown(text)}")


class Reports:
    """The newest report without a fault and the newest with one. Times [s] on the steady clock.

    Constant cost for any number of reports. While one with a fault is younger than `timeout`, a good one does
    not clear it: the good one may come from another arm's driver of the same name.
    """

    def __init__(self, name: str, timeout: float) -> None:
        self._name, self._timeout = name, timeout
        self._good = self._bad = -math.inf
        self._fault = self.warning = ""

    def add(self, report: Report, now: float) -> None:
        """Store a report that was received at `now`."""
        if report.fault:
            self._bad, self._fault = now, report.fault
        else:
            self._good, self.warning = now, report.warning

    def fault(self, now: float) -> str:
        """The fault at `now`; empty if none."""
        age, bad_age = now - max(self._good, self._bad), now - self._bad
        if math.isinf(age):
            return f"{self._name} has not reported yet"
        if not 0.0 <= age <= self._timeout:
            return f"{self._name} reported {age:.1f} s ago, allowed {self._timeout} s"
        if not bad_age <= self._timeout:
            return ""
        if self._good <= self._bad:
            return self._fault
        return (
            f"{self._name} contradicts itself: in order {now - self._good:.1f} s ago, {self._fault} "
            f"{bad_age:.1f} s ago; reports have to agree for {self._timeout} s (does another node send some?)"
        )


def namesakes(status: str, nodes: Iterable[tuple[str, str]]) -> str:
    """Ambiguity in who reports `status`; empty if none.

    `nodes` are the publishers on the topic, each by its namespace and name.
    Two managers of the same name cannot be told apart by their messages: if one falls silent, the other would
    stand in for both. A name that begins with "/" is fully qualified, and unique.
    """
    manager = status.partition(": ")[0]
    full = sorted({f"{space.rstrip('/')}/{name}" for space, name in nodes})
    ours = [name for name in full if name == manager or name.rpartition("/")[2] == manager]
    if len(ours) < 2:
        return ""
    return (
        f"{len(ours)} nodes report as {manager} ({shown(', '.join(ours))}): give each a name of its own, or "
        "set diagnostic_updater.use_fqn on them and name ours in full in driver_status"
    )
