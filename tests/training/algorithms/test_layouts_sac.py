"""SAC-Lag's critics under optimizer layouts: what a run saves and exports, what the layouts agree on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from policy_training.algorithms.sac_lag import SacLag, SacLagConfig
from policy_training.evaluation.run_data import read_run
from policy_training.experience.replay import Memory, MemoryConfig
from policy_training.experience.spaces import Spaces
from policy_training.loops.off_policy import train
from policy_training.optimizers.layouts import KINDS
from policy_training.runs.config import RunConfig
from policy_training.runs.folder import create_run
from policy_training.runs.trained import load_policy
from tests.training.small_runs import assert_same_end
from tests.training.small_runs import small_off_policy as small


def config_of(**settings: Any) -> RunConfig:
    config = small("sac_lag", steps=160, eval_every=100)
    return replace(config, algorithm=replace(config.algorithm, **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"layout": "single", "trunk": "shared", "target_norm": "popart", "layer_norm": True},
        {"layout": "isolated", "trunk": "shared", "clip_scope": "loss", "max_grad_norm": 1.0},
        {"layout": "shared", "trunk": "disjoint", "cost_critic_lr": 1e-4, "target_norm": "popart"},
    ],
    ids=lambda s: s["layout"],
)
def test_a_resumed_run_ends_bit_equal_to_an_uninterrupted_one(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    config = config_of(**settings)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    train(config, halves, until=111)
    train(config, halves, resume=True)
    assert_same_end(whole, halves)
    critic = load_policy(whole).safety_critic
    assert critic is not None
    assert 0.0 <= float(critic(torch.zeros(1, 10), torch.zeros(1, 2))) <= 1.0
    assert read_run(whole).has("trunk_cosine/reward_critic_cost_critic") == (settings["trunk"] == "shared")


def experience() -> Memory:
    rng = torch.Generator().manual_seed(0)
    memory = Memory(3, 2, seed=0, config=MemoryConfig(capacity=500, violation_capacity=500))
    obs, after, action = (torch.randn(300, n, generator=rng).numpy() for n in (3, 3, 2))
    cost = (obs[:, 0] > 1.0).astype(float)
    memory.add(obs, action.clip(-1.0, 1.0), after, 10.0 * obs[:, 1], cost, cost)
    return memory


def updated(updates: int, **settings: Any) -> SacLag:
    algorithm = SacLag(Spaces.unscaled(3, 2), SacLagConfig(hidden=(8, 8), batch_size=32, **settings), seed=1)
    memory = experience()
    for _ in range(updates):
        algorithm.update(memory)
    return algorithm


def test_disjoint_critics_learn_the_same_in_every_layout_and_in_none() -> None:
    # Without a common trunk and without a cut, separate and summed updates are one and the same.
    expected = updated(10)
    for kind in KINDS:
        got = updated(10, layout=kind)
        for name in ("q_r", "q_c"):
            ours, theirs = (getattr(a.critics, name).mlp.flat for a in (got, expected))
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0.0)


def test_a_shared_trunk_is_one_network_for_both_pairs() -> None:
    algorithm = updated(3, layout="grouped", trunk="shared")
    obs, action = torch.randn(8, 3), torch.rand(8, 2)
    critics = algorithm.critics
    before = critics.q_r(obs, action).detach()
    with torch.no_grad():
        critics.q_c.mlp.weights[0].mul_(1.1)
    assert (critics.q_r(obs, action).detach() - before).abs().max() > 1e-4


def test_normalised_critics_speak_in_units_of_the_reward() -> None:
    settings: dict[str, Any] = {"layout": "single", "trunk": "shared", "critic_lr": 1e-2, "gamma": 0.0}
    raw, norm = updated(150, **settings), updated(150, **settings, target_norm="popart")
    obs = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    for algorithm in (raw, norm):
        q_r = algorithm.critics.judge(obs, torch.zeros(2, 2)).q_r
        assert float((q_r[0] - q_r[1]).detach()) == pytest.approx(20.0, rel=0.35)  # the reward is 10 obs_1


def test_named_costs_are_refused_rather_than_left_out_of_the_layout() -> None:
    with pytest.raises(ValueError, match="layouts support the scalar cost alone"):
        SacLagConfig(layout="single", eps_limits=(("contact", 0.1),))
