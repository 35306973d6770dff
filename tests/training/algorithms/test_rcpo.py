"""What RCPO's reward pays for."""

from typing import Any

import pytest
import torch

from policy_training.algorithms.rcpo import Rcpo, RcpoConfig
from policy_training.experience.replay import Batch
from policy_training.experience.spaces import Spaces

NU = 3.0


def paid(**settings: Any) -> tuple[Rcpo, Batch, torch.Tensor]:
    """The algorithm, a batch of four of which two violate, and the rewards after payment."""
    algorithm = Rcpo(Spaces.unscaled(2, 1), RcpoConfig(hidden=(4,), initial_nu=NU, **settings), seed=0)
    costs = torch.tensor([[0.0], [1.0], [0.0], [5.0]])
    batch = Batch(
        torch.randn(4, 2), torch.rand(4, 1), torch.randn(4, 2), torch.ones(4), costs, torch.zeros(4)
    )
    return algorithm, batch, algorithm.paying(batch).reward


def test_a_violation_is_paid_for_once_however_large_its_cost() -> None:
    _, batch, reward = paid()
    torch.testing.assert_close(reward, torch.tensor([1.0, 1.0 - NU, 1.0, 1.0 - NU]))
    assert batch.reward.tolist() == [1.0] * 4  # the replay's own rewards stay


def test_with_penalty_risk_every_step_pays_for_what_is_predicted() -> None:
    algorithm, batch, reward = paid(penalty="risk")
    risk = algorithm.critics.safety.judge(batch.obs, batch.action)
    torch.testing.assert_close(reward, 1.0 - NU * risk.detach())
    assert (risk > 0.0).all()


def test_the_newest_price_is_paid() -> None:
    algorithm, batch, before = paid()
    algorithm.x += 1.0
    assert (algorithm.paying(batch).reward[1] < before[1]).all()


def test_a_price_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="initial_nu is 0"):
        RcpoConfig(initial_nu=0.0)
