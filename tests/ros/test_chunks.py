"""Policies that say several actions at once, through the real nodes: of joints and of the tool."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
import pytest

from policy_training.deployment.wrap.command import wrap
from policy_training.deployment.wrap.contract import contract_of
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.reasons import Verdict
from spillguard_core.robot.arm import load_robot
from spillguard_ros.recording.recording import read_flight, replay
from spillguard_sim.graph import Graph
from tests.ros.harness import LATE, PATIENCE
from tests.ros.private_graph import private_ros
from tests.ros.sides import Side
from tests.training.deployment.wrap.graphs import linear

STEPS = 10
CHUNK = {"actions": STEPS, "period": 0.05}  # half a second, said five times a second
SHARES = np.linspace(0.1, 1.0, STEPS)


def towards(arm: str) -> tuple[np.ndarray, dict[str, Any]]:
    """A policy of positions that goes to a posture beside the arm's rest in half a second: a tenth of the way
    first, all of it last."""
    robot = load_robot(arm)
    goal = robot.rest + 0.4
    weights = np.hstack([(1.0 - share) * np.eye(len(goal)) for share in SHARES])
    # A linear graph has no offset of its own for each step: the way left is told by the observation's shift.
    raw = {
        "robot": arm, "task": "joint_positions", "policy_rate": 5.0,
        "observation": [{"term": "joint_position", "shift": goal.tolist()}],
        "action": {"kind": "position", "offset": goal.tolist(), "chunk": CHUNK},
    }  # fmt: skip
    return weights, raw


def to_the_goal(arm: str) -> tuple[np.ndarray, dict[str, Any]]:
    """A policy of twists towards what is sensed."""
    weights = np.hstack([-np.vstack([np.eye(3), np.zeros((0, 3))])] * STEPS)
    raw = {
        "robot": arm, "task": "reach", "policy_rate": 5.0, "observation": ["tool_to_goal"],
        "action": {"kind": "twist", "entries": ["vx", "vy", "vz"], "chunk": CHUNK},
    }  # fmt: skip
    return weights, raw


@pytest.fixture(params=[("ur5e", towards), ("fr3", to_the_goal)], ids=["positions", "twists"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    arm, policy = request.param
    weights, raw = policy(arm)
    wrap(linear(weights).SerializeToString(), contract_of(raw, tmp_path), tmp_path / "bundle")
    with private_ros() as environment, ExitStack() as stack:
        graph = stack.enter_context(Graph(tmp_path / "logs", environment))
        one = Side("arm", arm, graph, tmp_path, tmp_path / "bundle")
        stack.callback(one.operator.close)
        yield one


def test_chunks_move_the_arm_and_end_with_their_policy(side: Side, tmp_path: Path) -> None:
    side.set_going()
    side.graph.signal("arm_policy", SIGKILL)
    assert side.operator.wait(lambda: side.reasons[-1] in LATE, PATIENCE), side.reasons[-3:]
    before = side.heard_joints
    assert side.operator.wait(lambda: side.heard_joints > before + 20 and side.speed < 0.02, PATIENCE)
    outcome = side.operator.outcome_now(PATIENCE)
    assert outcome["contact"] == outcome["limit_broken"] == "false"
    side.graph.signal("arm_monitor", 2)
    side.graph.wait("arm_monitor", PATIENCE)
    recorded = read_flight(tmp_path / "arm.mcap")
    moved = [cycle.decision for cycle in recorded.cycles if cycle.decision.verdict < Verdict.HOLD]
    assert moved and all(one.clock is not None for one in moved)
    robot = load_robot(side.robot)
    assert replay(recorded, load_bundle(tmp_path / "bundle", robot).models(recorded.config)) == []
