"""What learners see of an environment: actions in [-1, 1], vectors, scaling, an end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from policy_training.evaluation.evaluate import main as evaluate
from policy_training.experience import environments
from policy_training.experience.environments import STEP_BUDGET, EnvironmentFaultError, make_env
from policy_training.runs.trained import load_policy
from policy_training.train import main as train
from tests.training.experience.throttle import LINE, UNIT, Throttle, short_run


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 2.0), (10.0, 30.0)])
def test_minus_one_and_one_are_the_bounds_and_what_is_beyond_is_cut(
    throttle: Any, low: float, high: float
) -> None:
    env = make_env(throttle(action=spaces.Box(low, high, (3,), np.float64)))
    env.reset(seed=1)
    assert env.action_space == spaces.Box(-1.0, 1.0, (3,), np.float32)
    env.step(np.array([-1.0, 0.0, 1.0], np.float32))
    env.step(np.array([-7.0, 0.5, 7.0], np.float32))
    assert Throttle.seen[0].tolist() == [low, (low + high) / 2.0, high]
    assert Throttle.seen[1].tolist() == [low, low + 0.75 * (high - low), high]
    assert Throttle.seen[0].dtype == np.float64


@pytest.mark.parametrize("algo", ["sac", "ppo_lag"])
def test_training_and_evaluation_use_all_of_a_throttle_and_no_more(
    throttle: Any, algo: str, tmp_path: Path
) -> None:
    env = throttle()
    assert train(short_run(algo, "--env", env, "--runs", str(tmp_path))) == 0
    values = np.concatenate(Throttle.seen)
    assert values.min() < 0.1 and values.max() > 0.9
    assert values.min() >= 0.0 and values.max() <= 1.0
    (run,) = tmp_path.glob("*/*/*")
    assert load_policy(run).spaces.action_bounds == ((0.0,), (1.0,))
    Throttle.seen.clear()
    assert evaluate([str(run), "--episodes", "2", "--no-picture"]) == 0
    assert 0.0 <= np.concatenate(Throttle.seen).min() <= np.concatenate(Throttle.seen).max() <= 1.0


def test_an_on_policy_learner_keeps_the_action_that_it_drew(throttle: Any) -> None:
    from policy_training.experience.episodes import MeanPolicy
    from policy_training.experience.on_policy_sampling import Walker

    far = MeanPolicy(
        np.zeros(2, np.float32), np.ones(2, np.float32), 10.0, ((np.zeros((1, 2)), np.array([5.0])),)
    )
    share = Walker(throttle(), {}, 1, 0, ("cost",)).walk(far, np.zeros(1, np.float32), 0, 4)
    assert share.action.tolist() == [[5.0]] * 4  # what the log-density is of
    assert np.concatenate(Throttle.seen).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3), spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2), spaces.Dict(a=UNIT),
        spaces.Tuple((UNIT,)), spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(0.0, np.inf, (2,)),
        spaces.Box(0, 3, (2,), np.int64), spaces.Box(0.0, 1.0, (2, 2)), spaces.Box(0.0, 0.0, (1,)),
    ],
)  # fmt: skip
def test_other_actions_are_refused_by_name(throttle: Any, space: Any, capsys: Any, tmp_path: Path) -> None:
    arguments = short_run("sac", "--env", throttle(action=space), "--runs", str(tmp_path))
    assert train(arguments) == 1
    said = capsys.readouterr().err
    assert f"Throttle-v0 has the action space {space}; allowed is a Box".replace("\n", " ") in said
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "space", [spaces.Dict(a=LINE), spaces.Discrete(4), spaces.Box(0, 255, (8, 8, 3), np.uint8)]
)
def test_other_observations_are_refused_by_name(throttle: Any, space: Any) -> None:
    with pytest.raises(
        EnvironmentFaultError, match=r"Throttle-v0 has the observation space .*FlattenObservation"
    ):
        make_env(throttle(obs=space))


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.uint8, np.float16])
def test_observations_of_any_numbers_arrive_as_float32(throttle: Any, kind: Any) -> None:
    env = make_env(throttle(obs=spaces.Box(0, 9, (2,), kind)))
    first = env.reset(seed=1)[0]
    second = env.step(np.zeros(1, np.float32))[0]
    assert env.observation_space.dtype == first.dtype == second.dtype == np.float32
    assert second.tolist() == [1.0, 1.0]


def test_stock_mujoco_trains_as_it_is(tmp_path: Path) -> None:
    assert train(short_run("sac", "--env", "Hopper-v5", "--runs", str(tmp_path))) == 0


def test_an_environment_without_a_time_limit_is_cut_and_says_so(throttle: Any, caplog: Any) -> None:
    env = make_env(throttle(length=10**9))
    env.reset(seed=1)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(STEP_BUDGET)]
    assert ends == [(False, False)] * (STEP_BUDGET - 1) + [(False, True)]
    said = f"Throttle-v0 has no time limit, so its episodes are truncated after {STEP_BUDGET} steps"
    assert said in caplog.text


def test_a_time_limit_of_its_own_is_kept(throttle: Any, caplog: Any) -> None:
    env = make_env(throttle(length=10**9, max_episode_steps=STEP_BUDGET + 500))
    env.reset(seed=1)
    ends = [env.step(np.zeros(1, np.float32))[3] for _ in range(STEP_BUDGET + 500)]
    assert ends.index(True) == STEP_BUDGET + 499
    assert not caplog.text


@pytest.mark.parametrize("algo", ["sac", "ppo_lag"])
def test_training_without_a_time_limit_comes_to_its_end(throttle: Any, algo: str, tmp_path: Path) -> None:
    more = ["--samples", "2000", "--steps", "2000"] if algo == "ppo_lag" else []
    assert train(short_run(algo, "--env", throttle(length=10**9), "--runs", str(tmp_path), *more)) == 0


@pytest.mark.parametrize(
    "scaling",
    [5, (1, 2, 3), ([0.0], [1.0]), (np.zeros(2), np.full(2, np.inf)), (np.full(2, np.nan), np.ones(2)),
     np.zeros((2, 2)), ("a", "b")],
)  # fmt: skip
def test_a_senseless_scaling_is_called_by_its_name(
    throttle: Any, monkeypatch: Any, scaling: Any, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(Throttle, "observation_scaling", scaling, raising=False)
    assert train(short_run("sac", "--env", throttle(), "--runs", str(tmp_path))) == 1
    assert "Throttle-v0: observation_scaling must be" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("scaling", [([0.0, 1.0], [1.0, 2.0]), np.ones((2, 2))])
def test_a_scaling_may_be_lists_or_an_array(
    throttle: Any, monkeypatch: Any, scaling: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(Throttle, "observation_scaling", scaling, raising=False)
    assert train(short_run("sac", "--env", throttle(), "--runs", str(tmp_path))) == 0


@pytest.mark.parametrize("which", ["action", "obs"])
def test_a_space_without_an_axis_entry_is_refused(throttle: Any, which: str) -> None:
    empty = spaces.Box(-1.0, 1.0, (0,), np.float32)
    with pytest.raises(environments.EnvironmentFaultError, match=r"Throttle-v0 has the"):
        environments.make_env(throttle(**{which: empty}))
