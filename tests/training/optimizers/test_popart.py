"""PopArt: outputs stay, targets become normal, runs go on."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_training.optimizers.popart import LEAST_STD, PopArt, Scale, rescaled

M, H, B = 3, 5, 7
numbers = st.floats(-1e3, 1e3)
spreads = st.floats(LEAST_STD, 1e3)


def scale(means: list[float], stds: list[float]) -> Scale:
    return Scale(*(torch.tensor(v, dtype=torch.float64).unsqueeze(1) for v in (means, stds)))


scales = st.builds(
    scale, st.lists(numbers, min_size=M, max_size=M), st.lists(spreads, min_size=M, max_size=M)
)


@settings(max_examples=100, deadline=None)
@given(scales, scales, st.integers(0, 1000))
def test_values_stay_as_they_are_whatever_the_statistics_become(old: Scale, new: Scale, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    weight, bias, hidden = (
        torch.randn(s, generator=rng, dtype=torch.float64) for s in ((M, H, 1), (M, 1, 1), (M, B, H))
    )
    before = old.values(torch.baddbmm(bias, hidden, weight).squeeze(-1))
    weight, bias = rescaled(weight, bias, old, new)
    after = new.values(torch.baddbmm(bias, hidden, weight).squeeze(-1))
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-7)


def test_following_moves_the_last_layers_so_that_values_stay() -> None:
    norm, rng = PopArt(M, 0.3), torch.Generator().manual_seed(0)
    weight, bias = torch.randn(M, H, 1, generator=rng), torch.randn(M, 1, 1, generator=rng)
    hidden = torch.randn(M, B, H, generator=rng)

    def values() -> torch.Tensor:
        return norm.scale.values(torch.baddbmm(bias, hidden, weight).squeeze(-1))

    norm.follow(torch.randn(M, 100, generator=rng), (weight, bias))
    before, old = values(), norm.scale
    norm.follow(50.0 + 9.0 * torch.randn(M, 100, generator=rng), (weight, bias))
    assert (norm.scale.std > 2.0 * old.std).all()
    torch.testing.assert_close(values(), before, rtol=1e-4, atol=1e-4)


def test_the_first_targets_count_in_full_and_become_normal() -> None:
    norm, rng = PopArt(M, 1e-3), torch.Generator().manual_seed(0)
    targets = 40.0 + 8.0 * torch.randn(M, 500, generator=rng)
    norm.follow(targets)
    normal = norm.scale.normalised(targets)
    torch.testing.assert_close(normal.mean(dim=1), torch.zeros(M), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(normal.std(dim=1, correction=0), torch.ones(M), atol=1e-4, rtol=0.0)


def test_constant_targets_are_not_divided_by_nothing() -> None:
    norm = PopArt(1, 0.5)
    norm.follow(torch.full((1, 10), 3.0))
    assert norm.scale.std.item() == pytest.approx(LEAST_STD)
    assert torch.isfinite(norm.scale.normalised(torch.full((1, 2), 4.0))).all()


def test_saved_statistics_come_back() -> None:
    norm, other = PopArt(M, 0.1), PopArt(M, 0.1)
    norm.follow(torch.randn(M, 20))
    other.load_state_dict(norm.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(norm.scale, other.scale, strict=True))
