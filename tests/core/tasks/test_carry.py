"""A carried cup: level where the arm rests, kept level on the way, and never led to lean."""

from pathlib import Path

import numpy as np
import pytest

from policy_training.deployment.wrap.command import wrap
from policy_training.deployment.wrap.contract import contract_of
from sim.reaching.guarded import GuardedArm
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.gate.decision import Mode
from spillguard_core.robot.arm import load_robot
from spillguard_core.tasks.carry import CarriedCup, lean
from spillguard_core.tasks.reach import GOAL
from tests.training.deployment.wrap.graphs import linear

ARMS = ("gen3", "ur5e", "fr3")


@pytest.fixture(params=ARMS)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    joints = len(load_robot(request.param).joint_names)
    raw = {"robot": request.param, "task": "carry", "policy_rate": 20.0, "observation": ["joint_position"],
           "action": {"kind": "twist"}}  # fmt: skip
    model = linear(np.zeros((joints, 3))).SerializeToString()
    wrap(model, contract_of(raw, tmp_path), tmp_path / "bundle")
    return load_bundle(tmp_path / "bundle")


def leaning(bundle: Bundle, q: np.ndarray) -> float:
    tool = bundle.tool()
    assert isinstance(tool, CarriedCup)
    return lean(tool.pose(q).rotation, tool.up)


def test_the_cup_is_upright_at_rest_and_leans_where_a_wrist_turns(bundle: Bundle) -> None:
    rest = bundle.robot.rest
    assert leaning(bundle, rest) == pytest.approx(0.0, abs=1e-6)
    turned = rest.copy()
    turned[-2] += 0.3
    assert 0.05 < leaning(bundle, turned) <= 0.3 + 1e-6


@pytest.mark.parametrize("towards", [(1.0, 0.0, 0.3), (-0.3, 1.0, 0.0), (0.2, -1.0, -0.4), (0.0, 0.0, 1.0)])
def test_whatever_is_asked_it_never_leans_too_far(bundle: Bundle, towards: tuple[float, ...]) -> None:
    arm = GuardedArm(bundle, bundle.robot.rest, {GOAL: np.array([0.5, 0.0, 0.4])})
    most, start = arm.config.settings["most_lean"], arm.position
    arm.open(np.zeros(3))
    seen = []
    for _ in range(300):
        arm.period(np.array(towards) * bundle.scale)
        seen.append(leaning(bundle, arm.position))
    assert max(seen) <= most
    assert float(np.abs(arm.position - start).max()) > 0.1  # it went somewhere
    assert arm.decision.mode is Mode.FOLLOWING


def test_a_cup_that_leans_may_come_upright(bundle: Bundle) -> None:
    tilted = bundle.robot.rest.copy()
    tilted[-2] += 0.25
    before = leaning(bundle, tilted)
    arm = GuardedArm(bundle, tilted, {GOAL: np.array([0.5, 0.0, 0.4])})
    arm.open(np.zeros(3))
    for _ in range(300):
        arm.period(np.array([0.0, 0.0, 0.02]))
        assert leaning(bundle, arm.position) <= before + 0.01
    assert leaning(bundle, arm.position) < max(0.5 * before, 0.1)


def test_a_posture_that_is_no_number_leans_too_far(bundle: Bundle) -> None:
    assert not lean(np.full((3, 3), np.nan), np.array([0.0, 0.0, 1.0])) <= 1.0
