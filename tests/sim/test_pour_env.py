"""The pouring task: contract, determinism, costs, and proof that it can be solved."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.testing import assert_array_equal

import sim.registration  # noqa: F401  registers the environments
from sim.pouring.cell import PourCell, guard_world
from sim.pouring.deployed_config import uncritical_config
from sim.pouring.gen3 import GEN3_LIMITS
from sim.pouring.pour_env import PourCoffeeEnv
from sim.pouring.scenario import sample_scenario
from sim.pouring.scripted import pour_controller
from sim.scripted import CONTROLLERS
from spillguard_core.gate.decision import Decision, Measurement, Proposal
from spillguard_core.robot.world import Tolerance
from spillguard_core.tasks.pouring.observation import TARGET

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
        cells.add((env.scenario.domain, *env.scenario.receiver_position))
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
    content = env.scenario.domain.granules * env.cell.granule_mass
    assert info["success"]
    assert seen[0][13] == pytest.approx(content, rel=0.15) and abs(seen[0][12]) < 0.003
    assert seen[-1][12] == pytest.approx(content, rel=0.10) and abs(seen[-1][13]) < 0.005


def test_the_wrist_feels_the_whole_content_while_the_cup_tilts(env: PourCoffeeEnv) -> None:
    obs, _ = env.reset(seed=3)
    content = env.scenario.domain.granules * env.cell.granule_mass
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


def test_clearance_counts_from_where_the_arm_would_come_to_rest() -> None:
    env = PourCoffeeEnv(clearance=0.02)
    play(env, 0, lambda obs: np.array([0, 0, -1, 0], np.float32))
    seen, moving = env.cell.measure().sensed[TARGET], np.abs(env._qd).max()
    assert moving > 0.1 and guard_world(0.02).near([env._q], [seen]).least > 0.021


def test_full_share_draws_cups_from_the_fullest() -> None:
    env, masses = PourCoffeeEnv(full_share=1.0), []
    for seed in range(10):
        env.reset(seed=seed)
        assert (
            22 <= env.scenario.domain.granules <= 28 and 0.009 <= env.scenario.domain.granule_radius <= 0.010
        )
        masses.append(env.scenario.domain.granules)
    assert len(set(masses)) > 2


def test_disturbance_is_seeded_and_of_the_size_asked_for() -> None:
    still = lambda obs: np.zeros(4, np.float32)  # noqa: E731
    calm, shaken = play(PourCoffeeEnv(), 3, still, 40), play(PourCoffeeEnv(disturbance=0.3), 3, still, 40)
    assert_array_equal(np.array(shaken[0]), np.array(play(PourCoffeeEnv(disturbance=0.3), 3, still, 40)[0]))
    # The lip of a cell at rest stays; a disturbed one moves by more than noise and less than full speed.
    moved = np.linalg.norm(np.diff(np.array(shaken[0])[:, 3:6], axis=0), axis=1) / 0.05  # [m/s]
    assert np.linalg.norm(np.diff(np.array(calm[0])[:, 3:6], axis=0), axis=1).max() / 0.05 < 0.01
    assert 0.005 < moved.mean() < 0.3 * 0.25 * 3


def test_the_share_of_guarded_episodes_is_that_asked_for() -> None:
    for share, least, most in ((0.9, 22, 30), (0.1, 0, 8)):
        env = PourCoffeeEnv(domain="nominal", guarded_share=share)
        env.reset(seed=0)
        guarded = [env.reset() and env._guard is not None for _ in range(30)]
        assert least <= sum(guarded) <= most


def test_the_guard_hears_of_an_action_when_it_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the nominal 20 ms, and it is told when the measurement was made that it answers."""
    env, heard = PourCoffeeEnv(domain="nominal", guarded_share=1.0), []
    env.reset(seed=0)
    assert env._guard is not None
    decide = env._guard.decide

    def listened(tick: int, measured: Measurement, proposal: Proposal | None) -> Decision:
        heard.append(proposal)
        return decide(tick, measured, proposal)

    monkeypatch.setattr(env._guard, "decide", listened)
    for _ in range(2):
        env.step(np.zeros(4, np.float32))
    assert heard[:2] == [None, None]
    times = [(one.received, one.stamp) for one in heard[2:]]
    np.testing.assert_allclose(times, 5 * [(0.02, 0.0)] + 3 * [(0.07, 0.05)], atol=1e-9)


