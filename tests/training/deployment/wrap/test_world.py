"""A wrapped policy in a world of its own: the cups of the pouring cell, and the critic made for them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from policy_training.deployment.critic_bundle import take_over
from policy_training.deployment.wrap.command import main
from policy_training.deployment.wrap.contract import contract_of
from spillguard_core.bundle.bundle import load_bundle

SHIPPED = Path(__file__).parents[4] / "artifacts/pour_coffee"
POUR = {
    "robot": "gen3", "task": "pouring", "policy_rate": 20, "world": str(SHIPPED),
    "observation": ["lip_to_target", "lip_position", "cup_tilt", "lip_velocity", "tilt_rate", "poured_mass",
                    "remaining_mass"],
    "action": {"kind": "twist", "scale": [0.25, 0.25, 0.25, 1.2]},
}  # fmt: skip


def wrapped(tmp_path: Path, **changed: object) -> int:
    (tmp_path / "contract.yaml").write_text(yaml.safe_dump(POUR | changed))
    words = ["--contract", str(tmp_path / "contract.yaml"), "-o", str(tmp_path / "bundle")]
    return main([str(SHIPPED / "policy.onnx"), *words])


def test_a_strangers_pouring_policy_gets_the_critic_of_its_task(tmp_path: Path) -> None:
    assert wrapped(tmp_path) == 0
    ours, theirs = load_bundle(tmp_path / "bundle"), load_bundle(SHIPPED)
    assert ours.critic is None and ours.guard_text == theirs.guard_text
    obs = np.random.default_rng(0).uniform(-0.3, 0.3, (5, 14)).astype(np.float32)
    np.testing.assert_allclose(ours.policy(obs), theirs.policy(obs), atol=1e-5)
    take_over(SHIPPED, tmp_path / "bundle", tmp_path / "guarded")
    guarded, action = load_bundle(tmp_path / "guarded"), theirs.policy(obs)
    np.testing.assert_allclose(guarded.own_critic(obs, action), theirs.own_critic(obs, action), atol=1e-6)
    assert guarded.manifest.threshold.value is None and guarded.manifest.threshold.certificate is None


def test_a_critic_of_other_numbers_is_not_taken_over(tmp_path: Path) -> None:
    assert wrapped(tmp_path, policy_rate=10) == 0
    with pytest.raises(ValueError, match="of another observation, action, rate, task or robot"):
        take_over(SHIPPED, tmp_path / "bundle", tmp_path / "guarded")


def test_a_world_and_a_site_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give site or world"):
        contract_of(POUR | {"site": "site.yaml"}, tmp_path)
