"""On-policy experience: what a share holds, where it is cut, and what is refused."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from policy_training.experience.environments import EnvironmentFaultError
from policy_training.experience.episodes import MeanPolicy
from policy_training.experience.on_policy_sampling import BadSignalError, Sampler, Walker
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor
from policy_training.networks.plain import mean_policy

NAV2D = "spillguard/Nav2D-v0"
STD = np.full(2, 0.5, np.float32)


class Counting(gymnasium.Env[np.ndarray, np.ndarray]):
    """Says the number of the step; ends after `length`; pays and costs as told."""

    reward: float = 1.0
    cost: Any = 2.0
    length = 5

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-1e9, 1e9, (1,))
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1), {"cost": 0.0}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        info = {} if self.cost is None else {"cost": self.cost, "cost_terms": {"half": self.cost / 2.0}}
        return np.full(1, float(self.count)), self.reward, self.count >= self.length, False, info


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    gymnasium.register("Counting-v0", entry_point=Counting)
    yield
    del gymnasium.registry["Counting-v0"]


def zero_policy() -> MeanPolicy:
    return mean_policy(GaussianActor(Spaces.unscaled(1, 2)))


def walked(steps: int, **changes: Any) -> Any:
    walker = Walker("Counting-v0", {}, 1, 0, ("cost", "half"))
    for name, value in changes.items():
        setattr(walker.env.unwrapped, name, value)
    return walker.walk(zero_policy(), STD, 0, steps)


def test_a_share_is_cut_where_episodes_end_and_at_its_own_end() -> None:
    share = walked(12)
    assert share.ends.tolist() == [5, 10, 12]
    assert share.terminated.tolist() == [True, True, False]
    assert share.final_obs[:, 0].tolist() == [5.0, 5.0, 2.0]
    assert share.obs[:, 0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert share.sums.tolist() == [[5.0, 5.0], [10.0, 10.0], [5.0, 5.0]]  # finished ones: reward, cost, half


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cost": -0.5}, "cost 'cost' is -0.5"),
        ({"cost": None}, "no cost 'cost'; the environment reports none"),
    ],
)
def test_a_senseless_signal_stops_with_step_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSignalError, match=message) as caught:
        walked(12, **changes)
    assert caught.value.step == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"reward": float("nan")}, "the reward is nan"), ({"cost": float("inf")}, "the cost is inf")],
)
def test_a_number_that_is_not_finite_is_the_environments_fault(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvironmentFaultError, match=rf"step 1 of the episode .*{message}; it must be finite"):
        walked(12, **changes)


def test_an_unknown_cost_names_the_known_ones() -> None:
    walker = Walker("Counting-v0", {}, 1, 0, ("speed",))
    with pytest.raises(BadSignalError, match="no cost 'speed'; the environment reports cost, half"):
        walker.walk(zero_policy(), STD, 0, 3)


def test_workers_bring_what_this_process_would_to_the_bit() -> None:
    torch.manual_seed(0)
    policy = mean_policy(GaussianActor(Spaces.unscaled(10, 2)))
    found = []
    for processes in (0, 2):
        sampler = Sampler(NAV2D, {}, 1, ("cost", "obstacle"), envs=3, processes=processes)
        found.append([sampler.collect(policy, STD, i, 70) for i in range(2)])
        sampler.close()
    here, there = ([share for part in parts for share in part] for parts in found)
    assert len(here) == len(there) == 6
    for a, b in zip(here, there, strict=True):
        for name in vars(a):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert not np.array_equal(here[0].obs, here[1].obs)  # environments differ
    assert not np.array_equal(here[0].obs, here[3].obs)  # and so do iterations


def test_a_bad_signal_in_a_worker_reaches_the_trainer() -> None:
    sampler = Sampler(NAV2D, {}, 1, ("speed",), envs=2, processes=1)
    with pytest.raises(BadSignalError, match="no cost 'speed'"):
        sampler.collect(mean_policy(GaussianActor(Spaces.unscaled(10, 2))), STD, 0, 10)
    sampler.close()


def test_a_worker_that_dies_is_named() -> None:
    sampler = Sampler(NAV2D, {}, 1, ("cost",), envs=2, processes=1)
    process = sampler.workers[0].process
    process.kill()
    process.join()
    with pytest.raises(RuntimeError, match="ended with code -9"):
        sampler.collect(mean_policy(GaussianActor(Spaces.unscaled(10, 2))), STD, 0, 10)
    sampler.close()
