"""The exported threshold: the highest Q_c on validation episodes that went well."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policy_training.deployment.first_threshold import measured_threshold, peaks
from sim.pouring.scripted import pour_controller

POUR = "spillguard/PourCoffee-v0"
COS_TILT = 7  # place in the observation


class Scripted(nn.Module):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([pour_controller(o) for o in obs.numpy()]))


class Idle(nn.Module):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.zeros(len(obs), 4)


class TiltIsRisk(nn.Module):
    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        return 0.25 * (1.0 - obs[:, COS_TILT])


def test_threshold_is_the_highest_value_of_a_successful_episode() -> None:
    threshold = measured_threshold(Scripted(), TiltIsRisk(), POUR, episodes=3)
    found = [p.highest for p in peaks(Scripted(), TiltIsRisk(), POUR, range(1_000_000, 1_000_003))]
    assert threshold.value == max(found)
    assert 0.35 < max(found) < 0.5  # a full pour tilts beyond 115 degrees: 0.25 (1 - cos 115) = 0.36
    assert "3 successful of 3" in threshold.calibration


def test_noise_makes_the_policy_fail_and_is_seen_by_the_critic() -> None:
    shaken = peaks(Scripted(), TiltIsRisk(), POUR, range(1_000_000, 1_000_004), noise=0.6)
    assert sum(p.violation for p in shaken) >= 3


def test_a_policy_that_never_succeeds_has_no_threshold() -> None:
    with pytest.raises(ValueError, match="none of 1 validation episodes succeeded"):
        measured_threshold(Idle(), TiltIsRisk(), POUR, episodes=1)
