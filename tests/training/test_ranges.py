"""Every number of every configuration has a range, and what is outside it is refused with the range."""

import dataclasses
import math
from typing import Any

import pytest

from policy_training.algorithms import CONFIGS, ON_POLICY
from policy_training.experience.replay import MemoryConfig
from policy_training.meta_learning.config import MetaConfig
from policy_training.ranges import RANGES
from policy_training.runs.config import LoopConfig, OnPolicyLoop, RunConfig
from policy_training.train import main as train

ALL = [*CONFIGS.values(), LoopConfig, OnPolicyLoop, MemoryConfig, MetaConfig]


def numbers(kind: Any) -> list[str]:
    """Fields that hold a number, or could."""
    made = kind()
    names = [f.name for f in dataclasses.fields(made)]
    other = {"layout", "trunk", "slack_decay"}  # words, none by default
    return [n for n in names if not isinstance(getattr(made, n), str | bool) and n not in other]


@pytest.mark.parametrize("kind", ALL)
def test_every_number_has_a_range(kind: Any) -> None:
    assert set(numbers(kind)) <= RANGES.keys()


@pytest.mark.parametrize("kind", ALL)
def test_no_number_may_be_nan(kind: Any) -> None:
    for name in numbers(kind):
        default = getattr(kind(), name)
        bad: Any = math.nan
        if name.endswith("_limits"):
            bad = (("cost", math.nan),)
        elif name == "training_env":
            bad = {"x": math.nan}
        elif isinstance(default, tuple):
            bad = (math.nan,)
        with pytest.raises(ValueError, match="nan"):
            kind(**{name: bad})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("policy_lr", -1.0, "policy_lr is -1.0; it must be above 0"),
        ("critic_lr", 0.0, "critic_lr is 0.0; it must be above 0"),
        ("gamma", 2.0, r"gamma is 2.0; it must be in \[0, 1\]"),
        ("gamma_c", -0.1, r"gamma_c is -0.1; it must be in \[0, 1"),
        ("hidden", (8, 0), "hidden is 0; it must be at least 1"),
        ("tau", 0.0, r"tau is 0.0; it must be in \(0, 1\]"),
        ("batch_size", 0, "batch_size is 0; it must be at least 1"),
        ("lam", 1.5, r"lam is 1.5; it must be in \[0, 1\]"),
        ("nu_lr", -1.0, "nu_lr is -1.0; it must be at least 0"),
        ("initial_nu", -1.0, "initial_nu is -1.0; it must be"),
        ("initial_std", 0.0, "initial_std is 0.0; it must be above 0"),
    ],
)
def test_the_range_is_told(field: str, value: Any, said: str) -> None:
    having = [kind for kind in CONFIGS.values() if field in {f.name for f in dataclasses.fields(kind)}]
    assert having
    for kind in having:
        with pytest.raises(ValueError, match=said):
            kind(**{field: value})


@pytest.mark.parametrize("algo", CONFIGS)
def test_every_algorithm_refuses_them_on_the_command_line(algo: str, capsys: Any) -> None:
    rate = "--critic-lr" if algo in ON_POLICY else "--policy-lr"
    for option, value in ((rate, "-1"), ("--gamma", "2"), ("--hidden", "0")):
        assert train(["--algo", algo, "--env", "Nav2D-v0", option, value]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert option[2:].replace("-", "_") in said and "it must be" in said


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ValueError, match="seed is -1; it must be at least 0"):
        RunConfig("sac", "Nav2D-v0", seed=-1)


def test_a_multiplier_does_not_start_above_its_cap() -> None:
    names = {"initial_nu", "nu_max"}
    having = [kind for kind in CONFIGS.values() if names <= {f.name for f in dataclasses.fields(kind)}]
    assert len(having) >= 4
    for kind in having:
        with pytest.raises(ValueError, match=r"initial_nu (is )?3\.0, nu_max 2\.0"):
            kind(initial_nu=3.0, nu_max=2.0)
