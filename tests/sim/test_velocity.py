"""The six velocity tasks: cost by hand, thresholds, and rewards bit-equal to Gymnasium's v4."""

import math
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import sim.tasks.velocity as tasks
from sim.tasks.cost_env import MARGIN_SCALE
from sim.tasks.velocity import velocity_cost

THRESHOLDS = {"Hopper": 0.7402, "Walker2d": 2.3415, "Ant": 2.6222, "HalfCheetah": 3.2096, "Swimmer": 0.2282,
              "Humanoid": 1.4149}  # fmt: skip
SECONDS = {"Hopper": 0.008, "Walker2d": 0.008, "Ant": 0.05, "HalfCheetah": 0.05, "Swimmer": 0.04,
           "Humanoid": 0.015}  # fmt: skip
SIZES = {"Hopper": 11, "Walker2d": 17, "Ant": 27, "HalfCheetah": 17, "Swimmer": 8, "Humanoid": 348}
# The same 28 as in test_safety_mujoco.py.
ZEROS = {"Humanoid": [*range(45, 55), *range(185, 191), *range(269, 275), *range(292, 298)]}
TASKS = list(THRESHOLDS)


def made(task: str) -> Any:
    return getattr(tasks, f"Safety{task}VelocityEnv")()


def v4(task: str) -> Any:
    name = {"HalfCheetah": "half_cheetah"}.get(task, task.lower())
    env = getattr(import_module(f"gymnasium.envs.mujoco.{name}_v4"), f"{task}Env")()
    env.model.geom_margin *= MARGIN_SCALE
    return env


def place(env: Any, task: str) -> np.ndarray:
    """Position (2,) [m] whose displacement is compared."""
    if task == "Humanoid":
        weighted = env.model.body_mass[:, None] * env.data.xipos
        return np.asarray(weighted.sum(axis=0)[:2] / env.model.body_mass.sum())
    if task == "Ant":
        return np.array(env.data.body("torso").xpos[:2])
    return np.array([env.data.qpos[0], 0.0])


def speed(env: Any, task: str, before: np.ndarray) -> float:
    vx, vy = (place(env, task) - before) / SECONDS[task]
    return math.hypot(vx, vy) if task in ("Ant", "Humanoid") else float(vx)


def moving(env: Any, vx: float, vy: float = 0.0) -> dict[str, Any]:
    """Info of a step with these root velocities at its start, without control."""
    env.reset(seed=0)
    velocity = env.data.qvel.copy()
    velocity[0], velocity[1] = vx, vy
    env.set_state(env.data.qpos.copy(), velocity)
    info: dict[str, Any] = env.step(np.zeros(env.action_space.shape, np.float32))[4]
    return info


@pytest.mark.parametrize("task", TASKS)
def test_a_step_costs_one_exactly_above_the_threshold(task: str) -> None:
    env = made(task)
    env.reset(seed=1)
    for action in np.random.default_rng(1).uniform(-1.0, 1.0, (60, env.action_space.shape[0])):
        before = place(env, task)
        _, _, terminated, _, info = env.step(action.astype(np.float32))
        assert info["cost"] == (1.0 if speed(env, task, before) > THRESHOLDS[task] else 0.0)
        assert info["cost_terms"] == {"velocity": info["cost"]}
        if terminated:
            env.reset()


@pytest.mark.parametrize("task", TASKS)
def test_the_velocity_itself_decides_to_the_last_bit(task: str) -> None:
    env = made(task)
    info = moving(env, 1.0, 0.5)
    planar = task in ("Ant", "Humanoid")
    velocity = math.hypot(info["x_velocity"], info["y_velocity"]) if planar else float(info["x_velocity"])
    env.threshold = velocity
    assert moving(env, 1.0, 0.5)["cost"] == 0.0
    env.threshold = math.nextafter(velocity, -math.inf)
    assert moving(env, 1.0, 0.5)["cost"] == 1.0


@pytest.mark.parametrize("task", TASKS)
def test_forward_above_the_threshold_costs_and_below_does_not(task: str) -> None:
    assert made(task).threshold == THRESHOLDS[task]
    fast, slow = (moving(made(task), factor * THRESHOLDS[task]) for factor in (3.0, 0.1))
    assert fast["x_velocity"] > THRESHOLDS[task]
    assert fast["cost"] == 1.0
    assert slow["cost"] == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_backwards_and_sideways_cost_only_where_the_ground_speed_is_compared(task: str) -> None:
    planar = task in ("Ant", "Humanoid")
    assert moving(made(task), -3.0 * THRESHOLDS[task])["cost"] == float(planar)
    if task in ("Ant", "Humanoid", "Swimmer"):  # the others move in a plane
        sideways = moving(made(task), 0.0, 3.0 * THRESHOLDS[task])
        assert abs(sideways["x_velocity"]) < THRESHOLDS[task] < sideways["y_velocity"]
        assert sideways["cost"] == float(planar)


def test_the_threshold_itself_is_free_and_no_number_is_not() -> None:
    assert velocity_cost(0.7402, 0.7402) == 0.0
    assert velocity_cost(math.nextafter(0.7402, 1.0), 0.7402) == 1.0
    assert velocity_cost(-9.0, 0.7402) == 0.0
    assert velocity_cost(math.nan, 0.7402) == 1.0


@pytest.mark.parametrize("task", TASKS)
def test_reward_observation_and_end_are_those_of_v4(task: str) -> None:
    """Bit-equal over 300 steps, including ends of episodes and actions outside the space."""
    env, other, zeros = made(task), v4(task), ZEROS.get(task, [])
    obs, theirs = env.reset(seed=2)[0], other.reset(seed=2)[0]
    ends = 0
    for action in np.random.default_rng(2).standard_normal((300, env.action_space.shape[0])):
        np.testing.assert_array_equal(obs, np.delete(theirs, zeros))
        control = 0.4 * action if task == "Humanoid" else action
        obs, reward, terminated, _, _ = env.step(action)
        theirs, their_reward, their_end, _, _ = other.step(control)
        assert reward == their_reward
        assert terminated == their_end
        if terminated:
            ends += 1
            obs, theirs = env.reset(seed=ends)[0], other.reset(seed=ends)[0]
    assert (ends > 0) == (task in ("Hopper", "Walker2d", "Ant", "Humanoid"))


@pytest.mark.parametrize("task", TASKS)
def test_sizes_and_bounds(task: str) -> None:
    env = made(task)
    assert env.observation_space.shape == (SIZES[task],)
    np.testing.assert_array_equal(env.action_space.high, np.float32(1.0))
    np.testing.assert_array_equal(env.action_space.low, np.float32(-1.0))


def test_humanoid_is_charged_for_the_control_and_not_for_the_action() -> None:
    env = made("Humanoid")
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.ones(17, np.float32))
    np.testing.assert_array_equal(env.data.ctrl, np.float32(0.4))
    assert info["reward_ctrl"] == pytest.approx(-0.1 * 17 * 0.4**2)
    assert reward == pytest.approx(1.25 * info["x_velocity"] + 5.0 - 0.1 * 17 * 0.4**2)
