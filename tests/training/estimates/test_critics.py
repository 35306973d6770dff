"""The safety pair's word on how frequent violations are, from the first batch on."""

from typing import Any

import pytest
import torch

from policy_training.algorithms import CONFIGS, OFF_POLICY
from policy_training.estimates.critics import SafetyPair
from policy_training.experience.replay import Batch
from policy_training.experience.spaces import Spaces

SPACES = Spaces.unscaled(2, 1)


def batch(size: int, violating: int) -> Batch:
    """Of `size` transitions the last ones violate."""
    rng = torch.Generator().manual_seed(size)
    obs, action = torch.randn(size, 2, generator=rng), torch.rand(size, 1, generator=rng)
    costs = torch.zeros(size, 1)
    costs[size - violating :] = 1.0
    zeros = torch.zeros(size)
    return Batch(obs, action, obs, zeros, costs, zeros)


def pair(name: str = "sac_lag") -> SafetyPair:
    """With the algorithm's settings."""
    return SafetyPair(SPACES, CONFIGS[name](hidden=(4,)))


def weighed(safety: SafetyPair, natural: Batch, extra: Batch) -> float:
    """The share that violating rows have in the loss."""
    rows, weight = safety.problem(natural, extra, natural.action)
    assert weight is not None
    return float((weight * rows.violated).sum() / weight.sum())


@pytest.mark.parametrize("name", ["sac_lag", "meta_sac_lag"])
def test_violations_have_their_share_from_the_first_update_on(name: str) -> None:
    safety, natural, extra = pair(name), batch(64, 8), batch(16, 16)
    for _ in range(5):
        assert weighed(safety, natural, extra) == pytest.approx(8 / 64)


def test_the_share_of_the_first_updates_is_the_mean_of_what_was_seen() -> None:
    safety, extra = pair(), batch(16, 16)
    for count in (0, 8, 16):
        share = weighed(safety, batch(64, count), extra)
    assert share == pytest.approx(8 / 64, rel=0.02)


def test_the_share_follows_a_replay_that_becomes_safer() -> None:
    safety, extra = pair(), batch(16, 16)
    for _ in range(20):
        weighed(safety, batch(64, 32), extra)
    for _ in range(500):
        share = weighed(safety, batch(64, 4), extra)
    assert share == pytest.approx(4 / 64, rel=0.1)


def critics(layout: str) -> Any:
    """Of SAC-Lag, after an update's worth of batches."""
    config = CONFIGS["sac_lag"](hidden=(4,), layout=layout)
    return OFF_POLICY["sac_lag"](SPACES, config, seed=1).critics


@pytest.mark.parametrize("layout", ["separate", "single"])
def test_the_share_goes_on_from_a_checkpoint_and_from_one_that_knows_no_count(layout: str) -> None:
    first, second, natural, extra = critics(layout), critics(layout), batch(64, 8), batch(16, 16)
    weighed(first.safety, natural, extra)
    second.load_state_dict(first.state_dict())
    assert second.safety.violations == first.safety.violations
    older = first.state_dict() | {"violation_rate": 0.25}
    second.load_state_dict(older)
    assert weighed(second.safety, natural, extra) == pytest.approx(0.25 + 0.01 * (8 / 64 - 0.25))


@pytest.mark.parametrize("name", ["sac_lag", "meta_sac_lag", "rcpo", "sqrl"])
def test_one_critic_of_each_kind_is_a_setting(name: str) -> None:
    algorithm = OFF_POLICY[name](SPACES, CONFIGS[name](hidden=(4,), critic_members=1), seed=1)
    networks = algorithm.critics.q_r, algorithm.critics.q_c, algorithm.critics.safety.slow
    assert [network.mlp.layout.members for network in networks] == [1, 1, 1]
    obs, action = torch.randn(5, 2), torch.rand(5, 1)
    seen = algorithm.critics.judge(obs, action)
    torch.testing.assert_close(seen.q_r, algorithm.critics.q_r(obs, action)[0])
    torch.testing.assert_close(seen.q_c, torch.sigmoid(algorithm.critics.q_c(obs, action)[0]))