def test_the_guard_keeps_the_monitors_clearance() -> None:
    """Downwards for ever: it comes as close as 8 mm, which the monitor is deployed with, to where the target
    may stand."""
    env = PourCoffeeEnv(domain="nominal", guarded_share=1.0)
    play(env, 0, lambda obs: np.array([0, 0, -1, 0], np.float32), 60)
    config = uncritical_config()
    unsure = Tolerance(config.target_tolerance, config.target_height_tolerance)
    near = guard_world(0.05, unsure).near([env._q], [env.cell.measure().sensed[TARGET]])
    assert config.clearance == 0.008
    assert 0.008 - 1e-4 <= near.least < 0.013


def test_every_granule_is_paid_once(env: PourCoffeeEnv) -> None:
    obs, _ = env.reset(seed=5)
    total = effort = steps = 0.0
    ended = False
    while not ended:
        obs, reward, ended, _, info = env.step(pour_controller(obs))
        total, effort, steps = total + reward, effort + info["effort"], steps + 1
    landed = env.cell.outcome().landed / env.cell.outcome().total
    assert info["success"]
    assert total == pytest.approx(10.0 * landed + 10.0 - 0.02 * steps - effort)


def test_effort_is_that_of_acceleration_and_torque(env: PourCoffeeEnv) -> None:
    env.reset(seed=0)
    *_, info = env.step(np.array([0, 1, 0, 0], np.float32))
    acceleration = env._qd / (0.05 * GEN3_LIMITS.acceleration)  # from rest, in 50 ms
    torque = env.cell.torque_share()
    assert np.abs(acceleration).max() > 0.1
    assert info["effort"] == pytest.approx(0.02 * np.mean(acceleration**2) + 0.02 * np.mean(torque**2))


def test_where_the_monitor_keeps_the_clearance_coming_close_costs_nothing() -> None:
    """Downwards for ever, with a clearance that the gate does not keep: on its own the arm pays for it."""
    costs = []
    for share in (0.0, 1.0):
        env, info = PourCoffeeEnv(guarded_share=share, clearance=0.05), {}
        env.reset(seed=0)
        for _ in range(60):
            *_, ended, _, info = env.step(np.array([0.0, 0.0, -1.0, 0.0], dtype=np.float32))
            if ended:
                break
        costs.append(info["cost"])
    assert costs == [1.0, 0.0]


def test_acceleration_is_that_of_a_longer_step_where_the_policy_is_slower(tmp_path) -> None:
    (tmp_path / "slow.yaml").write_text("schema: 1\nquantities: {policy_rate: {value: 14}}\n")
    env = PourCoffeeEnv(domain=str(tmp_path / "slow.yaml"))
    env.reset(seed=0)
    *_, info = env.step(np.array([0, 1, 0, 0], np.float32))
    assert env._tick == 7
    acceleration = env._qd / (0.07 * GEN3_LIMITS.acceleration)  # from rest, in 70 ms
    torque = env.cell.torque_share()
    assert info["effort"] == pytest.approx(0.02 * np.mean(acceleration**2) + 0.02 * np.mean(torque**2))


def test_half_of_the_episodes_are_guarded_and_the_seed_says_which() -> None:
    """Downwards for ever: a guarded arm stops short of the receiving cup, an unguarded one touches it."""
    ends = []
    for seed in [*range(12), *range(12)]:
        env, info = PourCoffeeEnv(guarded_share=0.5), {}
        env.reset(seed=seed)
        for _ in range(60):
            *_, ended, _, info = env.step(np.array([0.0, 0.0, -1.0, 0.0], dtype=np.float32))
            if ended:
                break
        ends.append(info["cost_terms"]["contact"] > 0.0)
    assert 2 <= sum(ends[:12]) <= 10
    assert ends[:12] == ends[12:]


@pytest.mark.parametrize("wrong", [
    {"clearance": -1.0}, {"full_share": 1.5}, {"disturbance": float("nan")}, {"guarded_share": -0.1},
])  # fmt: skip
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must "):
        PourCoffeeEnv(**wrong)


@pytest.mark.parametrize(("speed", "broken"), [(1.0, False), (2.0, True)])  # [rad/s]; joint 7: 1.22
def test_arm_that_is_told_to_move_too_fast_breaks_a_limit(speed: float, broken: bool) -> None:
    cell = PourCell()
    cell.reset(sample_scenario(np.random.default_rng(0)))
    ticks, turn = np.arange(1, 21)[:, None], np.eye(7)[6]
    q = cell.data.qpos[:7] + 0.01 * speed * ticks * turn
    cell.advance(q, np.broadcast_to(speed * turn, q.shape))
    assert cell.outcome().limit_broken is broken
