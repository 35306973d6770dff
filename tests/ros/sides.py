"""One arm of several: its graph in a namespace of its own, and what is heard of it."""

import math
import time
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from spillguard_core.robot.arm import load_robot
from spillguard_ros.node.convert import status_values
from spillguard_ros.node.sensors import SENSOR_QOS
from spillguard_ros.operator.client import Operator
from spillguard_sim.graph import Graph
from tests.ros.harness import MOVED, PATIENCE

ROOT = Path(__file__).parents[2]


class Side:
    """One arm of two: its graph in a namespace, and what is heard of it."""

    def __init__(self, name: str, robot: str, graph: Graph, logs: Path, bundle: Path | None = None) -> None:
        self.name, self.robot, self.graph, self.reasons = name, robot, graph, list[str]()
        self.speed, self.heard_joints = math.inf, 0
        arm = load_robot(robot)
        self._first: np.ndarray | None = None
        self.moved = 0.0
        told = {
            "bundle": bundle or ROOT / f"artifacts/reach_{arm.name}",
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
        q, self.speed = np.array(msg.position), float(np.abs(msg.velocity).max())
        self.heard_joints += 1
        self._first = q if self._first is None else self._first
        self.moved = max(self.moved, float(np.abs(q - self._first).max()))

    def set_going(self) -> None:
        """Open the gate until the arm moves; a busy machine may stop it in between."""
        deadline, before = time.monotonic() + PATIENCE, self.moved
        self.operator.open_gate(PATIENCE)
        while not self.operator.wait(lambda: self.moved > before + MOVED, 1.0):
            assert time.monotonic() < deadline, (self.name, self.reasons[-3:], self.operator.outcome)
            if self.operator.outcome.get("reached") == "true":
                self.operator.call("any_arm/new_goal")
            self.operator.open_gate(PATIENCE)
