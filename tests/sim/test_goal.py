"""The goal tasks: rules against hand computation, the peer's own record, determinism, contract."""

import itertools
import math
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.registration
from sim.tasks.goal_env import CarGoalEnv, GoalEnv, PointGoalEnv
from sim.tasks.goal_rules import (
    ARENA,
    GOAL_KEEPOUT,
    HAZARD_KEEPOUT,
    HAZARDS,
    KEEPOUTS,
    ROBOT_KEEPOUT,
    VASE_KEEPOUT,
    GoalLayout,
    draw_goal,
    draw_layout,
    draw_points,
    goal_reward,
    hazard_cost,
    lidar,
    seen_from,
)

ENVIRONMENTS = {"point": PointGoalEnv, "car": CarGoalEnv}
NAMES = {"point": "spillguard/SafetyPointGoal1-v0", "car": "spillguard/SafetyCarGoal1-v0"}
FAR = tuple((-1.4 + 0.1 * n, -1.4) for n in range(HAZARDS))  # hazards in a corner
REST = np.zeros(2, np.float32)

# Safety-Gymnasium 1.0.0 (gymnasium 0.28.1, mujoco 2.3.3), seed 0, driven by benchmarks/safety_gym_peer.py:
# states before each step, actions and results; the last state separately. Values only.
REFERENCE = Path(__file__).parents[1] / "data" / "goal_reference.npz"


