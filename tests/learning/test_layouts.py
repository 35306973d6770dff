"""With a shared trunk the known constrained optimum of the one-step problems is found, too."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policy_training.algorithms.ppo_lag import PpoLag, PpoLagConfig
from policy_training.experience.spaces import Spaces
from tests.learning.test_one_step import BEST, CASES, action_of, trained
from tests.learning.test_one_step_on_policy import CLIPPED, COMMON, PRICED, STATE, share

# What sets the layouts apart has tests of its own; these say that a shared trunk and PopArt learn at all.
ON_POLICY: list[dict[str, Any]] = [
    {"layout": "grouped", "target_norm": "popart", "cost_critic_lr": 3e-3},
]
OFF_POLICY: list[dict[str, Any]] = [
    {"layout": "grouped", "target_norm": "popart", "max_grad_norm": 10.0, "cost_critic_lr": 6e-3},
]


@pytest.mark.parametrize("settings", ON_POLICY, ids=lambda s: s["layout"])
def test_ppo_lag_with_a_shared_trunk_finds_the_known_optimum(settings: dict[str, Any]) -> None:
    config = replace(
        PpoLagConfig(**COMMON), **(CLIPPED | PRICED | {"policy_epochs": 3}), trunk="shared", **settings
    )
    algorithm = PpoLag(Spaces.unscaled(1, 3), config, seed=1)
    rng, seen, iterations = np.random.default_rng(0), [], 100
    for i in range(iterations):
        rollout = algorithm.judge.rollout([share(algorithm.actor, rng, 400)])
        algorithm.update(rollout, i / iterations)
        seen.append(algorithm.actor.mode(STATE).detach().numpy()[0, :2])
    np.testing.assert_allclose(np.array(seen)[-20:].mean(axis=0), (0.0, 1.0), atol=0.2)


@pytest.mark.parametrize("settings", OFF_POLICY, ids=lambda s: s["layout"])
def test_sac_lag_with_a_shared_trunk_finds_the_known_optimum(settings: dict[str, Any]) -> None:
    algorithm = trained("sac_lag", 800, **CASES["sac_lag"][0], trunk="shared", **settings)
    assert action_of(algorithm) == pytest.approx(BEST, abs=0.2)
