"""Any arm through the real nodes: the demo of reaching, and two arms that let each other be."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from spillguard_core.bundle.bundle import load_bundle
from spillguard_ros.recording.recording import read_flight, replay
from spillguard_sim.graph import Graph
from tests.ros.harness import LATE, PATIENCE
from tests.ros.private_graph import private_ros
from tests.ros.sides import Side

ROOT = Path(__file__).parents[2]
ARMS = {"left": "ur5e", "right": "fr3"}


def test_the_demo_reaches_and_its_recording_replays(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    words = ["--task", "reach", "--robot", "fr3", "--cups", "2", "--required", "0.0", "--time-limit", "30"]
    done = subprocess.run(
        [sys.executable, "-m", "spillguard_sim.demo", "--out", str(tmp_path), *words], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "120"}, capture_output=True, text=True,
        timeout=3 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "goals of fr3" in done.stdout and "nothing unsafe allowed" in done.stdout
    (folder,) = tmp_path.iterdir()
    bundle, recorded = load_bundle(ROOT / "artifacts/reach_fr3"), read_flight(folder / "flight.mcap")
    assert len(recorded.cycles) > 50
    assert replay(recorded, bundle.models(recorded.config)) == []
    assert (folder / "flight.png").stat().st_size > 10_000


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[dict[str, Side]]:
    with private_ros() as environment, ExitStack() as stack:
        graph = stack.enter_context(Graph(tmp_path / "logs", environment))
        both = {name: Side(name, robot, graph, tmp_path) for name, robot in ARMS.items()}
        for side in both.values():
            stack.callback(side.operator.close)
        yield both


def test_two_arms_in_two_namespaces_do_not_touch_each_other(sides: dict[str, Side]) -> None:
    left, right = sides["left"], sides["right"]
    for side in sides.values():
        side.set_going()
    right.operator.open_gate(PATIENCE)
    left.graph.signal("left_arm", 9)
    assert left.operator.wait(lambda: left.reasons[-1] in LATE, PATIENCE), left.reasons[-3:]
    heard = len(right.reasons)
    assert right.operator.wait(lambda: len(right.reasons) >= heard + 100, PATIENCE)
    # What ended on the left is nothing to the right; only the machine may have delayed it.
    strange = {*right.reasons} - {"OK", "NOT_RESET", "OPERATOR_HOLD", *LATE}
    assert not strange & {"DRIVER_FAULT", "FOREIGN_WRITER", "OPERATOR_STOP", "STATE_INVALID"}, strange
    assert right.operator.outcome_now(PATIENCE)["contact"] == "false"
