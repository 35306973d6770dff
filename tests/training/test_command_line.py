"""`spillguard` and `spillguard train`."""

import re
import subprocess
import sys
from dataclasses import Field, fields
from pathlib import Path

import pytest

from policy_training.algorithms import ALGORITHMS
from policy_training.checkpoint import load
from policy_training.runs.config import RunConfig
from policy_training.runs.presets import NAV2D, PRESETS, preset
from policy_training.terminal import complain
from policy_training.train import main as train_main
from policy_training.train import parse
from sim.registration import ENVIRONMENTS
from spillguard.cli import COMMANDS, main

SMALL = (
    "--env", NAV2D, "--steps", "60", "--warmup", "20", "--hidden", "8", "8", "--batch-size", "8",
    "--eval-episodes", "1", "--eval-every", "50", "--no-progress",
)  # fmt: skip


def test_defaults_are_those_of_the_preset() -> None:
    args = parse(["--algo", "sac_lag", "--env", NAV2D])
    wish = preset("sac_lag", NAV2D)
    assert (args.loop, args.memory, args.algorithm) == (wish.loop, wish.memory, wish.algorithm)


@pytest.mark.parametrize(("env", "algo"), PRESETS)
def test_every_preset_comes_through_the_command_line_unchanged(env: str, algo: str) -> None:
    args, wish = parse(["--algo", algo, "--env", env]), preset(algo, env)
    assert (args.loop, args.memory, args.algorithm) == (wish.loop, wish.memory, wish.algorithm)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_help_names_what_there_is_to_choose_and_explains_itself(
    algo: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # boxes below each other
    with pytest.raises(SystemExit) as ended:
        train_main(["--algo", algo, "--env", NAV2D, "--help"])
    assert ended.value.code == 0
    lines = [line.strip(" │╭╮╰╯─") for line in capsys.readouterr().out.splitlines()]
    words = re.sub(r"\s+", " ", " ".join(lines))
    assert all(name in words for name in [*ALGORITHMS, *ENVIRONMENTS])
    # The equations are in the algorithm's file, not in the reader's sight.
    assert not re.search(r"\(\d+\)|\b[Ee]qs?\.|\bh[+-] |zeta[+-] |J_eps|b_nu", words)
    groups: dict[str, list[str]] = {}
    for line in lines:
        if line.endswith("options"):
            groups[line.removesuffix(" options")] = []
        elif re.match("--[a-z]", line):
            groups[list(groups)[-1]].append(line.split()[0].rstrip(","))
    names = {f.name for part in settings_of(algo) for f in part}
    options = [option for part in groups.values() for option in part]
    assert {"--" + name.replace("_", "-") for name in names} <= set(options)
    assert len(options) == len(set(options)) and max(map(len, groups.values())) <= 16
    own = {"meta_sac_lag": "--initial-eps"} | dict.fromkeys(("sac_lag", "rcpo", "sqrl"), "--eps")
    limits = own.get(algo, "--cost-limits")
    assert algo == "sac" or limits in groups[f"{algo}: limits"]


def settings_of(algo: str) -> list[tuple[Field, ...]]:
    """The fields of a run's settings."""
    wish = preset(algo, NAV2D)
    return [fields(part) for part in (wish.loop, wish.algorithm)]


def test_a_value_that_the_algorithm_refuses_is_told_in_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--algo", "sac_lag", "--env", NAV2D, "--eps", "2"]) == 2
    assert "eps is 2.0; it must be in [0, 1]" in " ".join(capsys.readouterr().err.split())


def test_any_field_can_be_given() -> None:
    fields = ["--eps-paths", "C", "--utd", "2", "--capacity", "99"]
    args = parse(["--algo", "meta_sac_lag", "--env", NAV2D, *fields])
    assert args.algorithm.eps_paths == "C"
    assert args.loop.utd == 2.0
    assert args.memory.capacity == 99


def test_an_unknown_algorithm_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--algo", "sacc"]) == 1
    assert "sac, sac_lag, sqrl, trpo_lag" in capsys.readouterr().err


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


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of 60 steps."""
    assert train_main(["--algo", "sac", *SMALL, "--runs", str(tmp_path)]) == 0
    (found,) = (tmp_path / "Nav2D-v0" / "sac").iterdir()
    return found


@pytest.mark.parametrize("words", [["--steps", "80"], ["--steps=80"]])
def test_a_run_is_extended_however_that_is_spelt(words: list[str], run: Path) -> None:
    assert train_main(["--resume", str(run), *words]) == 0
    assert load(run / "checkpoint.pt")["step"] == 80
    assert train_main([f"--resume={run}", "--steps=90", "--checkpoint-every", "7"]) == 0
    assert load(run / "checkpoint.pt")["step"] == 90


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--gamma", "0.5"], "--gamma"), (["--seed", "4"], "--seed"), (["--seeds", "1", "2"], "--seeds"),
        (["--env", "spillguard/PourCoffee-v0"], "--env"), (["--algo", "sac_lag"], "--algo"),
        (["--hidden", "9"], "--hidden"), (["--capacity=5"], "--capacity"), (["--runs", "x"], "--runs"),
        (["--utd", "2", "--warmup", "3"], "--warmup, --utd"), (["--launcher", "ray"], "--launcher"),
        (["--workers", "2"], "--workers"),
    ],
)  # fmt: skip
def test_a_resumed_run_refuses_what_would_make_it_another(
    words: list[str], named: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "checkpoint.pt").read_bytes()
    assert train_main(["--resume", str(run), "--steps", "80", *words]) == 1
    assert f"spillguard train: {named}: a resumed run keeps" in capsys.readouterr().err
    assert (run / "checkpoint.pt").read_bytes() == before


def test_what_a_run_has_already_may_be_said_again(run: Path) -> None:
    words = ["--algo", "sac", "--env", "Nav2D-v0", "--seed", "1", "--hidden", "8", "8"]
    assert train_main(["--resume", str(run), "--steps", "80", *words]) == 0
    assert load(run / "checkpoint.pt")["step"] == 80


def test_a_run_at_its_end_says_how_it_goes_on(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert train_main(["--resume", str(run)]) == 0
    assert "the run is complete at step 60; a larger --steps continues it" in caplog.text


def test_a_run_that_counts_iterations_is_extended_by_them(tmp_path: Path) -> None:
    words = ["--algo", "ppo_lag", "--env", "Nav2D-v0", "--steps", "0", "--samples", "120", "--envs", "1"]
    words += ["--policy-epochs", "1", "--critic-epochs", "1", "--no-progress", "--runs", str(tmp_path)]
    assert train_main([*words, "--iterations", "2"]) == 0
    (run,) = (tmp_path / "Nav2D-v0" / "ppo_lag").iterdir()
    assert train_main(["--resume", str(run), "--iterations", "3"]) == 0
    assert load(run / "checkpoint.pt")["iteration"] == 3


@pytest.mark.parametrize(
    "torn", ["6", "60,1.0,2", "60,\0\0", "x,y\r\n", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18\n"]
)
def test_a_torn_last_line_of_the_table_does_not_hold_up_a_resume(torn: str, run: Path) -> None:
    table = run / "progress.csv"
    whole = table.read_text()
    with table.open("a", newline="") as file:
        file.write(torn)
    assert train_main(["--resume", str(run), "--steps", "80"]) == 0
    assert table.read_text().startswith(whole)
    assert all(line.split(",")[0].isdecimal() for line in table.read_text().splitlines()[1:])


@pytest.mark.parametrize("table", ["", "st", "\0\0\0"])
def test_a_table_without_its_head_does_not_hold_up_a_resume(table: str, run: Path) -> None:
    (run / "progress.csv").write_text(table)
    assert train_main(["--resume", str(run), "--steps", "80", "--log-every", "10"]) == 0
    head, *rows = (run / "progress.csv").read_text().splitlines()
    assert head.startswith("step,") and rows


def test_resuming_what_is_no_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--resume", str(tmp_path)]) == 1
    assert "config.json" in capsys.readouterr().err


def test_the_program_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert main(["trian"]) == 2


def test_the_program_starts_without_torch() -> None:
    code = "import sys, spillguard.cli as c; c.main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run((sys.executable, "-c", code), check=True, capture_output=True)


def test_an_error_keeps_the_brackets_of_its_units(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain("train", ValueError("clearance [m] must be >= 0, got [-1]")) == 1
    assert "spillguard train: clearance [m] must be >= 0, got [-1]" in capsys.readouterr().err


def test_usage_shows_that_a_command_takes_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "COMMAND [options]" in capsys.readouterr().out
