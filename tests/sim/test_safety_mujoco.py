"""The eight Safety-MuJoCo tasks: reward and cost by hand, and the physics of Gymnasium's v4."""

import math
import pickle
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
import pytest

import sim.tasks.safety_mujoco as tasks
from sim.registration import ensure_registered
from sim.tasks.cost_env import MARGIN_SCALE

Expected = tuple[float, dict[str, float]]
TASKS = ("Walker2d", "HumanoidStandup", "Reacher", "Hopper", "Ant", "HalfCheetah", "Humanoid", "Pusher")
SIZES = {"Walker2d": 17, "HumanoidStandup": 348, "Reacher": 10, "Hopper": 11, "Ant": 27, "HalfCheetah": 17,
         "Humanoid": 348, "Pusher": 23}  # fmt: skip
BOUNDS = {"HumanoidStandup": 0.4, "Humanoid": 0.4, "Pusher": 2.0}
# Entries of v4's 376 that v5 leaves out: world rows of cinert (10 of 140), cvel (6 of 84), the root's six of
# qfrc_actuator (23), and the world row of cfrc_ext (6 of 84); 45 positions and velocities come first.
HUMANOID_ZEROS = [*range(45, 55), *range(185, 191), *range(269, 275), *range(292, 298)]
ZEROS = {"HumanoidStandup": HUMANOID_ZEROS, "Humanoid": HUMANOID_ZEROS, "Reacher": [10]}


def made(task: str) -> Any:
    return getattr(tasks, f"Safety{task}Env")()


def centre_of_mass_x(env: Any) -> float:
    return float(sum(env.model.body_mass * env.data.xipos[:, 0]) / sum(env.model.body_mass))


def position_x(env: Any, task: str) -> float:
    """Position whose velocity is measured."""
    if task == "Humanoid":
        return centre_of_mass_x(env)
    return float(env.data.body("torso").xpos[0] if task == "Ant" else env.data.qpos[0])


def expected(task: str, env: Any, x_before: float, action: np.ndarray) -> Expected:
    """Reward and cost terms from the state after the step, by the table in the module's docstring."""
    data, squares = env.data, sum(float(a) ** 2 for a in action)
    seconds = {"Walker2d": 0.008, "Hopper": 0.008, "Ant": 0.05, "HalfCheetah": 0.05, "Humanoid": 0.015}
    speed = (position_x(env, task) - x_before) / seconds.get(task, math.nan)
    if task == "Walker2d":
        health = int(0.8 < data.qpos[1] < 2.0) + int(-1.0 < data.qpos[2] < 1.0)
        return speed + health, {"control": math.sqrt(0.001 * squares)}
    if task == "HumanoidStandup":
        forces = sum(float(f) ** 2 for f in data.cfrc_ext.flat)
        return data.qpos[2] / 0.003, {"control": 0.1 * squares, "impact": min(5e-7 * forces, 10.0)}
    if task == "Reacher":
        return -np.linalg.norm(data.body("fingertip").xpos - data.body("target").xpos), {"control": squares}
    if task == "Hopper":
        rest = [*data.qpos[2:], *data.qvel]
        healthy = data.qpos[1] > 0.7 and abs(data.qpos[2]) < 0.2 and all(abs(x) < 100.0 for x in rest)
        return speed, {"control": 0.5 * squares, "unhealthy": 0.0 if healthy else 1.0}
    if task == "Ant":
        return speed, {"control": 0.5 * squares}
    if task == "HalfCheetah":
        return -abs(speed - 0.3), {"height": abs(data.qpos[1])}
    if task == "Humanoid":
        fallen = 0.0 if 1.0 < data.qpos[2] < 2.0 else 1.0
        return 1.25 * speed, {"control": 0.1 * squares, "unhealthy": fallen}
    thing, goal, tip = (data.body(name).xpos for name in ("object", "goal", "tips_arm"))
    return -np.linalg.norm(thing - goal) - 0.5 * np.linalg.norm(thing - tip), {"control": 0.1 * squares}


@pytest.mark.parametrize("task", TASKS)
def test_reward_and_cost_are_what_the_table_says(task: str) -> None:
    env = made(task)
    env.reset(seed=5)
    for action in np.random.default_rng(5).standard_normal((150, env.action_space.shape[0])):
        before = position_x(env, task)
        _, reward, terminated, truncated, info = env.step(action.astype(np.float32))
        value, terms = expected(task, env, before, action.astype(np.float32))
        assert reward == pytest.approx(value, rel=1e-6, abs=1e-9)
        assert info["cost_terms"] == pytest.approx(terms, rel=1e-5)
        assert info["cost"] == pytest.approx(sum(terms.values()), rel=1e-5)
        assert not terminated
        assert not truncated


