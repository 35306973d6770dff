"""Properties common to all locomotion tasks."""

import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sim.registration import ENVIRONMENTS, ensure_registered

IDS = [name for name in ENVIRONMENTS if "/Safety" in name and "Goal" not in name]


@pytest.fixture(params=IDS)
def env_id(request: pytest.FixtureRequest) -> str:
    ensure_registered()
    return str(request.param)


def actions(env: gymnasium.Env[Any, Any], count: int, seed: int) -> np.ndarray:
    """Normally distributed, many of them outside the action space."""
    shape = (count, *(env.action_space.shape or ()))
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def rollout(env_id: str, seed: int, steps: int = 30) -> list[np.ndarray]:
    """Observations, rewards and costs."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    obs, info = env.reset(seed=seed)
    out = [obs, np.array(info["cost"])]
    for action in actions(env, steps, seed):
        obs, reward, terminated, _, info = env.step(action)
        out += [obs, np.array([reward, info["cost"], *info["cost_terms"].values()])]
        if terminated:
            obs, _ = env.reset()
            out.append(obs)
    return out


def test_there_are_eight_and_six_tasks_of_a_thousand_steps() -> None:
    assert len(IDS) == 14
    assert sum("Velocity" in name for name in IDS) == 6
    assert all(ENVIRONMENTS[name][1] == 1000 for name in IDS)


def test_it_passes_the_environment_checker(env_id: str) -> None:
    check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)


def test_equal_seeds_give_bit_equal_rollouts_and_others_do_not(env_id: str) -> None:
    for a, b in zip(rollout(env_id, 3), rollout(env_id, 3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(rollout(env_id, 3, 1)[0], rollout(env_id, 4, 1)[0])


def test_a_used_environment_repeats_a_new_one(env_id: str) -> None:
    env = gymnasium.make(env_id, disable_env_checker=True)
    env.reset(seed=9)
    for action in actions(env, 5, 9):
        env.step(action)
    first, _ = env.reset(seed=3)
    np.testing.assert_array_equal(first, rollout(env_id, 3, 0)[0])
    np.testing.assert_array_equal(env.step(actions(env, 1, 3)[0])[0], rollout(env_id, 3, 1)[2])


def test_costs_are_named_at_reset_and_sum_up_in_every_step(env_id: str) -> None:
    env = gymnasium.make(env_id)
    _, info = env.reset(seed=0)
    assert info["cost"] == 0.0
    names = set(info["cost_terms"])
    assert names
    assert set(info["cost_terms"].values()) == {0.0}
    for action in actions(env, 20, 0):
        _, reward, terminated, truncated, info = env.step(action)
        assert set(info["cost_terms"]) == names
        assert all(isinstance(term, float) and term >= 0.0 for term in info["cost_terms"].values())
        assert info["cost"] == pytest.approx(sum(info["cost_terms"].values()))
        assert isinstance(info["cost"], float)
        assert isinstance(reward, float)
        assert not truncated
        if terminated:
            env.reset()


def test_contacts_begin_at_the_margin_of_the_model(env_id: str) -> None:
    """At the margin that all its geoms have, not at twice that, as when two margins add up."""
    env: Any = gymnasium.make(env_id, disable_env_checker=True).unwrapped
    model = mujoco.MjModel.from_xml_path(env.fullpath)
    (margin,) = set(model.geom_margin.tolist())
    env.reset(seed=0)
    farthest = []
    for action in actions(env, 400, 0):
        _, _, terminated, _, _ = env.step(action)
        farthest += [float(env.data.contact.dist.max())] if env.data.ncon else []
        if terminated:
            env.reset()
    assert max(farthest, default=0.0) <= margin
    if farthest and margin and "Pusher" not in env_id:  # whose object is never above the table
        assert max(farthest) > 0.5 * margin


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_not_finite_is_refused_before_anything_moves(env_id: str, bad: float) -> None:
    env = gymnasium.make(env_id, disable_env_checker=True)
    env.reset(seed=0)
    action = actions(env, 1, 0)[0]
    action[-1] = bad
    before = env.unwrapped.state_vector()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=rf"(?s)action is .*{bad}.*must be finite"):
        env.step(action)
    np.testing.assert_array_equal(env.unwrapped.state_vector(), before)  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_huge_finite_action_is_stepped(env_id: str) -> None:
    env = gymnasium.make(env_id, disable_env_checker=True)
    env.reset(seed=0)
    obs = env.step(np.full(env.action_space.shape or (), 1e30, np.float32))[0]  # its square overflows float32
    assert np.isfinite(obs).all()


def test_two_of_them_run_as_a_vector(env_id: str) -> None:
    envs = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="sync")
    _, info = envs.reset(seed=1)
    assert info["cost"].shape == (2,)
    _, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
    assert reward.shape == terminated.shape == truncated.shape == info["cost"].shape == (2,)
    terms = [values for name, values in info["cost_terms"].items() if not name.startswith("_")]
    np.testing.assert_allclose(sum(terms), info["cost"])
    envs.close()


def test_a_copy_by_pickle_is_the_same_task(env_id: str) -> None:
    env = gymnasium.make(env_id).unwrapped
    copy = pickle.loads(pickle.dumps(env))
    assert type(copy) is type(env)
    assert copy.observation_space == env.observation_space


def test_importing_sim_brings_no_gymnasium() -> None:
    program = "import sys, sim; sys.exit('gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
