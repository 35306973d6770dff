"""PPO-Lag under optimizer layouts: what a run saves, what it logs, what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_training.algorithms.ppo_lag import PpoLag, PpoLagConfig
from policy_training.checkpoint import load
from policy_training.estimates.layout_actor_critic import Together
from policy_training.evaluation.run_data import read_run
from policy_training.experience.spaces import Spaces
from policy_training.loops.on_policy import train_on_policy
from policy_training.networks.plain import plain_policy
from policy_training.runs.config import RunConfig
from policy_training.runs.folder import create_run
from policy_training.runs.trained import load_policy
from tests.training.small_runs import equal, figures
from tests.training.small_runs import small_on_policy as small

SHARED: dict[str, Any] = {"trunk": "shared", "target_norm": "popart"}


def config_of(layout: str, **settings: Any) -> RunConfig:
    """A run of a second with two named costs."""
    config = small("ppo_lag")
    limits = (("obstacle", 0.1), ("arena", 0.05))
    return replace(config, algorithm=replace(config.algorithm, cost_limits=limits, layout=layout, **settings))


@pytest.mark.parametrize(
    ("layout", "settings"),
    [
        ("single", SHARED),
        ("grouped", {**SHARED, "cost_critic_lr": 1e-2}),
        ("isolated", {**SHARED, "clip_scope": "loss", "trunk_owner": "reward_critic"}),
        ("shared", {**SHARED, "clip_scope": "loss"}),
        ("isolated", {"cost_critic_lr": 1e-2}),
    ],
)
def test_a_resumed_run_ends_bit_equal_to_an_uninterrupted_one(
    layout: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    config = config_of(layout, **settings)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    assert train_on_policy(config, whole)
    assert not train_on_policy(config, halves, until=3)
    assert train_on_policy(config, halves, resume=True)
    states = [load(run / "checkpoint.pt") for run in (whole, halves)]
    for state in states:
        state.pop("seconds"), state.pop("cpu_seconds")
    equal(*states)
    assert figures(whole) == figures(halves)


def test_a_shared_trunk_is_logged_and_its_policy_is_a_policy_like_any_other(tmp_path: Path) -> None:
    config = config_of("grouped", **SHARED)
    run = create_run(config, tmp_path)
    train_on_policy(config, run)
    told = read_run(run)
    for name in ("trunk_grad/cost_critic", "trunk_cosine/actor_cost_critic", "explained/cost_critic"):
        assert np.isfinite(told.curve(name)[1]).all()
    assert (np.abs(told.curve("trunk_cosine/reward_critic_cost_critic")[1]) <= 1.0).all()
    assert load_policy(run).config == config
    assert np.abs(plain_policy(load_policy(run).policy.actor)(np.ones(10, np.float32))).max() > 0.0


def agent(**settings: Any) -> PpoLag:
    return PpoLag(Spaces.unscaled(3, 2), PpoLagConfig(hidden=(8, 8), **settings), seed=1)


def moved(algorithm: PpoLag, loss: str) -> dict[str, bool]:
    """Which groups a single loss moves, by name."""
    together = algorithm.together
    assert isinstance(together, Together)
    groups = together.net.groups()
    before = {name: [p.detach().clone() for p in group] for name, group in groups.items()}
    obs = torch.randn(16, 3)
    still = {name: (lambda name=name: 0.0 * sum(p.sum() for p in [*groups.get("trunk", []), *groups[name]]))
             for name in ("actor", "reward_critic", "cost_critic")}  # fmt: skip
    if loss == "actor":
        still[loss] = lambda: algorithm.actor.log_prob(together.net.mean(obs), torch.zeros(16, 2)).mean()
    else:
        still[loss] = lambda: together.net.outputs(loss, obs).square().sum()
    together.layout.step(still)
    return {
        name: any(not torch.equal(a, b) for a, b in zip(before[name], group, strict=True))
        for name, group in groups.items()
    }


@pytest.mark.parametrize(
    ("settings", "loss", "expected"),
    [
        ({"layout": "single", "trunk": "shared"}, "cost_critic", {"trunk", "cost_critic"}),
        ({"layout": "isolated", "trunk": "shared"}, "cost_critic", {"cost_critic"}),
        ({"layout": "isolated", "trunk": "shared"}, "actor", {"trunk", "actor"}),
        ({"layout": "isolated", "trunk": "shared", "trunk_owner": "cost_critic"}, "actor", {"actor"}),
        ({"layout": "shared", "trunk": "shared"}, "reward_critic", {"trunk", "reward_critic"}),
        ({"layout": "single"}, "cost_critic", {"cost_critic"}),
    ],
)  # fmt: skip
def test_a_loss_moves_what_its_layout_says(settings: dict[str, Any], loss: str, expected: set[str]) -> None:
    assert {name for name, yes in moved(agent(**settings), loss).items() if yes} == expected


def test_normalised_value_functions_say_what_they_said_when_the_statistics_move() -> None:
    together = agent(layout="single", **SHARED).together
    assert together is not None
    obs, rng = torch.randn(32, 3), torch.Generator().manual_seed(0)
    together.net.targets(torch.randn(2, 100, generator=rng))
    with torch.no_grad():
        before = together.net.of_inputs(obs)
        target = together.net.targets(30.0 + 7.0 * torch.randn(2, 100, generator=rng))
        after = together.net.of_inputs(obs)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert target["cost_critic"].abs().max() < 5.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trunk": "shared"}, "trunk shared: of no effect in layout separate"),
        ({"cost_critic_lr": 1e-3}, "a cost_critic_lr: of no effect in layout separate"),
        ({"layout": "single", "cost_critic_lr": 1e-3}, "layout single has one rate for all"),
        ({"layout": "grouped", "cost_critic_lr": float("nan")}, "cost_critic_lr is nan; it must be above 0"),
        ({"layout": "shared", "trunk_owner": "actor"}, "trunk_owner is for layout isolated"),
    ],
)
def test_a_setting_without_effect_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PpoLagConfig(**settings)
