"""Prior actions teach only where the critics rate them higher, and pretraining copies them."""

import numpy as np
import pytest
import torch

from policy_training.algorithms import ALGORITHMS, CONFIGS
from policy_training.estimates.critics import Critics, Values
from policy_training.experience.replay import Batch, Memory, MemoryConfig
from policy_training.experience.spaces import Spaces
from policy_training.steps.imitation import Lesson, lesson

OBS, ACTION, ROWS = 3, 2, 6
SPACES = Spaces.unscaled(OBS, ACTION)


def batch(prior: int) -> Batch:
    zeros = torch.zeros(ROWS)
    return Batch(
        torch.randn(ROWS, OBS), torch.rand(ROWS, ACTION), torch.randn(ROWS, OBS), zeros, zeros, zeros, prior
    )


def test_penalty_is_the_weighted_squared_distance_to_the_first_rows() -> None:
    taught = Lesson(torch.tensor([[1.0, 0.0], [0.0, 0.5]]), torch.tensor([2.0, 0.0]))
    action = torch.tensor([[0.5, 0.5], [9.0, 9.0], [7.0, 7.0]])
    # row 0: 2 (0.25 + 0.25) = 1; row 1 has no weight; row 2 is no prior row; the mean is over two rows
    assert float(taught.penalty(action)) == pytest.approx(0.5)


@pytest.mark.parametrize(("own_q_r", "expected"), [(-1e9, 3.0), (1e9, 0.0), (float("nan"), 0.0)])
def test_only_prior_actions_rated_above_the_own_ones_teach(own_q_r: float, expected: float) -> None:
    critics = Critics(SPACES, CONFIGS["sac_lag"](hidden=(8,)))
    own = Values(torch.full((ROWS,), own_q_r), torch.zeros(ROWS))
    taught = lesson(batch(prior=4), own, critics, nu=1.0, weight=3.0)
    assert taught.action.shape == (4, ACTION)
    assert taught.weight.tolist() == [expected] * 4


def test_a_likely_violation_disqualifies_a_prior_action_through_the_multiplier() -> None:
    critics = Critics(SPACES, CONFIGS["sac_lag"](hidden=(8,)))
    rows = batch(prior=4)
    theirs = critics.judge(rows.obs, rows.action)
    own = Values(theirs.q_r - 0.1, theirs.q_c - 0.01)  # a little worse, a little safer
    assert lesson(rows, own, critics, nu=1.0, weight=1.0).weight.sum() == 4.0  # 0.1 > 0.01
    assert lesson(rows, own, critics, nu=100.0, weight=1.0).weight.sum() == 0.0  # 0.1 < 1


def test_without_prior_rows_there_is_no_lesson() -> None:
    critics = Critics(SPACES, CONFIGS["sac_lag"](hidden=(8,)))
    taught = lesson(batch(prior=0), Values(torch.zeros(ROWS), torch.zeros(ROWS)), critics, nu=1.0, weight=1.0)
    assert float(taught.penalty(torch.randn(ROWS, ACTION))) == 0.0


@pytest.mark.parametrize("name", ["sac_lag", "meta_sac_lag"])
def test_pretraining_copies_the_prior_policy(name: str) -> None:
    rng = np.random.default_rng(0)
    memory = Memory(OBS, ACTION, 0, MemoryConfig(capacity=10), prior=2000)
    obs = rng.normal(size=(2000, OBS)).astype(np.float32)
    action = np.tanh(obs[:, :ACTION]).astype(np.float32)
    zeros = np.zeros(2000, dtype=np.float32)
    memory.add(obs, action, obs, zeros, zeros, zeros, prior=True)
    config = CONFIGS[name](hidden=(32, 32), imitation=5.0, policy_lr=3e-3, initial_alpha=0.01)
    agent = ALGORITHMS[name](SPACES, config, 0)
    for _ in range(300):
        agent.pretrain(memory)
    copied = agent.actor.mode(torch.from_numpy(obs[:200])).detach().numpy()
    assert np.abs(copied - action[:200]).mean() < 0.08
