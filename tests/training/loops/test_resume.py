"""A run that is killed, interrupted or resumed ends bit-equal to one that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from policy_training.algorithms import OFF_POLICY
from policy_training.checkpoint import load, save
from policy_training.experience.spaces import environment_spaces
from policy_training.files import write_atomically
from policy_training.loops.off_policy import train
from policy_training.loops.validation import Validator
from policy_training.networks.squashed import Actor
from policy_training.runs.config import RunConfig
from policy_training.runs.folder import create_run
from policy_training.runs.presets import NAV2D, POUR
from tests.training.small_runs import assert_same_end, equal
from tests.training.small_runs import small_off_policy as small

PROGRAM = (sys.executable, "-m", "policy_training.train", "--resume")
# A second for each row, so that a busy machine still finds it running.
SLOW = """
import sys, time
from policy_training.loops import run_log
from policy_training.train import main
write = run_log.RunLog.write
run_log.RunLog.write = lambda *row: (write(*row), time.sleep(1.0))
sys.exit(main(sys.argv[1:]))
"""
PATIENCE = 300.0  # [s]


@pytest.mark.parametrize("algo", OFF_POLICY)
def test_a_resumed_run_ends_bit_equal_to_an_uninterrupted_one(algo: str, tmp_path: Path) -> None:
    whole, halves = create_run(small(algo), tmp_path), create_run(small(algo), tmp_path)
    train(small(algo), whole)
    train(small(algo), halves, until=222)  # in the middle of episodes
    train(small(algo), halves, resume=True)
    assert_same_end(whole, halves)


def test_a_measured_threshold_goes_on_bit_equally_after_an_interruption(tmp_path: Path) -> None:
    base = small("meta_sac_lag")
    config = replace(base, algorithm=replace(base.algorithm, violations=0.2, violations_wait=150))
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    train(config, halves, until=222)
    train(config, halves, resume=True)
    assert_same_end(whole, halves)
    measured = load(whole / "checkpoint.pt")["algorithm"]["measured"]
    assert measured["awake"] and measured["episodes"] > 5


def test_a_pour_goes_on_bit_equally_after_an_interruption(tmp_path: Path) -> None:
    base = small("meta_sac_lag", steps=150, warmup=0, prior_episodes=1, eval_every=1000, envs=1)
    config = replace(base, env=POUR)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    train(config, halves, until=77)
    train(config, halves, resume=True)
    equal(load(whole / "checkpoint.pt"), load(halves / "checkpoint.pt"))


@pytest.mark.parametrize("processes", [False, True])
def test_an_episode_that_does_not_replay_is_given_up_for_a_new_one(
    processes: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small("sac", env_processes=processes)
    run = create_run(config, tmp_path)
    train(config, run, until=222)
    state = load(run / "checkpoint.pt")
    episodes = list(state["collector"]["episode"])
    state["collector"]["obs"][1] += 1.0  # as if the physics had changed
    save(run / "checkpoint.pt", state)
    train(config, run, resume=True, until=222)
    assert caplog.text.count("did not replay") == 1
    after = load(run / "checkpoint.pt")["collector"]
    assert after["episode"] == [episodes[0], episodes[1] + 1]
    assert len(after["actions"][1]) == 0


def start(run: Path, program: tuple[str, ...] = PROGRAM) -> subprocess.Popen[bytes]:
    """Resume in a process of its own."""
    return subprocess.Popen((*program, str(run)), cwd=Path(__file__).parents[3])


def wait_for(condition: object, process: subprocess.Popen[bytes]) -> None:
    """Until condition() is true while the process lives."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < end
        time.sleep(0.01)


def begin(config: RunConfig, root: Path) -> Path:
    """A run folder with its first checkpoint."""
    run = create_run(config, root)
    train(config, run, until=20)
    return run


@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_process_resumes_to_the_same_end(name: signal.Signals, tmp_path: Path) -> None:
    config = small("meta_sac_lag", steps=500, env_processes=True, eval_every=250)
    whole = create_run(config, tmp_path)
    train(config, whole)
    stopped = begin(config, tmp_path)
    process = start(stopped, (sys.executable, "-c", SLOW, "--resume"))
    wait_for(lambda: rows(stopped) > 3, process)
    process.send_signal(name)
    code = process.wait(timeout=PATIENCE)
    assert code == (-signal.SIGKILL if name is signal.SIGKILL else 0)
    assert load(stopped / "checkpoint.pt")["step"] < 500
    assert start(stopped).wait(timeout=PATIENCE) == 0
    assert_same_end(whole, stopped)


def rows(run: Path) -> int:
    """Lines of progress.csv."""
    return len((run / "progress.csv").read_text().splitlines())


def test_a_validation_in_a_second_process_finds_the_same_best_policy(tmp_path: Path) -> None:
    here, there = create_run(small("sac"), tmp_path), create_run(small("sac"), tmp_path)
    train(small("sac"), here)
    train(small("sac", eval_process=True), there)
    one, other = load(here / "best.pt"), load(there / "best.pt")
    equal(one["policy"], other["policy"])
    assert one["validation"] == other["validation"]


def test_an_interruption_does_not_wait_for_a_validation_and_loses_none(tmp_path: Path) -> None:
    config = small("sac", eval_process=True)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    train(config, halves, until=222)  # the validation of step 150 counts from step 300 on
    assert load(halves / "checkpoint.pt")["validating"]["step"] == 150
    assert not (halves / "best.pt").exists()
    train(config, halves, resume=True)
    assert_same_end(whole, halves)


def test_a_dead_validation_process_is_an_error_with_its_exit_code() -> None:
    validator = Validator(NAV2D, 2, process=True)
    actor = Actor(environment_spaces(NAV2D), (16, 16))
    validator.worker.process.kill()
    validator.worker.process.join()
    with pytest.raises(RuntimeError, match="the validation ended with code -9"):
        validator.start(1, actor, {})
        validator.collect()


def test_a_checkpoint_is_data_and_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"x": Trap()}, path)
    with pytest.raises(Exception, match="Weights only"):
        load(path)
    assert not (tmp_path / "sprung").exists()


def test_a_run_folder_says_where_the_run_comes_from(tmp_path: Path) -> None:
    run = create_run(small("sac"), tmp_path)
    origin = json.loads((run / "provenance.json").read_text())
    assert origin["versions"]["torch"] == torch.__version__
    assert RunConfig.from_json((run / "config.json").read_text()) == small("sac")
    write_atomically(run / "x", b"1")
    assert (run / "x").read_bytes() == b"1"
