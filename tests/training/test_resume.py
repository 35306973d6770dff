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
from policy_training.checkpoint import load, save, write_atomically
from policy_training.loops import environment_spaces, train
from policy_training.networks import Actor
from policy_training.presets import NAV2D, POUR, preset
from policy_training.runs import RunConfig, create_run
from policy_training.validation import Validator

PROGRAM = (sys.executable, "-m", "policy_training.train", "--resume")


def small(algo: str, **loop: object) -> RunConfig:
    """A run of half a second that uses everything a checkpoint must hold."""
    config = preset(algo, NAV2D, seed=3)
    changes = {
        "steps": 360, "warmup": 60, "envs": 2, "prior_episodes": 2, "shaping": 0.5, "ema_decay": 0.9,
        "exploration_noise": "coloured", "eval_every": 150, "eval_episodes": 2, "checkpoint_every": 100,
        "log_every": 50, "progress": False,
    }  # fmt: skip
    return replace(
        config,
        loop=replace(config.loop, **(changes | loop)),
        memory=replace(config.memory, capacity=1000, violation_capacity=100, initial_capacity=50),
        algorithm=replace(config.algorithm, hidden=(16, 16), batch_size=32),
    )


def equal(a: object, b: object, where: str = "") -> None:
    """Equal to the last bit, tensors and containers of them."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


def assert_same_end(one: Path, other: Path) -> None:
    """Checkpoints, the best policy and the table of figures."""
    for name in ("checkpoint.pt", "best.pt"):
        equal(load(one / name), load(other / name), name)
    assert (one / "progress.csv").read_text() == (other / "progress.csv").read_text()


@pytest.mark.parametrize("algo", OFF_POLICY)
def test_a_resumed_run_ends_bit_equal_to_an_uninterrupted_one(algo: str, tmp_path: Path) -> None:
    whole, halves = create_run(small(algo), tmp_path), create_run(small(algo), tmp_path)
    train(small(algo), whole)
    train(small(algo), halves, until=222)  # in the middle of episodes
    train(small(algo), halves, resume=True)
    assert_same_end(whole, halves)


def test_a_pour_goes_on_bit_equally_after_an_interruption(tmp_path: Path) -> None:
    base = small("meta_sac_lag", steps=150, warmup=0, prior_episodes=1, eval_every=1000, envs=1)
    config = replace(base, env=POUR)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    train(config, halves, until=77)
    train(config, halves, resume=True)
    equal(load(whole / "checkpoint.pt"), load(halves / "checkpoint.pt"))


def start(run: Path) -> subprocess.Popen[bytes]:
    """Resume in a process of its own."""
    return subprocess.Popen((*PROGRAM, str(run)), cwd=Path(__file__).parents[2])


def wait_for(condition: object, process: subprocess.Popen[bytes]) -> None:
    """Until condition() is true while the process lives."""
    end = time.monotonic() + 60.0
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
    process = start(stopped)
    wait_for(lambda: rows(stopped) > 3, process)
    process.send_signal(name)
    code = process.wait(timeout=30)
    assert code == (-signal.SIGKILL if name is signal.SIGKILL else 0)
    assert load(stopped / "checkpoint.pt")["step"] < 500
    assert start(stopped).wait(timeout=120) == 0
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
    validator.process.kill()
    validator.process.join()
    with pytest.raises((RuntimeError, BrokenPipeError), match=r"code -9|Broken pipe"):
        validator.start(1, actor, {})
        validator.collect()


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save(path, {"step": 1})
    # a file size limit makes write() fail as a full disk does
    code = (
        "import resource, signal, sys; from pathlib import Path; from policy_training.checkpoint import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "import torch\n"
        "try:\n    save(Path(sys.argv[1]), {'x': torch.zeros(10_000)})\nexcept OSError:\n    sys.exit(7)\n"
    )
    done = subprocess.run((sys.executable, "-c", code, str(path)), cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 7
    assert load(path) == {"step": 1}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


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
