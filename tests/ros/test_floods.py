"""Floods from another node, with real processes: decisions continue, and the policy is followed as before."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillguard_ros.node.convert import status_values
from tests.ros.flood import FLOODS
from tests.ros.harness import LATE, ROOT, MakeStage, Stage

FLOOD = 4.0  # [s]
DECISIONS = 100  # at least; a monitor that is never late makes 400
ATTEMPTS = 3

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def stage(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage("sim_arm", "policy", "safety_monitor") as stage:
        yield stage


def flooded(stage: Stage, kind: str, said: Path) -> list[dict[str, str]]:
    """Values of every status received during a flood; the flooder's output goes to `said`."""
    command = [sys.executable, "-m", "tests.ros.flood", kind, str(FLOOD)]
    with said.open("w") as out, subprocess.Popen(command, cwd=ROOT, stdout=out) as flood:
        stage.until(lambda: "begun" in said.read_text(), 60.0, "a flood")
        stage.witness.heard.clear()
        stage.until(lambda: flood.poll() is not None, 60.0, "the end of a flood")
    return [status_values(array.status[0]) for array in stage.witness.heard.status]


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_stops_neither_decisions_nor_the_arm(stage: Stage, kind: str, tmp_path: Path) -> None:
    """A stalled machine also stops the arm: one of several floods must leave it moving."""
    said = tmp_path / "said"
    for _ in range(ATTEMPTS):
        stage.drive()
        seen = flooded(stage, kind, said)
        gap = max(float(values["period [ms]"]) for values in seen)
        first, last = (int(values["cycle"]) for values in (seen[0], seen[-1]))
        sent = said.read_text().split()[-1]
        log.info("%s: sent %s, longest period %.1f ms, %d decisions", kind, sent, gap, last - first)
        assert last - first > DECISIONS and int(sent) > 1
        if all(values["mode"] == "following" for values in seen):
            break
    stopped = {values["reason"] for values in seen if values["mode"] != "following"}
    # What a flood crowds out of a queue is lost: the arm's states to the monitor, or to the policy, which is
    # silent then. What the flooder repeats is as old as it is slow, and so may the driver's clock seem to be.
    assert stopped <= {*LATE, "DRIVER_FAULT"}, (seen[-1], stage.logs())  # period lengths: test_rounds.py
