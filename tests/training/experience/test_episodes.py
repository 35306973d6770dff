"""One loop runs every episode of a deterministic policy."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_training.experience.environments import make_env
from policy_training.experience.episodes import run_episode, transitions
from policy_training.interruption import InterruptedTrainingError, interruptible
from tests.training.experience.throttle import Throttle

ROOT = Path(__file__).parents[3]


def half(obs: np.ndarray) -> np.ndarray:
    return np.full(1, obs[0] / 10.0, np.float32)


def test_each_transition_starts_where_the_last_one_led_until_the_episode_ends(throttle: Any) -> None:
    env = make_env(throttle(length=5))
    steps = list(transitions(env, half, 3))
    assert [step.obs[0] for step in steps] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [step.next_obs[0] for step in steps] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [step.action[0] for step in steps] == [half(step.obs)[0] for step in steps]
    assert [step.truncated for step in steps] == [False] * 4 + [True]
    assert not any(step.terminated for step in steps)


def test_a_terminal_state_ends_the_episode_too(throttle: Any) -> None:
    done = (np.full(2, 9.0), 0.5, True, False, {"cost": 2.0, "success": True})
    env = make_env(throttle(answer=done))
    assert run_episode(env, half, 3) == (2.5, 2.0, True, 3)


def test_an_interruption_ends_an_episode_before_its_next_step(throttle: Any) -> None:
    env = make_env(throttle())
    with interruptible() as stop:
        steps = transitions(env, half, 3)
        next(steps)
        stop.set()
        with pytest.raises(InterruptedTrainingError):
            next(steps)
    assert len(Throttle.seen) == 1


def test_environments_are_stepped_in_few_places() -> None:
    allowed = {
        "environments.py",  # what learners see of an environment
        "episodes.py",  # the episodes of a deterministic policy
        "on_policy_sampling.py",  # a fixed number of steps, across the ends of episodes
        "workers.py",  # step by step, in turn with the learner
    }
    found = set()
    for package in ("policy_training", "studies", "spillguard"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                if getattr(called, "attr", "") == "step" and "env" in ast.unparse(called.value):
                    found.add(path.name)
    assert found == allowed