@pytest.fixture(params=list(ENVIRONMENTS))
def robot(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def env(robot: str) -> GoalEnv:
    return ENVIRONMENTS[robot]()


@pytest.fixture
def record(robot: str) -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as arrays:
        return {name.removeprefix(f"{robot}_"): arrays[name] for name in arrays if name.startswith(robot)}


def layout(robot: tuple[float, float], goal: tuple[float, float], hazards: tuple = FAR) -> GoalLayout:
    return GoalLayout(robot, 0.0, goal, hazards, (1.3, 1.3), 0.0)


def test_equal_seeds_give_the_peers_layout(env: GoalEnv, record: dict[str, np.ndarray]) -> None:
    env.reset(seed=0)
    np.testing.assert_allclose(env.data.qpos, record["qpos"][0], atol=1e-12)
    obs = env.step(record["action"][0])[0]
    np.testing.assert_allclose(obs[-48:], record["obs"][0][-48:], atol=1e-6)


def test_one_step_from_the_peers_states_gives_its_states_and_answers(
    env: GoalEnv, record: dict[str, np.ndarray]
) -> None:
    env.reset(seed=0)
    after = np.vstack([record["qpos"][1:], record["end"]])
    for t, action in enumerate(record["action"]):
        env.set_state(record["qpos"][t], record["qvel"][t], record["goal"][t])
        env.data.qacc_warmstart[:] = record["warmstart"][t]
        obs, reward, terminated, truncated, info = env.step(action)
        np.testing.assert_allclose(env.data.qpos, after[t], atol=1e-9)
        np.testing.assert_allclose(obs, record["obs"][t], atol=1e-4)  # including a newly drawn goal
        assert abs(reward - record["reward"][t]) < 1e-9
        assert info["cost"] == record["cost"][t]
        assert info["goal_met"] == record["met"][t]
        assert not (terminated or truncated)
    assert record["met"].sum() == 1


def test_the_car_follows_the_peer_from_the_seed_alone(record: dict[str, np.ndarray]) -> None:
    with np.load(REFERENCE) as arrays:
        actions, end = arrays["car_action"], arrays["car_end"]
    env = CarGoalEnv()
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    np.testing.assert_allclose(env.data.qpos, end, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_everything_is_placed_inside_and_apart(seed: int) -> None:
    random = np.random.RandomState(seed)
    points = draw_points(random)
    for (a, keep_a), (b, keep_b) in itertools.combinations(zip(points, KEEPOUTS, strict=True), 2):
        assert math.dist(a, b) >= keep_a + keep_b
    found = draw_layout(random)
    things = [(found.robot, ROBOT_KEEPOUT), (found.vase, VASE_KEEPOUT)]
    things += [(hazard, HAZARD_KEEPOUT) for hazard in found.hazards]
    assert len(found.hazards) == HAZARDS
    for point, keepout in [*things, (found.goal, GOAL_KEEPOUT)]:
        assert max(abs(point[0]), abs(point[1])) <= ARENA - keepout
    for point, keepout in things:
        assert math.dist(found.goal, point) >= GOAL_KEEPOUT + keepout
    assert hazard_cost(np.array(found.robot), np.array(found.hazards)) == 0.0


def test_a_goal_that_fits_nowhere_is_none() -> None:
    grid = tuple((x, y) for x in np.arange(-1.4, 1.5, 0.4) for y in np.arange(-1.4, 1.5, 0.4))
    assert draw_goal(np.random.RandomState(0), (0.0, 0.0), grid, (0.0, 0.0)) is None


def test_an_episode_without_a_free_place_for_a_goal_terminates(monkeypatch: pytest.MonkeyPatch) -> None:
    env = PointGoalEnv()
    env.reset(seed=0, options={"layout": layout((0.0, 0.0), (0.2, 0.0))})
    monkeypatch.setattr("sim.tasks.goal_env.draw_goal", lambda *_: None)
    _, _, terminated, truncated, info = env.step(REST)
    assert terminated
    assert not truncated
    assert info["goal_met"]


@pytest.mark.parametrize("bad", [((0.0, 0.0),) * 3, (*FAR[1:], (math.nan, 0.0))])
def test_a_layout_with_missing_or_unknown_places_is_refused(bad: tuple) -> None:
    with pytest.raises(ValueError, match="8 hazards"):
        layout((0.0, 0.0), (1.0, 0.0), bad)


def test_the_lidar_by_hand() -> None:
    bin_width = 2.0 * math.pi / 16.0
    angle = 3.25 * bin_width  # a quarter into bin 3
    point = 1.2 * np.array([math.cos(angle), math.sin(angle)])
    expected = np.zeros(16)
    expected[[2, 3, 4]] = 0.6 * 0.75, 0.6, 0.6 * 0.25  # closeness 1 - 1.2 / 3
    np.testing.assert_allclose(lidar(point[None])[0], expected, atol=1e-12)


def test_the_lidar_wraps_around_and_fades_out() -> None:
    behind = 15.9 * 2.0 * math.pi / 16.0
    near, beyond = lidar(np.array([[math.cos(behind), math.sin(behind)], [-3.1, 0.0]]))
    np.testing.assert_allclose(near[[14, 15, 0]], np.array([0.1, 1.0, 0.9]) * 2.0 / 3.0, atol=1e-9)
    assert near[1:14].max() == 0.0
    assert beyond.max() == 0.0


def test_points_are_seen_in_the_robots_frame() -> None:
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # nose along +y
    seen = seen_from(np.array([[1.0, 3.0]]), np.array([1.0, 1.0, 0.1]), quarter)
    np.testing.assert_allclose(seen, [[2.0, 0.0]], atol=1e-12)


def test_reward_is_progress_and_one_on_arrival() -> None:
    assert goal_reward(1.0, 0.9) == pytest.approx(0.1)
    assert goal_reward(0.9, 1.0) == pytest.approx(-0.1)
    assert goal_reward(0.31, 0.3) == pytest.approx(1.01)
    assert goal_reward(50.0, 0.0) == 10.0


@pytest.mark.parametrize(("x", "cost"), [(0.0, 1.0), (0.199, 1.0), (0.201, 0.0)])
def test_the_middle_of_the_robot_inside_a_hazard_costs_one(env: GoalEnv, x: float, cost: float) -> None:
    two = ((0.0, 0.0), (0.0, 0.0), *FAR[2:])  # two in one place cost no more than one
    env.reset(seed=0, options={"layout": layout((x, 0.0), (1.2, 0.0), two)})
    _, _, _, _, info = env.step(REST)
    assert info["cost"] == cost
    assert info["cost_terms"] == {"hazards": cost, "exception": 0.0}


def test_a_reached_goal_moves_and_the_episode_goes_on(env: GoalEnv) -> None:
    env.reset(seed=0, options={"layout": layout((0.0, 0.0), (0.25, 0.0))})
    obs, reward, terminated, truncated, info = env.step(REST)
    assert info["goal_met"]
    assert not (terminated or truncated)
    assert reward == pytest.approx(1.0, abs=0.01)
    assert obs[-48:-32].max() < 1.0 - (0.4 + 0.305 - 0.02) / 3.0  # the new goal keeps its distance
    _, reward, _, _, info = env.step(REST)
    assert not info["goal_met"]
    assert abs(reward) < 0.05  # progress counts from the new goal


def test_the_vase_is_free_and_moves_when_pushed() -> None:
    env = PointGoalEnv()
    start = GoalLayout((0.0, 0.0), 0.0, (-1.2, 1.2), FAR, (0.35, 0.0), 0.0)
    env.reset(seed=0, options={"layout": start})
    cost = sum(env.step(np.array([1.0, 0.0], np.float32))[4]["cost"] for _ in range(60))
    assert cost == 0.0
    assert env.data.joint("vase").qpos[0] > 0.4


def test_it_passes_the_environment_checker(robot: str) -> None:
    sim.registration.ensure_registered()
    env = gymnasium.make(NAMES[robot])
    assert env.observation_space.shape == {"point": (60,), "car": (72,)}[robot]
    check_env(env.unwrapped, skip_render_check=True)


def rollout(env: GoalEnv, seed: int) -> list[np.ndarray]:
    obs, _ = env.reset(seed=seed)
    rng, out = np.random.default_rng(seed), [obs]
    for _ in range(40):
        obs, reward, *_ = env.step(rng.uniform(-1.0, 1.0, 2).astype(np.float32))
        out += [obs, np.array([reward])]
    return out


def test_equal_seeds_give_bit_equal_rollouts_also_after_other_episodes(env: GoalEnv) -> None:
    first = rollout(env, 3)
    other = rollout(env, 4)
    for again in (rollout(env, 3), rollout(type(env)(), 3)):
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])


