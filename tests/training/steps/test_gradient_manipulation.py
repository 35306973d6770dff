"""Modes, projections, slacks and sample sizes of PCRPO and ESPO: what must hold for all gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy_training.steps.gradient_manipulation import (
    Schedule,
    combined,
    cosine,
    implied_conflicts,
    mode_of,
    projected,
    sample_size,
    scaled,
    shrunk,
    total_samples,
)

INF = math.inf
X_R = st.floats(0.0, 1.0)


@st.composite
def gradients(draw: st.DrawFn, low: float, high: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two vectors (P,) of any length at an angle in [low, high] degrees."""
    rng = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    size, angle = draw(st.integers(2, 40)), math.radians(draw(st.floats(low, high)))
    lengths = [10.0 ** draw(st.floats(-4.0, 4.0)) for _ in range(2)]
    plane = torch.linalg.qr(torch.randn(size, 2, generator=rng, dtype=torch.float64))[0]
    first, second = plane[:, 0], math.cos(angle) * plane[:, 0] + math.sin(angle) * plane[:, 1]
    return lengths[0] * first, lengths[1] * second


@given(gradients(0.0, 180.0))
def test_a_projected_gradient_is_orthogonal_to_the_other(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    g_r, g_c = pair
    for a, b in ((g_r, g_c), (g_c, g_r)):
        assert abs(float(projected(a, b) @ b)) <= 1e-9 * float(a.norm() * b.norm())


@given(gradients(91.0, 179.0), X_R)
def test_in_a_conflict_neither_objective_is_hurt(pair: tuple[torch.Tensor, torch.Tensor], x_r: float) -> None:
    g_r, g_c = pair
    found = combined(g_r, g_c, x_r)
    assert found.conflict
    assert not found.opposite
    sine_squared = 1.0 - cosine(g_r, g_c) ** 2
    scale = float(g_r.norm() + g_c.norm())
    for g, weight in ((g_r, x_r), (g_c, 1.0 - x_r)):
        gain = float(found.vector @ g)
        expected = weight * float(g @ g) * sine_squared
        assert gain == pytest.approx(expected, rel=1e-6, abs=1e-9 * float(g.norm()) * scale)
        assert gain >= -1e-9 * float(g.norm()) * scale


@given(gradients(0.0, 89.0), X_R)
def test_without_a_conflict_the_gradients_are_weighted(
    pair: tuple[torch.Tensor, torch.Tensor], x_r: float
) -> None:
    g_r, g_c = pair
    found = combined(g_r, g_c, x_r)
    assert not found.conflict
    torch.testing.assert_close(found.vector, x_r * g_r + (1.0 - x_r) * g_c)


@given(gradients(180.0, 180.0), X_R)
def test_opposite_gradients_leave_nothing(pair: tuple[torch.Tensor, torch.Tensor], x_r: float) -> None:
    found = combined(*pair, x_r)
    assert found.conflict
    assert found.opposite
    assert float(found.vector.norm()) == 0.0


@given(gradients(90.0, 90.0), X_R)
def test_at_a_right_angle_both_formulas_agree(pair: tuple[torch.Tensor, torch.Tensor], x_r: float) -> None:
    g_r, g_c = pair
    weighted = x_r * g_r + (1.0 - x_r) * g_c
    split = x_r * projected(g_r, g_c) + (1.0 - x_r) * projected(g_c, g_r)
    size = float(g_r.norm() + g_c.norm())
    torch.testing.assert_close(split, weighted, rtol=0.0, atol=1e-9 * size)
    torch.testing.assert_close(combined(g_r, g_c, x_r).vector, weighted, rtol=0.0, atol=1e-9 * size)


def test_a_zero_gradient_is_no_conflict() -> None:
    g, zero = torch.ones(3), torch.zeros(3)
    for pair in ((g, zero), (zero, g)):
        found = combined(*pair, 0.5)
        assert not found.conflict
        torch.testing.assert_close(found.vector, 0.5 * g)


@given(st.floats(0.0, 1e4), st.floats(0.0, 1e4))
def test_without_slacks_the_switch_is_hard(cost: float, limit: float) -> None:
    # CRPO: cost above the limit, reward below; the soft region is the limit itself.
    expected = "cost" if cost > limit else "reward" if cost < limit else "soft"
    assert mode_of(cost, limit, 0.0, 0.0) == expected


@pytest.mark.parametrize(
    ("cost", "above", "below", "mode"),
    [
        (1e9, INF, 0.0, "soft"), (39.9, INF, 0.0, "reward"), (40.0, INF, 0.0, "soft"),
        (0.0, 0.0, -INF, "soft"), (40.1, 0.0, -INF, "cost"),
        (60.0, 20.0, -20.0, "soft"), (60.1, 20.0, -20.0, "cost"),
        (20.0, 20.0, -20.0, "soft"), (19.9, 20.0, -20.0, "reward"),
    ],
)  # fmt: skip
def test_modes_at_limit_40(cost: float, above: float, below: float, mode: str) -> None:
    assert mode_of(cost, 40.0, above, below) == mode


@pytest.mark.parametrize(("schedule", "end"), [("constant", 1.0), ("linear", 0.0), ("geometric", 0.3675)])
def test_what_is_left_of_a_slack_after_500_iterations(schedule: Schedule, end: float) -> None:
    factor = 1.0
    for t in range(1, 501):
        factor = shrunk(factor, schedule, (t - 1) / 500, t / 500)
    assert factor == pytest.approx(end, abs=5e-5)
    assert scaled(20.0, factor) == 20.0 * factor
    assert scaled(INF, factor) == INF
    assert scaled(-INF, factor) == -INF


# ESPO's Tables 1, 2, 5 and 6: X, zeta+, zeta-, size after a conflict, size otherwise, smallest and largest
# total, the paper's total and how many conflicts that makes.
TASKS = {
    "SafetyReacher": (16_000, 0.1, -0.3, 17_600, 11_200, 5.60e6, 8.80e6, 5.7e6, 16),
    "SafetyWalker2d": (16_000, 0.0, -0.5, 16_000, 8_000, 4.00e6, 8.00e6, 6.2e6, 275),
    "SafetyHumanoidStandup": (16_000, 0.0, -0.5, 16_000, 8_000, 4.00e6, 8.00e6, 5.1e6, 138),
    "SafetyHopperVelocity": (20_000, 0.1, -0.4, 22_000, 12_000, 6.0e6, 11.0e6, 7.3e6, 130),
    "SafetyAntVelocity": (20_000, 0.1, -0.4, 22_000, 12_000, 6.0e6, 11.0e6, 7.6e6, 160),
}


@pytest.mark.parametrize("task", TASKS)
def test_sizes_and_totals_of_the_paper(task: str) -> None:
    base, more, fewer, large, small, least, most, total, conflicts = TASKS[task]
    assert sample_size(base, True, more, fewer) == large
    assert sample_size(base, False, more, fewer) == small
    assert total_samples(base, 500, 0, more, fewer) == least
    assert total_samples(base, 500, 500, more, fewer) == most
    assert implied_conflicts(base, 500, total, more, fewer) == pytest.approx(conflicts, abs=0.51)


@pytest.mark.parametrize("task", TASKS)
@given(st.lists(st.booleans(), min_size=500, max_size=500))
def test_the_total_follows_from_the_conflicts(task: str, conflicts: list[bool]) -> None:
    base, more, fewer = TASKS[task][:3]
    # The first batch comes before any gradient, every other one after the conflict, or not, of the last.
    taken = sum(sample_size(base, before, more, fewer) for before in [False, *conflicts[:-1]])
    assert taken == total_samples(base, 500, sum(conflicts[:-1]), more, fewer)
    expected = 500 * base * (1 + fewer) + sum(conflicts[:-1]) * base * (more - fewer)
    assert taken == pytest.approx(expected, rel=1e-12)
