"""The loop around an algorithm: experience, prior episodes, shaping, faults, validation, the run folder."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from policy_training.algorithms import ALGORITHMS, CONFIGS
from policy_training.checkpoint import load
from policy_training.evaluation.evaluate import run_seed
from policy_training.experience.environments import EnvironmentFaultError
from policy_training.experience.episodes import HELD_OUT_SEEDS, VALIDATION_SEEDS, make_env, run_episodes
from policy_training.experience.workers import EnvPool
from policy_training.loops.collect import episode_seed
from policy_training.loops.off_policy import train
from policy_training.runs.config import RunConfig
from policy_training.runs.folder import create_run
from policy_training.runs.presets import NAV2D, PRESETS
from policy_training.runs.trained import load_policy
from sim.tasks.nav2d import nav2d_controller
from tests.training.loops.short_runs import small


class Faulty(gymnasium.Env):
    """A line on which something is NaN from the tenth step on."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, what: str) -> None:
        self.what, self.count = what, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        bad = float("nan") if self.count >= 120 else 0.0
        reward, cost = (bad, 0.0) if self.what == "reward" else (0.0, bad)
        return np.zeros(1, np.float32), reward, False, self.count % 20 == 0, {"cost": cost, "success": False}


for kind in ("reward", "cost"):
    gymnasium.register(f"Faulty-{kind}-v0", Faulty, kwargs={"what": kind})


@pytest.mark.parametrize("what", ["reward", "cost"])
def test_a_number_that_is_not_finite_stops_the_run_and_leaves_the_checkpoint(
    what: str, tmp_path: Path
) -> None:
    config = small(env=f"Faulty-{what}-v0", eval_every=1000)
    run = create_run(config, tmp_path)
    with pytest.raises(EnvironmentFaultError, match=rf"Faulty-{what}-v0, step .* the {what} is nan"):
        train(config, run)
    assert load(run / "checkpoint.pt")["step"] == 100


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step_and_name(tmp_path: Path) -> None:
    config = small()
    config = replace(config, algorithm=replace(config.algorithm, critic_lr=1e38))
    with pytest.raises(FloatingPointError, match=r"step \d+: \w+ is (nan|inf)"):
        train(config, create_run(config, tmp_path))


def test_seeds_of_training_validation_and_test_do_not_meet() -> None:
    seeds = {episode_seed(run, env, n) for run in range(5) for env in range(3) for n in range(100)}
    assert len(seeds) > 1490  # drawn from a million, so a few may coincide
    assert max(seeds) < VALIDATION_SEEDS < HELD_OUT_SEEDS


