"""Experience collection: noise, shaping, prior episodes, and whose episodes count."""

from pathlib import Path

import numpy as np
import pytest

from policy_training.experience.episodes import make_env
from policy_training.experience.replay import Memory
from policy_training.loops.collect import Collector, CorrelatedNoise, episode_seed, record_prior, shaped
from policy_training.loops.off_policy import Trainer
from policy_training.runs.presets import NAV2D
from sim.scripted import CONTROLLERS
from sim.tasks.nav2d import nav2d_controller, potential
from tests.training.loops.short_runs import small


def test_correlated_noise_is_standard_normal_and_correlated() -> None:
    noise = CorrelatedNoise((1, 2), 0.9, np.random.default_rng(0))
    x = np.concatenate([noise.next(np.zeros(1, dtype=bool)) for _ in range(40_000)])[:, 0]
    assert x.std() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(x[:-1], x[1:])[0, 1] == pytest.approx(0.9, abs=0.01)


def test_correlated_noise_forgets_at_a_new_episode() -> None:
    noise = CorrelatedNoise((1, 1), 0.99, np.random.default_rng(0))
    x = np.array([noise.next(np.ones(1, dtype=bool))[0, 0] for _ in range(5000)])
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.05


def test_prior_episodes_hold_the_controllers_successes_and_noisy_failures() -> None:
    config = small(prior_episodes=24, prior_noise=0.8)
    memory = Memory(10, 2, 0, config.memory, prior=24 * 60)
    figures = record_prior(config, memory)
    assert 0.25 <= figures["prior_success"] < 1.0
    assert memory.prior.size > 24 * 5
    assert memory.all.size == 0
    assert memory.initial.size == 24
    assert memory.violating.size == round(24 * figures["prior_violations"])


def test_an_environment_without_controller_is_refused_with_the_known_ones() -> None:
    config = small(env="Faulty-cost-v0", prior_episodes=1)
    with pytest.raises(ValueError, match="spillguard/PourCoffee-v0"):
        record_prior(config, Memory(1, 1, 0, config.memory, prior=10))
    assert NAV2D in CONTROLLERS


def test_a_time_limit_is_remembered_as_not_terminal() -> None:
    config = small(steps=70)
    trainer = Trainer(config, Path("unused"))
    trainer.collector.begin()
    still = np.zeros((1, 2), dtype=np.float32)
    for _ in range(60):
        trainer.pool.send(still, [9])
        trainer.collector.action = still
        step = trainer.collector.receive()
    assert step.truncated[0]
    assert trainer.memory.all.rows[:60, -1].max() == 0.0
    trainer.close()


def test_only_the_policys_own_episodes_are_measured() -> None:
    config = small(env="spillguard/OneStep-v0", envs=1)
    trainer = Trainer(config, Path("unused"))
    trainer.collector.begin()
    for actor in (None, None, trainer.algorithm.actor, trainer.algorithm.actor, None):
        trainer.collector.send(actor)
        trainer.collector.receive()
    assert trainer.collector.totals["episodes"] == 5
    outcomes = trainer.memory.new_outcomes()
    assert len(outcomes) == 2 and all(outcome.success for outcome in outcomes)
    assert trainer.memory.new_outcomes() == []
    trainer.close()


def test_an_episode_that_began_at_random_is_not_the_policys() -> None:
    trainer = Trainer(small(envs=1), Path("unused"))
    trainer.collector.begin()
    trainer.collector.send(None)
    trainer.collector.receive()
    while not trainer.collector.totals["episodes"]:
        trainer.collector.send(trainer.algorithm.actor)
        trainer.collector.receive()
    assert trainer.memory.new_outcomes() == []
    trainer.close()


def test_an_episode_that_does_not_replay_makes_way_for_a_new_one(caplog: pytest.LogCaptureFixture) -> None:
    config = small()
    trainer = Trainer(config, Path("unused"))
    trainer.collector.begin()
    trainer.collector.send(None)
    trainer.collector.receive()
    state = trainer.collector.state_dict()
    state["obs"] = state["obs"] + 1e-6
    other = Collector(config, trainer.pool, trainer.memory)
    other.load_state_dict(state)
    other.begin()
    assert "did not replay" in caplog.text
    fresh = make_env(NAV2D).reset(seed=episode_seed(config.seed, 0, 1))[0]
    np.testing.assert_array_equal(other.obs[0], fresh)
    trainer.close()


def test_shaping_keeps_the_return_of_a_whole_episode() -> None:
    # the sum of gamma^t (gamma Phi(s_t+1) - Phi(s_t)) telescopes to -Phi(s_0), as Phi is 0 at the end
    gamma, env, phi = 0.9, make_env(NAV2D), potential
    obs, _ = env.reset(seed=4)
    first, plain, with_shaping, discount, ended = phi(obs), 0.0, 0.0, 1.0, False
    while not ended:
        next_obs, reward, ended, _, _ = env.step(nav2d_controller(obs))
        rows = (np.array([x], dtype=np.float32) for x in (reward, obs, next_obs, float(ended)))
        plain += discount * float(reward)
        with_shaping += discount * float(shaped(*rows, weight=1.0, gamma=gamma, phi=phi)[0])
        obs, discount = next_obs, discount * gamma
    assert with_shaping - plain == pytest.approx(-float(first), abs=1e-4)
