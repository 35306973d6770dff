"""What the value functions make of shares: where they look beyond an end, and what an episode amounts to."""

import numpy as np
import pytest
import torch

from policy_training.estimates.on_policy import Judge, OnPolicyConfig
from policy_training.experience.on_policy_sampling import Share
from policy_training.experience.spaces import Spaces


def share(*, terminated: bool) -> Share:
    """A finished episode of three steps, reward 1, cost 2, and two steps of another that is cut."""
    steps = 5
    obs = np.arange(steps, dtype=np.float32)[:, None]
    signals = np.stack((np.ones(steps), np.full(steps, 2.0)))
    return Share(
        obs, np.zeros((steps, 1), np.float32), signals, np.array([3, 5]), np.full((2, 1), 9.0, np.float32),
        np.array([terminated, False]), np.array([[3.0], [6.0]]), np.array([True]),
    )  # fmt: skip


def judge(**changes: float) -> Judge:
    """Untrained value functions, which still say something."""
    torch.manual_seed(0)
    return Judge(Spaces.unscaled(1, 1), OnPolicyConfig(hidden=(4,), lam=0.0, lam_c=0.0, **changes), seed=0)


@pytest.mark.parametrize("terminated", [True, False])
def test_the_future_counts_where_an_episode_was_cut_and_not_where_it_terminated(terminated: bool) -> None:
    found = judge(gamma=0.9, gamma_c=0.5)
    rollout = found.rollout([share(terminated=terminated)])
    with torch.no_grad():
        values, beyond = found.critics(rollout.obs), found.critics(torch.full((1, 1), 9.0))[:, 0]
    for row, (signal, gamma) in enumerate(((1.0, 0.9), (2.0, 0.5))):  # lambda 0: the target is one step away
        last = signal + (0.0 if terminated else gamma * float(beyond[row]))
        assert float(rollout.target[row, 2]) == pytest.approx(last, abs=1e-5)
        assert float(rollout.target[row, 4]) == pytest.approx(signal + gamma * float(beyond[row]), abs=1e-5)
        assert float(rollout.target[row, 0]) == pytest.approx(
            signal + gamma * float(values[row, 1]), abs=1e-5
        )
    torch.testing.assert_close(rollout.target - rollout.advantage, values)


def test_an_episode_counts_when_it_has_ended() -> None:
    rollout = judge().rollout([share(terminated=True), share(terminated=False)])
    assert (rollout.episode_return, rollout.episode_costs, rollout.episodes) == (3.0, (6.0,), 2)
    assert rollout.episode_length == 3.0  # the two steps that were cut are no episode