@pytest.mark.parametrize("processes", [False, True])
def test_the_pool_remembers_where_actions_led_and_starts_over(processes: bool) -> None:
    pool = EnvPool(NAV2D, 2, processes=processes)
    obs = pool.begin([1, 2], [np.zeros((0, 2), np.float32)] * 2)
    left = np.array([[-1.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
    ended = np.zeros(2, dtype=bool)
    while not ended.any():  # to the left the arena ends soon
        pool.send(left, [11, 12])
        step = pool.receive()
        ended, previous, obs = step.ended, obs, step.obs
    i = int(np.flatnonzero(ended)[0])
    assert step.terminated[i]
    assert not step.truncated[i]
    assert step.cost[i] == 1.0
    assert step.next_obs[i, 0] == pytest.approx(previous[i, 0] - 0.1, abs=1e-6)
    fresh = make_env(NAV2D).reset(seed=11 + i)[0]
    np.testing.assert_array_equal(step.obs[i], fresh)
    pool.close()


def test_an_exception_of_a_worker_reaches_the_trainer() -> None:
    pool = EnvPool(NAV2D, 1, processes=True)
    pool.begin([1], [np.zeros((0, 2), np.float32)])
    pool.send(np.array([[np.nan, 0.0]], dtype=np.float32), [2])
    with pytest.raises(FloatingPointError, match=r"Nav2D-v0, step 1 of .*must be finite"):
        pool.receive()
    pool.close()


class Shifted(gymnasium.Env):
    """A point that stands still where its argument puts it; every action wins the same."""

    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, where: float = 0.0) -> None:
        self.where, self.count = where, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.full(1, self.where, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        return np.full(1, self.where, np.float32), self.where, False, self.count % 20 == 0, {"cost": 0.0}


gymnasium.register("Shifted-v0", Shifted)


def test_training_and_validation_use_the_harder_cell_and_evaluation_does_not(tmp_path: Path) -> None:
    config = small(env="Shifted-v0", training_env={"where": 3.0}, steps=100)
    run = create_run(config, tmp_path)
    assert train(config, run)
    assert RunConfig.from_json((run / "config.json").read_text()) == config
    state = load(run / "checkpoint.pt")
    assert state["memory"]["all"]["rows"][:, 0].unique().tolist() == [3.0]
    assert load(run / "best.pt")["validation"]["validation/return"] == 60.0  # 20 steps of 3
    plain = run_seed("Shifted-v0", lambda obs: np.zeros(1, np.float32), HELD_OUT_SEEDS)
    assert plain.amounts["total_reward"] == 0.0


def test_an_argument_that_the_environment_does_not_take_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"does not take .*clearnce"):
        make_env(NAV2D, {"clearnce": 0.01})


def test_a_run_leaves_its_figures_and_its_best_policy(tmp_path: Path) -> None:
    config = small("meta_sac_lag", ema_decay=0.9)
    run = create_run(config, tmp_path)
    assert run.parent == tmp_path / "Nav2D-v0" / "meta_sac_lag"
    assert run.name.endswith("-s5")
    assert train(config, run)
    with (run / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    logged = [r for r in rows if r["eps"]]
    assert [int(r["step"]) for r in logged] == [50, 100, 150, 200]
    assert all(r[k] for r in logged[1:] for k in ("eps", "alpha", "nu", "q_c", "loss_q_r"))
    assert [r["validation/success"] != "" for r in rows].count(True) == 2
    assert any((run / "tensorboard").iterdir())

    found = load_policy(run)
    assert found.checkpoint.name == "best.pt"
    assert found.config == config
    assert found.validation["validation/success"] >= 0.0
    obs = torch.randn(3, 10)
    action = found.policy(obs)
    assert found.safety_critic is not None
    q_c = found.safety_critic(obs, action)
    assert action.shape == (3, 2)
    assert q_c.shape == (3,)
    assert load_policy(run / "checkpoint.pt").step == 200


def test_loading_something_else_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"best\.pt"):
        load_policy(tmp_path)


def test_the_controller_solves_its_validation_episodes() -> None:
    episodes = run_episodes(NAV2D, nav2d_controller, range(VALIDATION_SEEDS, VALIDATION_SEEDS + 10))
    assert episodes.score()[0] == 1.0
    assert not episodes.costs.any()


def test_every_algorithm_file_is_in_the_one_list() -> None:
    folder = Path(__file__).parents[3] / "policy_training" / "algorithms"
    assert {p.stem for p in folder.glob("*.py")} - {"__init__"} == set(ALGORITHMS) == set(CONFIGS)
    for name, algorithm in ALGORITHMS.items():
        assert algorithm.__module__.endswith(name)
        source = (folder / f"{name}.py").read_text()
        assert "arXiv:" in source
        assert re.search(r"^ {4}\(\d\) ", source, re.MULTILINE)  # numbered equations
        assert "Differs from the paper" in source
        assert len(source.splitlines()) <= 300


def test_presets_fit_their_algorithm_and_environment() -> None:
    for (env, algo), config in PRESETS.items():
        assert (config.env, config.algo) == (env, algo)
        assert type(config.algorithm) is CONFIGS[algo]


def test_a_run_with_faster_products_trains(tmp_path: Path) -> None:
    config = small(steps=60)
    assert train(config, create_run(config, tmp_path))
