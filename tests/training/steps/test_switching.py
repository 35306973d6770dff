"""The soft switch of PCRPO and ESPO: start of safety, batches after a conflict, what a step may do."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from policy_training.algorithms import CONFIGS, ON_POLICY
from policy_training.estimates.advantages import Rollout
from policy_training.experience.spaces import Spaces
from policy_training.runs.paper_presets import ITERATIONS, SAFETY_MUJOCO, VELOCITY, paper_presets
from policy_training.steps.switching import follow
from sim.registration import ensure_registered

STEPS = 400


def rollout(cost: float, agree: float = 0.0, seed: int = 0) -> Rollout:
    """Advantages at random; the cost's is the reward's times -`agree`, plus what is its own."""
    rng = np.random.default_rng(seed)
    obs, action = rng.standard_normal((STEPS, 3)), rng.standard_normal((STEPS, 2))
    reward = action[:, 0] + obs[:, 0]
    costs = -agree * reward + action[:, 1]
    advantage = torch.from_numpy(np.stack((reward, costs)).astype(np.float32))
    tensors = [torch.from_numpy(x.astype(np.float32)) for x in (obs, action)]
    return Rollout(*tensors, advantage, advantage, 0.0, (cost,), 4, 100.0)


def algorithm(name: str, **changes: Any) -> Any:
    """A small one at limit 10 with slacks 2 and -2."""
    config = CONFIGS[name](
        cost_limits=(("cost", 10.0),), hidden=(8, 8), critic_epochs=1, slack_above=2.0, slack_below=-2.0
    )
    return ON_POLICY[name](Spaces.unscaled(3, 2), replace(config, **changes), seed=1)


@pytest.mark.parametrize("name", ["pcrpo", "espo"])
def test_modes_are_chosen_by_the_measured_cost_and_counted(name: str) -> None:
    subject, counts = algorithm(name, slack_decay="constant", safety_start=2), {}
    for i, cost in enumerate((50.0, 50.0, 50.0, 10.0, 12.0, 7.0)):
        counts = subject.update(rollout(cost), i / 6)
    assert [counts[f"mode/{mode}"] for mode in ("reward", "soft", "cost")] == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("space", ["natural", "raw"])
def test_espo_asks_for_more_after_a_conflict_only(space: str) -> None:
    subject = algorithm("espo", space=space)
    assert subject.samples(1000) == 600
    for cost, agree, size in ((10.0, -2.0, 1100), (10.0, 2.0, 600), (10.0, -2.0, 1100), (50.0, -2.0, 600)):
        subject.update(rollout(cost, agree), 0.0)
        assert subject.samples(1000) == size, (cost, agree)


@pytest.mark.parametrize("space", ["natural", "raw"])
def test_a_raw_step_hurts_neither_objective_and_keeps_to_the_kl_limit(space: str) -> None:
    subject = algorithm("pcrpo", space=space, recheck=True, target_kl=0.01)
    data = rollout(10.0, -1.0)
    before = subject.actor.mean_of(subject.actor.inputs(data.obs)).detach().clone()
    found, figures = follow(subject.actor, data, "soft", subject.config)
    assert found.conflict
    assert 0.0 < figures["kl"] <= 0.01
    moved = (subject.actor.mean_of(subject.actor.inputs(data.obs)).detach() - before).mean(dim=0)
    assert moved[0] > 0.0  # reward rises with the first component, cost with the second and less the first
    assert figures["step_size"] > 0.0


def test_a_cost_that_never_differs_leaves_the_reward_its_half() -> None:
    subject = algorithm("espo")
    data = rollout(10.0)
    data = replace(data, advantage=torch.stack((data.advantage[0], torch.zeros(STEPS))))
    found, figures = follow(subject.actor, data, "soft", subject.config)
    assert not found.conflict
    assert figures["kl"] > 0.0


def test_the_papers_rows_are_there_at_their_full_budget() -> None:
    presets = paper_presets()
    for env, base in {**dict.fromkeys(SAFETY_MUJOCO, 16_000), **dict.fromkeys(VELOCITY, 20_000)}.items():
        config = presets[env, "espo"]
        assert (config.loop.iterations, config.loop.samples) == (ITERATIONS, base)  # type: ignore[union-attr]
        assert config == type(config).from_json(config.to_json())  # infinite slacks included
        assert presets[env, "pcrpo"].algorithm.slack_above == config.algorithm.slack_above  # type: ignore[union-attr]


def test_trust_regions_of_the_velocity_tasks_are_as_wide_as_omnisafes() -> None:
    """0.01 and a damping of 0.1 for each component of the action, not for the whole."""
    ensure_registered()
    presets = paper_presets()
    for env in VELOCITY:
        (size,) = gymnasium.make(env).action_space.shape  # type: ignore[misc]
        for algo in ("trpo_lag", "cpo", "pcpo", "crpo", "pcrpo", "espo"):
            config: Any = presets[env, algo].algorithm
            assert (config.target_kl, config.damping) == pytest.approx((0.01 * size, 0.1 * size))
            assert getattr(config, "margin_rate", 0.0) == (0.1 if algo == "cpo" else 0.0)
        assert presets[env, "cup"].algorithm == CONFIGS["cup"](cost_limits=(("cost", 25.0),))


@pytest.mark.parametrize(
    "bad",
    [{"slack_above": -1.0}, {"slack_below": 1.0}, {"zeta_more": -0.1}, {"zeta_fewer": -1.0}, {"x_r": 1.1}],
)
def test_senseless_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        CONFIGS["espo"](**bad)
