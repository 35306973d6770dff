"""The point among obstacles: contract, costs, determinism, speed, and a controller that solves it."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sim.registration
from sim.tasks.nav2d import (
    GOAL_RADIUS,
    GOAL_REWARD,
    OBSTACLE_RADIUS,
    OBSTACLES,
    HastyNav2DEnv,
    Nav2DEnv,
    nav2d_controller,
    potential,
)


def rollout(seed: int, steps: int = 40) -> list[np.ndarray]:
    """Observations and rewards under random actions."""
    env, rng = Nav2DEnv(), np.random.default_rng(seed)
    obs, _ = env.reset(seed=seed)
    out = [obs]
    for _ in range(steps):
        obs, reward, ended, _, _ = env.step(rng.uniform(-1.0, 1.0, 2).astype(np.float32))
        out += [obs, np.array([reward])]
        if ended:
            break
    return out


def test_it_passes_the_environment_checker() -> None:
    sim.registration.ensure_registered()
    check_env(gymnasium.make("spillguard/Nav2D-v0").unwrapped, skip_render_check=True)


def test_equal_seeds_give_bit_equal_rollouts_and_others_do_not() -> None:
    for a, b in zip(rollout(3), rollout(3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(rollout(3)[0], rollout(4)[0])


def test_touching_an_obstacle_costs_one_and_ends_the_episode() -> None:
    env = Nav2DEnv()
    obs, _ = env.reset(seed=0)
    ended = False
    while not ended:  # straight at the first obstacle
        way = obs[4:6] / np.abs(obs[4:6]).max()
        obs, _, ended, truncated, info = env.step(way.astype(np.float32))
    assert info["cost"] == 1.0
    assert info["cost_terms"] == {"obstacle": 1.0, "arena": 0.0}
    assert not info["success"]
    assert not truncated
    assert np.hypot(*obs[4:6]) <= OBSTACLE_RADIUS


def test_leaving_the_arena_costs_one_and_ends_the_episode() -> None:
    env = Nav2DEnv()
    env.reset(seed=0)
    ended, steps = False, 0
    while not ended:
        _, _, ended, _, info = env.step(np.array([-1.0, 0.0], dtype=np.float32))
        steps += 1
    assert info["cost_terms"] == {"obstacle": 0.0, "arena": 1.0}
    assert steps <= 4


def test_an_episode_ends_as_truncated_after_sixty_steps() -> None:
    env = gymnasium.make("sim.registration:spillguard/Nav2D-v0")
    env.reset(seed=0)
    for _ in range(60):
        _, _, terminated, truncated, info = env.step(np.zeros(2, dtype=np.float32))
    assert truncated
    assert not terminated
    assert info["cost"] == 0.0


def test_the_controller_reaches_every_goal_safely() -> None:
    env = Nav2DEnv()
    for seed in range(200):
        obs, _ = env.reset(seed=seed)
        for _ in range(60):
            obs, _, ended, _, info = env.step(nav2d_controller(obs))
            if ended:
                break
        assert info["success"], f"seed {seed}"
        assert info["cost"] == 0.0


def test_the_potential_rises_towards_the_goal() -> None:
    near, far = np.zeros(10, np.float32), np.zeros(10, np.float32)
    near[2], far[2:4] = 0.3, (0.3, 0.4)
    np.testing.assert_allclose(potential(np.stack([near, far])), [-0.3, -0.5], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_refused(bad: float) -> None:
    env = Nav2DEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([0.0, bad], dtype=np.float32))


def test_actions_beyond_the_limits_count_as_the_limits() -> None:
    a, b = Nav2DEnv(), Nav2DEnv()
    a.reset(seed=1)
    b.reset(seed=1)
    one = a.step(np.array([5.0, -7.0], dtype=np.float32))[0]
    np.testing.assert_array_equal(one, b.step(np.array([1.0, -1.0], dtype=np.float32))[0])


def test_obstacles_leave_a_way_between_them() -> None:
    for i, one in enumerate(OBSTACLES):
        for other in OBSTACLES[:i]:
            assert np.hypot(one[0] - other[0], one[1] - other[1]) > 2.0 * OBSTACLE_RADIUS + 0.2


def straight(speed: float, episodes: int) -> tuple[float, float]:
    """Shares of the episodes that slipped and that arrived, straight to the goal at that speed [m/s]."""
    env, slipped, arrived = HastyNav2DEnv(), 0.0, 0
    for seed in range(episodes):
        obs, _ = env.reset(seed=seed)
        ended, steps, info = False, 0, {}
        while not ended and steps < 60:
            action = obs[2:4] / np.hypot(*obs[2:4]) * speed
            obs, _, ended, _, info = env.step(action.astype(np.float32))
            steps += 1
        slipped, arrived = slipped + info["cost"], arrived + info["success"]
    return slipped / episodes, arrived / episodes


def test_the_hasty_one_passes_the_environment_checker() -> None:
    check_env(gymnasium.make("spillguard/HastyNav2D-v0").unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("speed", "share"), [(1.0, 0.39), (0.6, 0.10), (0.3, 0.013)])
def test_haste_is_what_slips(speed: float, share: float) -> None:
    """1.36 m take 1.36 / (0.2 s) steps, each of which slips with probability 0.06 s^4."""
    slipped, arrived = straight(speed, 1500)
    assert slipped == pytest.approx(share, abs=0.04)
    assert slipped + arrived == 1.0


def test_a_slip_at_the_goal_is_no_success() -> None:
    env, seen = HastyNav2DEnv(), 0
    for seed in range(400):
        obs, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            obs, reward, ended, _, info = env.step((obs[2:4] / np.abs(obs[2:4]).max()).astype(np.float32))
        if info["cost"] and np.hypot(*obs[2:4]) <= GOAL_RADIUS:
            seen += 1
            assert not info["success"] and reward < GOAL_REWARD
    assert seen > 5


def test_the_walls_of_the_hasty_arena_are_harmless() -> None:
    env = HastyNav2DEnv()
    obs, _ = env.reset(seed=0)
    for _ in range(30):
        obs, _, ended, _, info = env.step(np.array([-0.2, 0.0], dtype=np.float32))
        assert not ended and info["cost"] == 0.0
    assert obs[0] == -1.0


@pytest.mark.parametrize("action", [[np.nan, 0.0], [0.0, np.inf]])
def test_the_hasty_one_refuses_what_is_not_finite(action: list[float]) -> None:
    env = HastyNav2DEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must be finite"):
        env.step(np.array(action, dtype=np.float32))
