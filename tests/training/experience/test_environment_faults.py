"""What an environment gets wrong is one line: environment, step and value."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_training.experience.environments import EnvironmentFaultError
from policy_training.train import main as train
from tests.training.experience.throttle import short_run

HERE = np.zeros(2)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ((HERE, np.ones(1), False, False, {"cost": 0.0}), r"the reward is array\(\[1.\]\), of shape \(1,\)"),
        ((HERE, None, False, False, {"cost": 0.0}), "the reward is no number"),
        ((HERE, 1.0, False, False, {"cost": np.zeros(1)}), r"the cost is array\(\[0.\]\), of shape \(1,\)"),
        ((HERE, 1.0, False, False, {"cost": None}), "the cost is no number"),
        (
            (HERE, 1.0, False, False, {"cost": 0.0, "cost_terms": {"fuel": None}}),
            "the cost 'fuel' is no number",
        ),
        ((HERE, 1.0, 0.0, False, False, {}), "step must return observation.*from_six"),
        ((None, 1.0, False, False, {"cost": 0.0}), "the observation"),
        (
            (np.zeros(3), 1.0, False, False, {"cost": 0.0}),
            r"the observation has shape \(3,\); it must be \(2,\)",
        ),
        ((np.array([0.0, np.nan]), 1.0, False, False, {"cost": 0.0}), "the observation holds nan"),
        (([0.0, math.nan], 1.0, False, False, {"cost": 0.0}), "the observation holds nan"),
        (([0.0, 1e300], 1.0, False, False, {"cost": 0.0}), r"the observation holds 1e\+300"),
        (([0.0, 10**400], 1.0, False, False, {"cost": 0.0}), "the observation is"),
        ((HERE, math.nan, False, False, {"cost": 0.0}), "the reward is nan; it must be finite"),
        ((HERE, np.float32(np.inf), False, False, {"cost": 0.0}), "the reward is inf; it must be finite"),
        ((HERE, 10**400, False, False, {"cost": 0.0}), "the reward is no number that a float can hold"),
        ((HERE, 1.0, False, False, {"cost": math.inf}), "the cost is inf; it must be finite"),
        ((HERE, 1.0, np.zeros(2, bool), False, {"cost": 0.0}), r"terminated is array.*, of shape \(2,\)"),
        ((HERE, 1.0, False, False, {"cost": 0.0, "success": np.zeros(2)}), "success is array"),
    ],
)
@pytest.mark.parametrize("algo", ["sac", "ppo_lag"])
def test_a_senseless_answer_is_one_line_with_environment_step_and_value(
    throttle: Any, answer: Any, what: str, algo: str, tmp_path: Path, capsys: Any
) -> None:
    assert train(short_run(algo, "--env", throttle(answer=answer), "--runs", str(tmp_path))) == 1
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("spillguard")]
    assert re.search(rf"Throttle-v0, step 3 of the episode from seed \d+: {what}", said), said


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("reset", "reset with seed"),
        ("step", "step 7 of the episode from seed"),
        ("exit", "step 7 of the episode from seed"),
    ],
)
@pytest.mark.parametrize("algo", ["sac", "ppo_lag"])
def test_an_error_inside_an_environment_is_one_line_that_says_where(
    throttle: Any, fault: str, what: str, algo: str, tmp_path: Path, capsys: Any
) -> None:
    assert train(short_run(algo, "--env", throttle(fault=fault), "--runs", str(tmp_path))) == 1
    said = capsys.readouterr().err
    assert f"Throttle-v0, {what}" in said and "throttle.py, line" in said
    assert "Traceback" not in said


def test_an_error_keeps_its_traceback_where_it_is_asked_for(
    throttle: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPILLGUARD_DEBUG", "1")
    with pytest.raises(EnvironmentFaultError) as caught:
        train(short_run("sac", "--env", throttle(fault="step"), "--runs", str(tmp_path)))
    assert "engine stalled" in str(caught.value)
