"""What seeds say together: by hand, against rliable's own functions, and where there is too little to say."""

import builtins
import sys
from typing import Any

import numpy as np
import pytest

from policy_training.evaluation import seed_statistics as seeds


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers whichever tests ran before."""
    return np.random.default_rng(5)


def one_task(*scores: float) -> np.ndarray:
    return np.array(scores)[:, None, None]


def test_interquartile_mean_leaves_the_outer_quarters_out() -> None:
    # Of eight scores the two lowest and the two highest go: (3 + 4 + 5 + 6) / 4.
    scores = one_task(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 800.0)
    assert seeds.interquartile_mean(scores) == pytest.approx([4.5])
    assert seeds.interquartile_mean(one_task(1.0, 2.0, 6.0)) == pytest.approx([3.0])  # nothing to trim


@pytest.mark.parametrize(("runs", "tasks"), [(1, 1), (3, 1), (5, 2), (10, 3)])
def test_interquartile_mean_is_rliables_at_every_point(
    runs: int, tasks: int, rng: np.random.Generator
) -> None:
    metrics = pytest.importorskip("rliable.metrics")
    scores = rng.normal(size=(runs, tasks, 7))
    frames = [metrics.aggregate_iqm(scores[:, :, t]) for t in range(7)]
    assert seeds.interquartile_mean(scores) == pytest.approx(frames)


def test_interval_of_three_runs_reaches_from_the_lowest_to_the_highest() -> None:
    # All three draws hit one run with chance 1/27 = 3.7 %, more than the 2.5 % beyond either bound.
    found = seeds.estimate(one_task(1.0, 2.0, 6.0))
    assert (found.low[0], found.point[0], found.high[0]) == pytest.approx((1.0, 3.0, 6.0))


def test_interval_covers_the_mean_in_about_95_of_100_experiments(rng: np.random.Generator) -> None:
    covered = 0
    for _ in range(15):
        found = seeds.estimate(rng.normal(3.0, 1.0, (20, 1, 20)), seeds.mean)
        covered += int(((found.low <= 3.0) & (found.high >= 3.0)).sum())
    assert 0.86 <= covered / 300 <= 0.99  # percentile intervals of 20 runs are a little too short


def test_an_estimate_repeats_and_leaves_the_global_generator_alone(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(6, 1, 4))
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(2)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    first = seeds.estimate(scores)
    assert np.array_equal(np.random.random(2), expected)  # noqa: NPY002
    second = seeds.estimate(scores)
    assert np.array_equal(first.low, second.low) and np.array_equal(first.high, second.high)


def test_one_run_has_no_interval_and_needs_no_rliable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rliable", None)
    found = seeds.estimate(one_task(4.0))
    assert found.point == [4.0] and np.isnan([found.low[0], found.high[0]]).all()


def test_a_run_without_a_value_makes_the_estimate_unknown_and_not_narrower() -> None:
    found = seeds.estimate(one_task(1.0, np.nan, 2.0), seeds.mean)
    assert np.isnan([found.point[0], found.low[0], found.high[0]]).all()


def test_missing_rliable_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **keywords: Any) -> Any:
        if name.startswith("rliable"):
            raise ModuleNotFoundError("No module named 'rliable'", name="rliable")
        return real(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"need rliable.*pip install 'spillguard\[viz\]'"):
        seeds.estimate(one_task(1.0, 2.0, 3.0))


def test_probability_of_improvement_counts_pairs() -> None:
    metrics = pytest.importorskip("rliable.metrics")
    ours, theirs = np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0])
    found = seeds.probability_of_improvement(ours, theirs)
    assert found.point == pytest.approx([4.5 / 6.0])  # 1>0, 2>0, 2=2 by half, 3>0, 3>2
    assert found.point == pytest.approx([metrics.probability_of_improvement(ours[:, None], theirs[:, None])])
    assert 0.0 <= found.low[0] <= found.point[0] <= found.high[0] <= 1.0


def test_ratio_of_means_has_an_interval_around_it() -> None:
    found = seeds.ratio_of_means(np.array([60.0, 70.0, 80.0]), np.array([100.0, 100.0, 100.0]))
    assert (found.low[0], found.point[0], found.high[0]) == pytest.approx((0.6, 0.7, 0.8))


def test_curves_meet_on_the_steps_that_all_have() -> None:
    slow = (np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, 3.0]))
    fast = (np.array([5.0, 25.0, 45.0]), np.array([10.0, 30.0, 50.0]))
    grid, values = seeds.common_grid([slow, fast], "return of x")
    assert list(grid) == [10.0, 20.0, 30.0]  # from the later beginning to the earlier end
    assert values == pytest.approx(np.array([[1.0, 2.0, 3.0], [15.0, 25.0, 35.0]]))


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    steps = np.arange(1.0, 5001.0)
    grid, values = seeds.common_grid([(steps, steps * 2.0)], "x")
    assert len(grid) == seeds.POINTS and (grid[0], grid[-1]) == (1.0, 5000.0)
    assert values[0] == pytest.approx(grid * 2.0)


def test_runs_that_share_no_step_are_refused() -> None:
    early, late = (np.array([5.0]), np.array([1.0])), (np.array([10.0, 20.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="return of x: one run begins at 10 where another has ended at 5"):
        seeds.common_grid([early, late], "return of x")


def test_window_is_the_last_share_of_the_steps() -> None:
    curve = (np.arange(10.0, 110.0, 10.0), np.arange(1.0, 11.0))
    assert seeds.window_mean(curve, end=100.0, share=0.1) == pytest.approx((9.0 + 10.0) / 2.0)  # 90, 100
    assert seeds.window_mean(curve, end=50.0, share=0.1) == pytest.approx(5.0)  # from 45: only 50
    assert seeds.window_mean(curve, end=98.0, share=0.01) == pytest.approx(9.0)  # none within: the last
    assert np.isnan(seeds.window_mean(curve, end=5.0, share=0.1))