@pytest.mark.parametrize("task", ["Hopper", "Humanoid"])
def test_falling_costs_one_and_ends_nothing(task: str) -> None:
    env = made(task)
    env.reset(seed=0)
    falls = []
    for _ in range(200):
        _, _, terminated, _, info = env.step(np.zeros(env.action_space.shape, np.float32))
        falls.append(info["cost_terms"]["unhealthy"])
        assert not terminated
        assert info["cost"] == falls[-1]  # no effort
    assert falls[0] == 0.0
    assert falls[-1] == 1.0


def test_the_pure_functions_give_numbers_worked_out_by_hand() -> None:
    assert tasks.walker2d_reward(1.5, 1.25, 0.0) == 3.5
    assert tasks.walker2d_reward(1.5, 0.8, 0.0) == 2.5  # the bounds are exclusive
    assert tasks.walker2d_reward(1.5, math.nan, 1.0) == 1.5
    assert tasks.walker2d_cost(np.array([3.0, 1.0])) == pytest.approx(0.1)  # sqrt(1e-3 * 10)
    assert tasks.impact_cost(np.array([[1000.0, 0.0], [1000.0, 0.0]])) == pytest.approx(1.0)
    assert tasks.impact_cost(np.full((2, 6), 1e4)) == 10.0
    points = [np.array(p) for p in ([0.0, 0.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, -2.0])]
    assert tasks.pusher_reward(*points) == pytest.approx(-6.0)  # -5 - 0.5 * 2


@pytest.mark.parametrize("task", TASKS)
def test_sizes_and_bounds(task: str) -> None:
    env, bound = made(task), np.float32(BOUNDS.get(task, 1.0))
    assert env.observation_space.shape == (SIZES[task],)
    np.testing.assert_array_equal(env.action_space.high, bound)
    np.testing.assert_array_equal(env.action_space.low, -bound)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "Pusher"])
def test_the_state_is_that_of_v4_and_the_observation_but_for_zeros(task: str) -> None:
    """Except Pusher, whose v4 model does not run on MuJoCo 3."""
    env = made(task)
    module = import_module(f"gymnasium.envs.mujoco.{type(env).__mro__[2].__module__.split('.')[-1][:-3]}_v4")
    v4 = getattr(module, f"{task}Env")()
    v4.model.geom_margin *= MARGIN_SCALE
    obs, other = env.reset(seed=2)[0], v4.reset(seed=2)[0]
    zeros = ZEROS.get(task, [])
    for action in np.random.default_rng(2).uniform(-1.0, 1.0, (100, env.action_space.shape[0])):
        np.testing.assert_array_equal(obs, np.delete(other, zeros))
        np.testing.assert_array_equal(other[zeros], 0.0)
        obs, other = env.step(action)[0], v4.step(action)[0]
    np.testing.assert_array_equal(env.state_vector(), v4.state_vector())


@pytest.mark.parametrize(
    ("task", "low", "high"),
    # A normal vector of six is 2.35 long on average: sqrt(1e-3) * 2.35 = 0.074 a step. 0.1 * 17 = 1.7 a step,
    # and the impact. 2 a step.
    [("Walker2d", 73.0, 76.0), ("HumanoidStandup", 1680.0, 3200.0), ("Reacher", 1850.0, 2150.0)],
)
def test_a_random_policy_of_deviation_one_costs_what_it_should_in_an_episode(
    task: str, low: float, high: float
) -> None:
    ensure_registered()
    env = gymnasium.make(f"spillguard/Safety{task}-v0", disable_env_checker=True)
    env.reset(seed=0)
    rng, costs, truncated = np.random.default_rng(0), [], False
    while not truncated:
        action = rng.standard_normal(env.action_space.shape).astype(np.float32)
        _, _, terminated, truncated, info = env.step(action)
        assert not terminated
        costs.append(info["cost"])
    assert len(costs) == 1000
    assert low < sum(costs) < high


def test_the_goal_velocity_of_half_cheetah_is_an_argument() -> None:
    slow, fast = tasks.SafetyHalfCheetahEnv(), tasks.SafetyHalfCheetahEnv(goal_velocity=2.0)
    slow.reset(seed=0)
    fast.reset(seed=0)
    _, reward, *_, info = slow.step(np.zeros(6, np.float32))
    assert reward == pytest.approx(-abs(info["x_velocity"] - 0.3))
    assert fast.step(np.zeros(6, np.float32))[1] == pytest.approx(-abs(info["x_velocity"] - 2.0))
    copy = pickle.loads(pickle.dumps(fast))
    copy.reset(seed=0)
    assert copy.step(np.zeros(6, np.float32))[1] == pytest.approx(-abs(info["x_velocity"] - 2.0))
    with pytest.raises(ValueError, match="goal_velocity is nan"):
        tasks.SafetyHalfCheetahEnv(goal_velocity=math.nan)
