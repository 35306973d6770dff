"""Ctrl-C and SIGTERM end every loop within a step, begin nothing new, and lose nothing."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_training.algorithms.sac_lag import SacLag
from policy_training.checkpoint import load
from policy_training.experience.on_policy_sampling import Sampler
from policy_training.interruption import InterruptedTrainingError, interruptible, stopping
from policy_training.loops.off_policy import train
from policy_training.loops.on_policy import train_on_policy
from policy_training.meta_learning.meta_train import main as meta_train
from policy_training.meta_learning.meta_trainer import MetaTrainer
from policy_training.runs.folder import create_run
from policy_training.runs.presets import NAV2D
from policy_training.train import main as program
from sim.tasks.nav2d import Nav2DEnv
from tests.training.small_runs import assert_same_end, equal, figures, small_on_policy
from tests.training.small_runs import small_off_policy as small

Interrupt = Callable[..., list[int]]


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """interrupt(class, method, n) sends a signal in the n-th call; the list counts the calls."""

    def patch(owner: type, name: str, at: int, sent: signal.Signals = signal.SIGINT) -> list[int]:
        calls, plain = [0], getattr(owner, name)

        def counted(self: Any, *arguments: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == at:
                os.kill(os.getpid(), sent)
            return plain(self, *arguments, **named)

        monkeypatch.setattr(owner, name, counted)
        return calls

    return patch


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_validation_is_given_up_within_a_step_and_done_again(
    interrupt: Interrupt, sent: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("sac_lag", prior_episodes=0, shaping=0.0)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    with monkeypatch.context():
        calls = interrupt(Nav2DEnv, "step", 155, sent)  # of 150 training steps, then validation
        assert not train(config, halves)
        assert calls[0] <= 156
    state = load(halves / "checkpoint.pt")
    assert (state["step"], state["owed"]) == (150, True)
    assert not (halves / "best.pt").exists()
    monkeypatch.undo()
    assert train(config, halves, resume=True)
    assert_same_end(whole, halves)


def test_prior_episodes_are_given_up_and_the_run_goes_on(
    interrupt: Interrupt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("sac_lag", pretrain=20)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    calls = interrupt(Nav2DEnv, "step", 5)
    assert not train(config, halves)
    assert calls[0] <= 6
    monkeypatch.undo()
    assert load(halves / "checkpoint.pt")["memory"]["prior"]["size"] == 0
    assert train(config, halves, resume=True)
    assert_same_end(whole, halves)


def test_pretraining_is_cut_between_two_updates_and_goes_on(
    interrupt: Interrupt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("sac_lag", pretrain=20)
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    calls = interrupt(SacLag, "pretrain", 7)
    assert not train(config, halves)
    assert calls == [7]
    monkeypatch.undo()
    assert load(halves / "checkpoint.pt")["pretrained"] == 7
    assert train(config, halves, resume=True)
    assert_same_end(whole, halves)


def test_an_iteration_is_given_up_within_a_step_and_done_again(
    interrupt: Interrupt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_on_policy()
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train_on_policy(config, whole)
    calls = interrupt(Nav2DEnv, "step", 450)
    assert not train_on_policy(config, halves)
    assert calls[0] <= 451
    monkeypatch.undo()
    assert load(halves / "checkpoint.pt")["iteration"] == 2
    assert train_on_policy(config, halves, resume=True)
    assert figures(whole) == figures(halves)
    equal(*(load(run / "checkpoint.pt")["algorithm"] for run in (whole, halves)))


def test_an_interruption_does_not_wait_for_workers() -> None:
    sampler = Sampler(NAV2D, {}, 1, ("cost",), envs=2, processes=2)
    policy = small_policy()
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    with interruptible():
        timer.start()
        with pytest.raises(InterruptedTrainingError):
            sampler.collect(policy, np.ones(2, np.float32), 0, 10**9)
        sampler.close()
    assert not any(worker.process.is_alive() for worker in sampler.workers)


def small_policy() -> Any:
    from policy_training.experience.episodes import MeanPolicy

    layer = (np.zeros((2, 10), np.float32), np.zeros(2, np.float32))
    return MeanPolicy(np.zeros(10, np.float32), np.ones(10, np.float32), 10.0, (layer,))


def test_no_other_seed_begins_after_an_interruption(interrupt: Interrupt, tmp_path: Path) -> None:
    interrupt(Nav2DEnv, "step", 30)
    words = ["--algo", "sac", "--env", NAV2D, "--steps", "100", "--hidden", "8", "--no-progress"]
    assert program([*words, "--seeds", "1", "2", "3", "--runs", str(tmp_path)]) == 0
    (run,) = (tmp_path / "Nav2D-v0" / "sac").iterdir()
    assert run.name.endswith("-s1")
    assert load(run / "checkpoint.pt")["step"] <= 30
    assert program(["--resume", str(run)]) == 0
    assert load(run / "checkpoint.pt")["step"] == 100


def test_no_other_meta_training_begins_after_an_interruption(interrupt: Interrupt, tmp_path: Path) -> None:
    interrupt(MetaTrainer, "iterate", 2)
    words = ["--units", "2", "--iterations", "4", "--rollout", "5", "--no-progress", "--seeds", "1", "2"]
    assert meta_train([*words, "--runs", str(tmp_path)]) == 0
    (state,) = tmp_path.rglob("checkpoint.pt")
    assert load(state)["iteration"] == 2


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    config = replace(small("sac"))
    whole, lost = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    (lost / "progress.csv").write_text("step,return\r\n0,1.0\r\n99,")
    assert train(config, lost, resume=True)
    assert_same_end(whole, lost)


def test_one_flag_for_everything_that_is_nested() -> None:
    assert not stopping()
    with interruptible() as outer:
        with interruptible() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            assert inner.is_set()
        assert outer.is_set() and stopping()
        with pytest.raises(KeyboardInterrupt):  # whoever asks again does not want to wait
            os.kill(os.getpid(), signal.SIGINT)
    assert not stopping()
