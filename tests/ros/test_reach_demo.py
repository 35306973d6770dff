"""Any arm through the real nodes: the demo of reaching, and two arms that let each other be."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import load_robot
from spillguard_ros.node.convert import status_values
from spillguard_ros.node.sensors import SENSOR_QOS
from spillguard_ros.operator.client import Operator
from spillguard_ros.recording.recording import read_flight, replay
from spillguard_sim.graph import Graph
from tests.ros.harness import LATE, MOVED, PATIENCE
from tests.ros.private_graph import private_ros

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


class Side:
    """One arm of two: its graph in a namespace, and what is heard of it."""

    def __init__(self, name: str, graph: Graph, logs: Path) -> None:
        self.name, self.graph, self.reasons = name, graph, list[str]()
        arm = load_robot(ARMS[name])
        self._first: np.ndarray | None = None
        self.moved = 0.0
        told = {
            "bundle": ROOT / f"artifacts/reach_{arm.name}",
            "robot": arm.folder,
            "joint_prefix": f"{name}_",
        }
        status, ours = f"{name}: controllers", ("-r", f"__ns:=/{name}")
        graph.start(f"{name}_arm", "any_arm", {**told, "seed": 1, "driver_status": status}, *ours)
        graph.start(f"{name}_monitor", "safety_monitor", {
            **told, "allow_uncalibrated": True, "driver_status": status, "record": logs / f"{name}.mcap",
            "driver_controller": arm.command_topic.rpartition("/")[0],
        }, *ours)  # fmt: skip
        graph.start(f"{name}_policy", "policy", {**told, "patience": 0.0}, *ours)
        self.operator = Operator(name, arm="any_arm", command=arm.command_topic)
        node = self.operator.node
        node.create_subscription(DiagnosticArray, "safety_monitor/status", self._on_status, 10)
        node.create_subscription(JointState, "joint_states", self._on_joints, SENSOR_QOS)

    def _on_status(self, msg: DiagnosticArray) -> None:
        self.reasons.append(status_values(msg.status[0])["reason"])

    def _on_joints(self, msg: JointState) -> None:
        assert all(name.startswith(f"{self.name}_") for name in msg.name)
        q = np.array(msg.position)
        self._first = q if self._first is None else self._first
        self.moved = max(self.moved, float(np.abs(q - self._first).max()))


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[dict[str, Side]]:
    with private_ros() as environment, ExitStack() as stack:
        graph = stack.enter_context(Graph(tmp_path / "logs", environment))
        both = {name: Side(name, graph, tmp_path) for name in ARMS}
        for side in both.values():
            stack.callback(side.operator.close)
        yield both


def test_two_arms_in_two_namespaces_do_not_touch_each_other(sides: dict[str, Side]) -> None:
    left, right = sides["left"], sides["right"]
    for side in sides.values():
        side.operator.open_gate(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    for side in sides.values():
        while not side.operator.wait(lambda side=side: side.moved > MOVED, 1.0):  # type: ignore[misc]
            assert time.monotonic() < deadline, (side.name, side.reasons[-3:])
            side.operator.open_gate(PATIENCE)  # a busy machine may have stopped it
    right.operator.open_gate(PATIENCE)
    left.graph.signal("left_arm", 9)
    assert left.operator.wait(lambda: left.reasons[-1] == "STATE_STALE", PATIENCE), left.reasons[-3:]
    heard = len(right.reasons)
    assert right.operator.wait(lambda: len(right.reasons) >= heard + 100, PATIENCE)
    # What ended on the left is nothing to the right; only the machine may have delayed it.
    strange = {*right.reasons} - {"OK", "NOT_RESET", "OPERATOR_HOLD", *LATE}
    assert not strange & {"DRIVER_FAULT", "FOREIGN_WRITER", "OPERATOR_STOP", "STATE_INVALID"}, strange
    assert right.operator.outcome["contact"] == "false"
