"""`spillguard contract-test --move` and `--pendant` on a running graph: small moves, and what they show."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from spillguard_core.robot.arm import load_robot
from spillguard_ros.monitor.driver import CONTROLLERS
from spillguard_ros.operator.client import Operator
from spillguard_sim.graph import Graph
from tests.ros.harness import PATIENCE
from tests.ros.private_graph import private_ros

ROOT = Path(__file__).parents[2]
ARM, BUNDLE = load_robot("ur5e"), ROOT / "artifacts/reach_ur5e"
PENDANT = [f"{angle:.2f}" for angle in np.degrees(ARM.rest)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Operator, dict[str, str]]]:
    """Monitor and arm without a policy."""
    with private_ros() as environment, ExitStack() as stack:
        graph = stack.enter_context(Graph(tmp_path / "logs", environment))
        told = {"bundle": BUNDLE, "robot": ARM.folder}
        graph.start("any_arm", "any_arm", {**told, "seed": 1})
        graph.start("safety_monitor", "safety_monitor", {
            **told, "allow_uncalibrated": True, "driver_status": CONTROLLERS,
            "driver_controller": ARM.command_topic.rpartition("/")[0],
        })  # fmt: skip
        operator = Operator(arm="any_arm", command=ARM.command_topic)
        stack.callback(operator.close)
        yield operator, {**os.environ, **environment}


def told_by(running: tuple[Operator, dict[str, str]], *words: str) -> tuple[int, str]:
    """Exit status and output of the command, while an operator resets and resumes."""
    operator, environment = running
    command = [sys.executable, "-m", "spillguard.cli", "contract-test", str(BUNDLE), *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        waiting = operator.wait(lambda: operator.node.count_publishers("policy/proposal") > 0, PATIENCE)
        if waiting and "--move" in words:
            operator.open_gate(PATIENCE)
        told, _ = child.communicate(timeout=PATIENCE)
        return child.returncode, told


def test_an_arm_that_does_what_its_bundle_means_is_right(running: tuple[Operator, dict[str, str]]) -> None:
    for _ in range(3):  # a busy machine may make something late, which ends the test with the reason
        status, told = told_by(running, "--move", "--pendant", *PENDANT)
        if "and brakes" not in told:
            break
        running[0].bring_to_rest()
    assert status == 0, told
    assert "6 entries of the action move the arm as they mean" in told
    outcome = running[0].outcome_now(PATIENCE)
    assert outcome["contact"] == outcome["limit_broken"] == "false"


def test_an_arm_that_is_not_where_it_says_is_not_moved(running: tuple[Operator, dict[str, str]]) -> None:
    off = [PENDANT[0], f"{float(PENDANT[1]) + 6.0:.2f}", *PENDANT[2:]]
    status, told = told_by(running, "--pendant", *off)
    assert status == 1, told
    assert "shoulder_lift_joint" in told and "the pendant shows" in told
