"""Safety-Gymnasium's six values, in and out."""

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from sim.registration import ensure_registered
from sim.tasks.adapters import from_six, to_six


class SixValues(gymnasium.Env[Any, Any]):
    """Steps like Safety-Gymnasium's environments."""

    observation_space = spaces.Box(-1.0, 1.0, (1,))
    action_space = spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, cost: float, info: dict[str, Any], ends: tuple[bool, bool] = (False, False)) -> None:
        self.cost, self.info, self.ends = cost, info, ends

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.array([self.np_random.uniform()], np.float32), {"start": True}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), 2, self.cost, *self.ends, self.info


ACTION = np.zeros(1, np.float32)


@pytest.mark.parametrize("ends", [(True, False), (False, True)])
def test_the_third_value_becomes_the_cost_and_the_ends_stay_apart(ends: tuple[bool, bool]) -> None:
    _, reward, terminated, truncated, info = from_six(SixValues(1.5, {"x": 3}, ends)).step(ACTION)
    assert reward == 2.0
    assert (terminated, truncated) == ends
    assert info == {"x": 3, "cost": 1.5, "cost_terms": {"cost": 1.5}}


def test_its_own_costs_become_the_terms_and_their_sum_does_not() -> None:
    own = {"cost_hazards": 1.0, "cost_vases": 0.5, "cost_sum": 1.5}
    env = from_six(SixValues(1.5, own))
    assert env.step(ACTION)[4]["cost_terms"] == {"hazards": 1.0, "vases": 0.5}
    _, info = env.reset(seed=3)
    assert info == {"start": True, "cost": 0.0, "cost_terms": {"hazards": 0.0, "vases": 0.0}}


def test_a_reset_passes_the_seed_on() -> None:
    env = from_six(SixValues(0.0, {}))
    assert env.reset(seed=3)[0] == env.reset(seed=3)[0]
    assert env.reset(seed=3)[0] != env.reset(seed=4)[0]


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_a_cost_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"cost is {bad}"):
        from_six(SixValues(bad, {})).step(ACTION)


def test_an_environment_of_five_values_is_refused() -> None:
    ensure_registered()
    env = from_six(gymnasium.make("spillguard/Nav2D-v0"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="step returned 5 values"):
        env.step(np.zeros(2, np.float32))


def test_ours_gives_six_values_and_the_way_back_changes_nothing() -> None:
    ensure_registered()
    ours, for_six, for_both = (gymnasium.make("spillguard/SafetyHopper-v0") for _ in range(3))
    six, both = to_six(for_six), from_six(to_six(for_both))
    for env in (ours, six, both):
        env.reset(seed=1)
    action = np.full(3, 0.5, np.float32)
    obs, reward, terminated, truncated, info = ours.step(action)
    values, back = six.step(action), both.step(action)
    np.testing.assert_array_equal(values[0], obs)
    assert values[1:5] == (reward, info["cost"], terminated, truncated)
    own = {name: value for name, value in values[5].items() if name.startswith("cost")}
    assert own == {"cost_control": 0.375, "cost_unhealthy": 0.0, "cost_sum": 0.375}
    assert back[4]["cost_terms"] == info["cost_terms"] == {"control": 0.375, "unhealthy": 0.0}
    assert back[1:4] == (reward, terminated, truncated)
