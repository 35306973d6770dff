"""Answers recorded at the source: of slow policies, and of those that remember."""

from copy import deepcopy
from pathlib import Path

import numpy as np

from policy_training.deployment.wrap.contract import contract_of
from policy_training.deployment.wrap.meaning import Meaning
from spillguard_core.bundle.replayed import load_recorded, replayed
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.wrap.graphs import leaky
from tests.training.deployment.wrap.test_contract_test import bundle_of, recording, right, swapped


def test_a_slow_policy_of_the_wrong_order_is_found(tmp_path: Path) -> None:
    """A thousandth of the full scale is all that it ever asks for."""
    rng = np.random.default_rng(1)
    raw, model = right("ur5e", rng)
    raw["action"] |= {"scale": 1e-3, "offset": 0.0}
    log = recording(raw, model, tmp_path / "source.npz", rng)
    wrong = deepcopy(raw)
    swapped("action")(wrong)
    for contract, agrees in ((raw, True), (wrong, False)):
        bundle = bundle_of(contract, model, tmp_path / f"bundle{agrees}")
        assert replayed(bundle, load_recorded(log, bundle)).agrees is agrees


def test_a_policy_that_remembers_begins_anew_with_each_episode(tmp_path: Path) -> None:
    raw = {
        "robot": "gen3", "task": "joint_velocities", "policy_rate": 20.0, "observation": ["joint_position"],
        "state": [{"input": "h_in", "output": "h_out"}], "action": {"kind": "velocity"},
    }  # fmt: skip
    model, joints = leaky(0.1 * np.eye(7)).SerializeToString(), load_robot("gen3").joint_names
    bundle, rng = bundle_of(raw, model, tmp_path / "bundle"), np.random.default_rng(0)
    q, action = rng.uniform(-1.0, 1.0, (20, 7)), []
    for number, one in enumerate(q):
        if number % 5 == 0:  # four episodes
            source = Meaning(model, contract_of(raw, tmp_path))
        action.append(source({"joint_position": one}))
    told = {"joint_names": joints, "joint_position": q, "action_names": joints, "action": np.array(action)}
    for episode, agrees in ((np.arange(20) // 5, True), (np.zeros(20), False)):
        np.savez(tmp_path / "source.npz", **told, episode=episode)
        assert replayed(bundle, load_recorded(tmp_path / "source.npz", bundle)).agrees is agrees