def test_seeds_beyond_the_peers_range_are_told_apart(env: GoalEnv) -> None:
    one, two = (env.reset(seed=2**40 + n)[0] for n in (0, 1))
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, env.reset(seed=2**40)[0])


def test_resets_without_a_seed_go_on_with_the_stream(env: GoalEnv) -> None:
    def two_episodes() -> list[np.ndarray]:
        return [env.reset(seed=5)[0], env.reset()[0]]

    (a, b), (c, d) = two_episodes(), two_episodes()
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal([a, b], [c, d])


def test_a_reset_moves_things_in_the_same_compiled_model(env: GoalEnv) -> None:
    model, data = env.model, env.data
    env.reset(seed=1)
    before = env.model.site_pos.copy()
    env.reset(seed=2)
    assert env.model is model
    assert env.data is data
    assert not np.array_equal(before, env.model.site_pos)
    assert model.ntex == 0
    assert model.nmesh == 0


def test_an_episode_is_truncated_after_a_thousand_steps(robot: str) -> None:
    assert gymnasium.spec(NAMES[robot]).max_episode_steps == 1000


@pytest.mark.parametrize("bad", [[math.nan, 0.0], [0.0, math.inf], [0.0], 0.0])
def test_an_action_that_is_not_two_finite_numbers_is_refused(env: GoalEnv, bad: object) -> None:
    env.reset(seed=0)
    before = env.data.qpos.copy()
    with pytest.raises(ValueError, match=r"action is .*finite"):
        env.step(np.array(bad))
    np.testing.assert_array_equal(before, env.data.qpos)


def test_actions_beyond_the_limits_count_as_the_limits(env: GoalEnv) -> None:
    env.reset(seed=1)
    one = env.step(np.array([5.0, -7.0]))[0]
    env.reset(seed=1)
    np.testing.assert_array_equal(one, env.step(np.array([1.0, -1.0]))[0])


def test_a_step_before_the_first_reset_is_refused(env: GoalEnv) -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(REST)


def test_a_simulation_that_diverges_costs_one_and_truncates(env: GoalEnv) -> None:
    env.reset(seed=0)
    env.data.qvel[0] = 1e12
    obs, reward, terminated, truncated, info = env.step(REST)
    assert (reward, terminated, truncated) == (-10.0, False, True)
    assert info["cost"] == 1.0
    assert info["cost_terms"] == {"hazards": 0.0, "exception": 1.0}
    assert np.isfinite(obs).all()
    env.reset()
    assert not env.step(REST)[3]


def test_several_run_side_by_side(robot: str) -> None:
    envs = gymnasium.make_vec(NAMES[robot], num_envs=2, vectorization_mode="sync")
    obs, info = envs.reset(seed=[0, 1])
    assert not np.array_equal(obs[0], obs[1])
    obs, reward, _, _, info = envs.step(envs.action_space.sample())
    assert obs.shape == envs.observation_space.shape
    assert reward.shape == (2,)
    np.testing.assert_array_equal(info["cost"], [0.0, 0.0])
    envs.close()
