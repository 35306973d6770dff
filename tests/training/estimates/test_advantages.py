"""Advantage estimates, by hand and against the definition."""

import numpy as np
import pytest
import torch

from policy_training.estimates.advantages import gae, standardised


def test_three_steps_by_hand() -> None:
    # gamma 0.5, lambda 0.5: delta = (1 + 0.5 * 2 - 1, 1 + 0.5 * 4 - 2, 1 + 0.5 * 8 - 4) = (1, 1, 1)
    found = gae(np.ones(3), np.array([1.0, 2.0, 4.0]), 8.0, 0.5, 0.5)
    np.testing.assert_allclose(found, [1.0 + 0.25 * 1.25, 1.25, 1.0])


def test_lambda_one_is_the_discounted_sum_minus_the_value() -> None:
    rng = np.random.default_rng(0)
    signal, value = rng.standard_normal((2, 50))
    found = gae(signal, value, 3.0, 0.9, 1.0)
    for t in range(50):
        rest = sum(0.9**k * x for k, x in enumerate(signal[t:])) + 0.9 ** (50 - t) * 3.0
        assert found[t] == pytest.approx(rest - value[t])


def test_lambda_zero_is_one_temporal_difference() -> None:
    rng = np.random.default_rng(1)
    signal, value = rng.standard_normal((2, 20))
    after = np.append(value[1:], -1.0)
    np.testing.assert_allclose(gae(signal, value, -1.0, 0.97, 0.0), signal + 0.97 * after - value)


def test_standardised_has_no_unit() -> None:
    advantage = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(standardised(advantage), standardised(100.0 * advantage + 7.0))
    assert standardised(torch.ones(5)).abs().max() == 0.0
