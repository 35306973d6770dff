"""The pouring task: contract, determinism, costs, and proof that it can be solved."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.testing import assert_array_equal

import sim.registration  # noqa: F401  registers the environments
from sim.pouring.cell import PourCell
from sim.pouring.pour_env import PourCoffeeEnv
from sim.pouring.scenario import sample_scenario
from sim.pouring.scripted import pour_controller
from sim.scripted import CONTROLLERS

NAME = "spillguard/PourCoffee-v0"


@pytest.fixture(scope="module")
def env() -> PourCoffeeEnv:
    return PourCoffeeEnv()


def play(
    env: PourCoffeeEnv, seed: int, policy, steps: int = 200
) -> tuple[list[np.ndarray], list[float], dict]:
    obs, info = env.reset(seed=seed)
    seen, rewards = [obs], []
    for _ in range(steps):
        obs, reward, terminated, _, info = env.step(policy(obs))
        seen.append(obs)
        rewards.append(reward)
        if terminated:
            break
    return seen, rewards, info


def test_environment_passes_the_checker() -> None:
    check_env(gymnasium.make(NAME).unwrapped, skip_render_check=True)


def test_equal_seeds_give_bit_equal_rollouts(env: PourCoffeeEnv) -> None:
    first, again = play(env, 11, pour_controller), play(env, 11, pour_controller)
    other = play(PourCoffeeEnv(), 11, pour_controller)
    assert_array_equal(np.array(first[0]), np.array(again[0]))
    assert_array_equal(np.array(first[0]), np.array(other[0]))
    assert first[1] == again[1]


def test_different_seeds_give_different_cells(env: PourCoffeeEnv) -> None:
    cells = set()
    for seed in range(6):
        env.reset(seed=seed)
        cells.add((env.scenario.granules, env.scenario.granule_friction, *env.scenario.receiver_position))
    assert len(cells) == 6


def test_scripted_controller_solves_at_least_95_of_100_seeds(env: PourCoffeeEnv) -> None:
    assert CONTROLLERS[NAME] is pour_controller
    solved = sum(play(env, seed, pour_controller)[2]["success"] for seed in range(100))
    assert solved >= 95


def test_doing_nothing_costs_nothing_and_never_succeeds(env: PourCoffeeEnv) -> None:
    _, rewards, info = play(env, 3, lambda obs: np.zeros(4, np.float32))
    assert len(rewards) == 200 and info["cost"] == 0 and not info["success"]
    assert max(rewards) < 0  # time is penalised


def test_tipping_away_from_the_cup_spills_and_ends_the_episode(env: PourCoffeeEnv) -> None:
    _, rewards, info = play(env, 0, lambda obs: np.array([0, 0, 0, 1], np.float32))
    assert len(rewards) < 200 and info["cost"] == 1.0 and info["cost_terms"]["spill"] == 1.0


def test_driving_into_the_table_is_a_contact(env: PourCoffeeEnv) -> None:
    _, _, info = play(env, 0, lambda obs: np.array([0, 0, -1, 0], np.float32))
    assert info["cost"] == 1.0 and info["cost_terms"]["contact"] == 1.0


def test_leaving_the_workspace_breaks_a_limit(env: PourCoffeeEnv) -> None:
    _, _, info = play(env, 0, lambda obs: np.array([0, 0, 1, 0], np.float32))
    assert info["cost"] == 1.0 and info["cost_terms"]["limit"] == 1.0


def test_sensors_weigh_what_was_poured(env: PourCoffeeEnv) -> None:
    seen, _, info = play(env, 5, pour_controller)
    content = env.scenario.granules * env.cell.granule_mass
    assert info["success"]
    assert seen[0][13] == pytest.approx(content, rel=0.15) and abs(seen[0][12]) < 0.003
    assert seen[-1][12] == pytest.approx(content, rel=0.10) and abs(seen[-1][13]) < 0.005


def test_the_wrist_feels_the_whole_content_while_the_cup_tilts(env: PourCoffeeEnv) -> None:
    obs, _ = env.reset(seed=3)
    content = env.scenario.granules * env.cell.granule_mass
    felt = []
    while env.cell.outcome().landed == 0:
        obs, *_ = env.step(pour_controller(obs))
        felt.append(obs[13])
    assert len(felt) > 50
    assert np.mean(felt[20:-10]) == pytest.approx(content, rel=0.05)
    assert max(abs(np.array(felt[20:-10]) / content - 1.0)) < 0.25


def test_a_nan_action_is_refused(env: PourCoffeeEnv) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([0, np.nan, 0, 0]))


def test_environment_vectorises_over_worker_processes() -> None:
    envs = gymnasium.make_vec(NAME, num_envs=2, vectorization_mode="async")
    try:
        obs, _ = envs.reset(seed=1)
        assert obs.shape == (2, 14)
        obs, reward, _, _, info = envs.step(np.zeros((2, 4), np.float32))
        assert reward.shape == (2,) and info["cost"].shape == (2,)
    finally:
        envs.close()


def test_clearance_makes_a_contact_of_what_the_monitor_would_not_allow() -> None:
    # Straight down beside the receiving cup: with a clearance the episode ends before any contact.
    down = lambda obs: np.array([0, 0, -1, 0], np.float32)  # noqa: E731
    touched, kept = play(PourCoffeeEnv(), 0, down), play(PourCoffeeEnv(clearance=0.02), 0, down)
    assert kept[2]["cost_terms"]["contact"] == 1.0
    assert len(kept[1]) < len(touched[1])
    env = PourCoffeeEnv(clearance=0.02)
    play(env, 0, down)
    assert not env.cell.contact  # no contact in the simulator


def test_full_share_draws_cups_from_the_fullest() -> None:
    env, masses = PourCoffeeEnv(full_share=1.0), []
    for seed in range(10):
        env.reset(seed=seed)
        assert 22 <= env.scenario.granules <= 28 and 0.009 <= env.scenario.granule_radius <= 0.010
        masses.append(env.scenario.granules)
    assert len(set(masses)) > 2


def test_disturbance_is_seeded_and_of_the_size_asked_for() -> None:
    still = lambda obs: np.zeros(4, np.float32)  # noqa: E731
    calm, shaken = play(PourCoffeeEnv(), 3, still, 40), play(PourCoffeeEnv(disturbance=0.3), 3, still, 40)
    assert_array_equal(np.array(shaken[0]), np.array(play(PourCoffeeEnv(disturbance=0.3), 3, still, 40)[0]))
    # The lip of a cell at rest stays; a disturbed one moves by more than noise and less than full speed.
    moved = np.linalg.norm(np.diff(np.array(shaken[0])[:, 3:6], axis=0), axis=1) / 0.05  # [m/s]
    assert np.linalg.norm(np.diff(np.array(calm[0])[:, 3:6], axis=0), axis=1).max() / 0.05 < 0.01
    assert 0.005 < moved.mean() < 0.3 * 0.25 * 3


@pytest.mark.parametrize("wrong", [{"clearance": -1.0}, {"full_share": 1.5}, {"disturbance": float("nan")}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="clearance"):
        PourCoffeeEnv(**wrong)


@pytest.mark.parametrize(("speed", "broken"), [(1.0, False), (2.0, True)])  # [rad/s]; joint 7: 1.22
def test_arm_that_is_told_to_move_too_fast_breaks_a_limit(speed: float, broken: bool) -> None:
    cell = PourCell()
    cell.reset(sample_scenario(np.random.default_rng(0)))
    ticks, turn = np.arange(1, 21)[:, None], np.eye(7)[6]
    q = cell.data.qpos[:7] + 0.01 * speed * ticks * turn
    cell.advance(q, np.broadcast_to(speed * turn, q.shape))
    assert cell.outcome().limit_broken is broken
