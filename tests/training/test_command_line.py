"""`spillguard` and `spillguard train`."""

import subprocess
import sys
from pathlib import Path

import pytest

from policy_training.cli import COMMANDS, main
from policy_training.presets import NAV2D, preset
from policy_training.runs import RunConfig
from policy_training.terminal import complain
from policy_training.train import main as train_main
from policy_training.train import parse

SMALL = (
    "--env", NAV2D, "--steps", "60", "--warmup", "20", "--hidden", "8", "8", "--batch-size", "8",
    "--eval-episodes", "1", "--eval-every", "50", "--no-progress",
)  # fmt: skip


def test_defaults_are_those_of_the_preset() -> None:
    args = parse(["--algo", "sac_lag", "--env", NAV2D])
    wish = preset("sac_lag", NAV2D)
    assert (args.loop, args.memory, args.algorithm) == (wish.loop, wish.memory, wish.algorithm)


def test_any_field_can_be_given() -> None:
    fields = ["--eps-paths", "C", "--utd", "2", "--capacity", "99"]
    args = parse(["--algo", "meta_sac_lag", "--env", NAV2D, *fields])
    assert args.algorithm.eps_paths == "C"
    assert args.loop.utd == 2.0
    assert args.memory.capacity == 99


def test_an_unknown_algorithm_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--algo", "sacc"]) == 1
    assert "sac, sac_lag, meta_sac_lag" in capsys.readouterr().err


def test_an_unknown_environment_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--algo", "sac", "--env", "spillguard/Nowhere-v0"]) == 1
    error = capsys.readouterr().err
    assert NAV2D in error
    assert "spillguard/PourCoffee-v0" in error


def test_several_seeds_make_one_run_each_and_a_run_can_be_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main(["--algo", "sac", *SMALL, "--seeds", "3", "4", "--runs", str(tmp_path)]) == 0
    runs = sorted((tmp_path / "Nav2D-v0" / "sac").iterdir())
    assert [r.name[-3:] for r in runs] == ["-s3", "-s4"]
    assert train_main(["--resume", str(runs[0]), "--steps", "80"]) == 0
    assert str(runs[0]) in capsys.readouterr().out
    assert RunConfig.from_json((runs[0] / "config.json").read_text()).loop.steps == 60


def test_resuming_what_is_no_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--resume", str(tmp_path)]) == 1
    assert "config.json" in capsys.readouterr().err


def test_the_program_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert main(["trian"]) == 2


def test_the_program_starts_without_torch() -> None:
    code = "import sys, policy_training.cli as c; c.main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run((sys.executable, "-c", code), check=True, capture_output=True)


def test_an_error_keeps_the_brackets_of_its_units(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain("train", ValueError("clearance [m] must be >= 0, got [-1]")) == 1
    assert "spillguard train: clearance [m] must be >= 0, got [-1]" in capsys.readouterr().err


def test_usage_shows_that_a_command_takes_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "COMMAND [options]" in capsys.readouterr().out
