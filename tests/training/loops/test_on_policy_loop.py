"""The on-policy loop: resumes bit-equal, says what is wrong, and leaves a run that others can read."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from policy_training.algorithms import ON_POLICY, resolve
from policy_training.checkpoint import load
from policy_training.estimates.on_policy import OnPolicyConfig
from policy_training.evaluation.evaluate import main as evaluate
from policy_training.loops.on_policy import OnPolicyTrainer, train_on_policy
from policy_training.networks.plain import plain_policy
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.folder import create_run
from policy_training.runs.presets import NAV2D
from policy_training.runs.trained import load_policy
from policy_training.train import main as program
from policy_training.train import parse
from tests.training.small_runs import equal, figures
from tests.training.small_runs import small_on_policy as small


@pytest.mark.parametrize("algo", ON_POLICY)
def test_a_resumed_run_ends_bit_equal_to_an_uninterrupted_one(algo: str, tmp_path: Path) -> None:
    whole, halves = create_run(small(algo), tmp_path), create_run(small(algo), tmp_path)
    assert train_on_policy(small(algo), whole)
    assert not train_on_policy(small(algo), halves, until=3)
    assert train_on_policy(small(algo), halves, resume=True)
    states = [load(run / "checkpoint.pt") for run in (whole, halves)]
    for state in states:
        state.pop("seconds"), state.pop("cpu_seconds")
    equal(*states)
    assert figures(whole) == figures(halves)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    config = small(steps=6000, checkpoint_every=1)
    whole, cut = create_run(config, tmp_path), create_run(config, tmp_path)
    train_on_policy(config, whole)
    command = (
        "from pathlib import Path; from policy_training.runs.config import RunConfig;"
        "from policy_training.loops.on_policy import train_on_policy;"
        f"run = Path({str(cut)!r}); config = RunConfig.from_json((run / 'config.json').read_text());"
        "train_on_policy(config, run)"
    )
    process = subprocess.Popen((sys.executable, "-c", command), env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 300.0
    while not (cut / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert load(cut / "checkpoint.pt")["iteration"] >= 1
    assert program(["--resume", str(cut)]) == 0
    assert figures(whole) == figures(cut)


def test_the_end_may_be_a_number_of_iterations(tmp_path: Path) -> None:
    config = small(steps=0, iterations=3)
    run = create_run(config, tmp_path)
    assert train_on_policy(config, run)
    state = load(run / "checkpoint.pt")
    assert (state["iteration"], state["step"]) == (3, 600)


def test_a_run_can_be_loaded_and_evaluated(tmp_path: Path) -> None:
    config = small()
    run = create_run(config, tmp_path)
    train_on_policy(config, run)
    trained = load_policy(run)
    assert trained.config == config
    obs = np.linspace(-1.0, 1.0, 10, dtype=np.float32)
    assert np.abs(plain_policy(trained.policy.actor)(obs)).max() > 0.0
    assert evaluate([str(run), "--episodes", "4", "--no-picture"]) == 0
    report = json.loads((run / "evaluation" / "report.json").read_text())
    assert report["figures"]["cost"]["mean"] >= 0.0


def test_an_iteration_without_a_finished_episode_says_what_to_do(tmp_path: Path) -> None:
    config = small(samples=4, envs=4)
    with pytest.raises(ValueError, match=r"no episode ended in this iteration.*--samples"):
        train_on_policy(config, create_run(config, tmp_path))


def test_a_figure_that_is_no_number_stops_with_the_step_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small()
    run = create_run(config, tmp_path)
    train_on_policy(config, run, until=2)
    before = (run / "checkpoint.pt").read_bytes()
    update = ON_POLICY["ppo_lag"].update

    def broken(self: object, *arguments: object) -> dict[str, float]:
        return update(self, *arguments) | {"kl": float("nan")}  # type: ignore[arg-type]

    monkeypatch.setattr(ON_POLICY["ppo_lag"], "update", broken)
    with pytest.raises(FloatingPointError, match="step 400: kl is nan; the last checkpoint is intact"):
        train_on_policy(config, run, resume=True)
    assert (run / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((("cost", -1.0),), "limit of cost 'cost' is -1.0"),
        ((("cost", float("nan")),), "limit of cost 'cost' is nan"),
        ((), "no cost limit"),
        ((("cost", 1.0), ("cost", 2.0)), "a cost has one limit"),
    ],
)
def test_an_impossible_limit_is_refused(limits: tuple[tuple[str, float], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnPolicyConfig(cost_limits=limits)


def test_an_unknown_cost_stops_at_the_first_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--algo", "ppo_lag", "--env", NAV2D, "--cost-limits", "speed", "1", "--runs", str(tmp_path)]
    assert program(arguments) == 1
    assert "step 0: no cost 'speed'; the environment reports cost, obstacle, arena" in capsys.readouterr().err


def test_several_limits_are_read_from_the_command_line_and_come_back(tmp_path: Path) -> None:
    args = parse(["--algo", "ppo_lag", "--env", NAV2D, "--cost-limits", "obstacle", "0.1", "arena", "0.05"])
    assert args.algorithm.cost_limits == (("obstacle", 0.1), ("arena", 0.05))
    config = RunConfig("ppo_lag", NAV2D, loop=args.loop, algorithm=args.algorithm)
    assert RunConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("loop", [{"steps": 0}, {"samples": 1, "envs": 2}, {"processes": 3, "envs": 2}])
def test_a_senseless_loop_is_refused(loop: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must|allowed"):
        OnPolicyLoop(**loop)


def test_a_loop_of_the_other_family_is_refused() -> None:
    with pytest.raises(ValueError, match="ppo_lag does not go with a SacConfig"):
        RunConfig("ppo_lag", NAV2D)
    with pytest.raises(ValueError, match="ppo_lag does not go with a LoopConfig"):
        RunConfig("ppo_lag", NAV2D, algorithm=resolve("ppo_lag").config())


def test_observations_are_scaled_by_what_was_seen(tmp_path: Path) -> None:
    trainer = OnPolicyTrainer(small(), create_run(small(), tmp_path))
    trainer.iterate()
    scaling, critics = trainer.algorithm.actor.scaling, trainer.algorithm.judge.critics.scaling
    np.testing.assert_allclose(scaling.shift, trainer.moments.mean, rtol=1e-5)
    assert (scaling.shift == critics.shift).all()
    assert (scaling.scale == critics.scale).all()
    assert scaling.scale.min() > 0.0
    trainer.sampler.close()
