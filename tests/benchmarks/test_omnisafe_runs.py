"""OmniSafe's log as a run folder. OmniSafe needs packages of other versions, so its log is written here."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.omnisafe_runs import convert, finished_log, limit_of, versions
from policy_training.evaluation.run_data import read_run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / "PPOLag-{SafetyHopperVelocity-v1}" / "seed-003-now"
    folder.mkdir(parents=True)
    settings = {
        "algo": "PPOLag", "env_id": "SafetyHopperVelocity-v1", "seed": 3,
        "train_cfgs": {"total_steps": 40_000}, "algo_cfgs": {"steps_per_epoch": 20_000},
        "lagrange_cfgs": {"cost_limit": 25.0}, "logger_cfgs": {"log_dir": "/home/somebody"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "progress.csv").write_text(
        "Metrics/EpRet,Metrics/EpCost,TotalEnvSteps,Time/Total,Metrics/LagrangeMultiplier\n"
        "10.0,1.0,20000.0,5.5,0.1\n12.5,30.0,40000.0,11.0,0.3\n"
    )
    return folder


def test_a_log_is_read_like_a_run_of_ours(log: Path, tmp_path: Path) -> None:
    convert(log, tmp_path / "run", {"command": ["omnisafe_runs.py"], "commit": "abc"})
    run = read_run(tmp_path / "run")
    assert (run.algo, run.env, run.seed) == ("OmniSafe PPOLag", "SafetyHopperVelocity-v0", 3)
    assert run.limits == {"cost": 25.0}
    steps, returns = run.curve("return")
    assert steps.tolist() == [20_000.0, 40_000.0] and returns.tolist() == [10.0, 12.5]
    assert run.columns["cost"].tolist() == [1.0, 30.0] and run.columns["seconds"].tolist() == [5.5, 11.0]
    assert run.columns["nu/cost"].tolist() == [0.1, 0.3] and run.columns["iteration"].tolist() == [1.0, 2.0]
    assert run.columns["samples"].tolist() == [20_000.0, 20_000.0]
    assert "somebody" not in (tmp_path / "run" / "config.json").read_text()


def test_a_log_that_was_cut_off_is_not_finished(log: Path, tmp_path: Path) -> None:
    assert finished_log(tmp_path / "raw", 40_000) == log
    assert finished_log(tmp_path / "raw", 60_000) is None
    assert finished_log(tmp_path / "nothing", 1) is None


def test_what_knows_no_limit_and_what_lacks_omnisafe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PPO has no cost limit"):
        limit_of({"algo": "PPO", "algo_cfgs": {}})
    with pytest.raises(RuntimeError, match="omnisafe; give --peer the Python of an environment that has"):
        versions(Path(sys.executable))
    with pytest.raises(RuntimeError, match=r"nobody does not start.*takes a Python interpreter"):
        versions(tmp_path / "nobody")
