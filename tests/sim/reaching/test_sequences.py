"""Three arms, three kinds of action: whatever is proposed and whenever decisions come, nothing is broken."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from policy_training.deployment.wrap.command import wrap
from policy_training.deployment.wrap.contract import contract_of
from sim.reaching.sequences import Sequence, Sequences, run
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.wrap.graphs import linear

ARMS = ("gen3", "ur5e", "fr3")
TASKS = {"joint_velocities": "velocity", "joint_positions": "position", "reach": "twist"}
COUNT = 12  # of each; `benchmarks.arms` runs thousands


@cache
def bundle(arm: str, task: str) -> Bundle:
    """One whose policy does not matter."""
    joints = len(load_robot(arm).joint_names)
    raw = {"robot": arm, "task": task, "policy_rate": 20.0, "observation": ["joint_position"],
           "action": {"kind": TASKS[task]}}  # fmt: skip
    out = Path(mkdtemp()) / "bundle"
    model = linear(np.zeros((joints, 6 if task == "reach" else joints)))
    wrap(model.SerializeToString(), contract_of(raw, out.parent), out)
    return load_bundle(out)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("arm", ARMS)
def test_no_limit_is_broken_for_any_proposal_and_any_spacing(arm: str, task: str) -> None:
    found = list(run(bundle(arm, task), COUNT, seed=7))
    assert [one for one in found if not one.safe] == []
    assert max(one.moved for one in found) > 0.05  # it did move


def test_a_gate_that_looks_at_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequences themselves can fail: without rules they drive the arm through its limits."""
    bench = Sequences(bundle("ur5e", "reach"), seed=7)
    monkeypatch.setattr(type(bench._models), "rules", ())
    found = [bench.sequence() for _ in range(15)]
    assert [one for one in found if not one.safe]


@pytest.mark.parametrize(
    ("changed", "safe"),
    [
        ({}, True), ({"joint": -0.0021}, False), ({"speed": -0.0021}, False), ({"workspace": -0.0021}, False),
        ({"clearance": -0.0021}, False), ({"at_rest": False}, False), ({"joint": float("nan")}, False),
        ({"clearance": -0.0015}, True), ({"clearance": -0.0015, "exact": True}, False),
    ],
)  # fmt: skip
def test_what_counts_as_safe(changed: dict[str, float], safe: bool) -> None:
    whole = {"kind": "down", "spacing": 0.1, "exact": False, "joint": 0.1, "speed": 0.1, "workspace": 0.1,
             "clearance": 0.1, "moved": 1.0, "chunked": False, "at_rest": True}  # fmt: skip
    assert Sequence(**(whole | changed)).safe is safe  # type: ignore[arg-type]
