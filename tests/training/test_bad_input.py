"""Bad input to every subcommand is one line and exit status 1 or 2, and never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from policy_training.evaluation.evaluate import main as evaluate
from policy_training.terminal import INTERRUPTED, expanded, subcommand, told
from spillguard.cli import COMMANDS, main
from tests.training.refusals import SHORT, refused

BUNDLE = Path(__file__).parents[2] / "artifacts" / "pour_coffee"
# For every subcommand: words, and what has to be said of them. FILE is a file, RUN a run, NONE nothing.
WALK: dict[str, list[tuple[list[str], str]]] = {
    "train": [
        (["--algo", "sacc"], "known are cpo"),
        (["--env", "Nope-v0"], "unknown environment"),
        (["--nonsense"], "Unrecognized options: --nonsense"),
        (["--steps", "many"], "--steps"),
        (["--policy-lr", "-1"], "policy_lr is -1.0"),
        (["--resume", "NONE"], "config.json"),
        (["--algo", "sac", *SHORT, "--runs", "FILE"], "Not a directory"),
    ],
    "meta-train": [
        (["--units", "0"], "units is 0"),
        (["--resume", "NONE"], "config.json"),
        (["--units", "1", "--iterations", "1", "--runs", "FILE"], "Not a directory"),
    ],
    "meta-study": [(["--rules", "newton"], "newton"), (["--page-only", "--out", "FILE/x"], "FILE")],
    "sweep": [
        (["NONE"], "NONE"),
        (["FILE"], "needed are schema, seeds, grid"),
        (["FILE", "--workers", "-1"], "workers is -1"),
        (["FILE", "--address", "here:1"], "say --launcher ray"),
    ],
    "tune": [(["NONE"], "NONE"), (["FILE"], "needed are options")],
    "evaluate": [
        (["NONE"], "NONE"),
        (["scripted", "--env", "Hopper-v5"], "no scripted controller"),
        (["scripted", "--episodes", "0"], "at least 1"),
        (["scripted", "--env", "Nav2D-v0", "--out", "FILE"], "FILE"),
    ],
    "export": [(["NONE", "-o", "OUT"], "NONE"), (["RUN", "-o", "OUT"], "is no task of the arm")],
    "train-critic": [
        (["NONE", "-o", "NEW"], "manifest.json"),
        (["NONE", "-o", "NEW", "--hold", "2"], "hold"),
    ],
    "calibrate": [(["NONE"], "manifest.json"), (["NONE", "--delta", "2"], "delta")],
    "transfer": [
        (["NONE", "-o", "OUT"], "manifest.json"),
        ([str(BUNDLE), "-o", "OUT", "--conditions", "mercury"], "unknown condition 'mercury'"),
        ([str(BUNDLE), "-o", "FILE"], "FILE"),
        ([str(BUNDLE), "--episodes", "0"], "episodes"),
    ],
    "monitor-study": [(["--bundle", "NONE"], "manifest.json"), (["--episodes", "0"], "episodes")],
    "espo-study": [
        (["--algos", "x"], "known are crpo"),
        (["--page-only", "--runs", "NONE"], "nothing to write"),
    ],
    "study": [
        (["layout"], "known are layouts"),
        (["layouts", "--epochs", "0"], "epochs"),
        (["goal", "--workers", "-1"], "workers"),
        (["goal", "--page-only", "--runs", "NONE"], "nothing to write"),
    ],
    "plot": [([], "no run"), (["NONE"], "progress.csv"), (["RUN", "--out", "FILE/x.png"], "FILE"),
             (["RUN", "--out", "DIR"], "DIR"), (["RUN", "--out", "OUT.nonsense"], "nonsense")],
    "table": [([], "no run"), (["NONE"], "progress.csv"), (["RUN", "--out", "FILE/x.md"], "FILE"),
              (["RUN", "--out", "DIR"], "DIR")],
    "results": [([], "0 labels for 0 runs"), (["RUN", "--labels", "a"], "report.json")],
    "video": [(["NONE"], "NONE"), (["scripted", "--env", "Nav2D-v0", "--out", "OUT"], "nothing written")],
    "demo": [(["--bundle", "NONE"], "no bundle")],
    "operator": [(["fly"], "invalid choice: 'fly'")],
    "page": [(["--bundle", "NONE"], "manifest.json")],
    "excite": [(["--bundle", "NONE"], "manifest.json")],
    "identify": [(["NONE"], "no file"), (["FILE"], "holds no command")],
    "identify-granules": [(["--angle", "30"], "--time")],
    "replay": [(["NONE"], "NONE")],
    "explain": [(["NONE"], "NONE")],
    "robot": [(["NONE", "-o", "OUT"], "no file NONE"), (["FILE", "-o", "OUT"], "not XML"), ([], "--out")],
    "wrap": [(["NONE", "--contract", "NONE", "-o", "OUT"], "NONE"),
             (["FILE", "--contract", "FILE", "-o", "O"], "contract"),
             (["DIR", "--draft", "--robot", "gen3", "--contract", "NEW"], "a LEAPP pipeline has one")],
    "leapp": [(["NONE", "-o", "NEW"], "manifest.json"), (["NONE"], "--out")],
    "keys": [(["a/b", "-o", "DIR"], "cannot be called"), (["", "-o", "DIR"], "cannot be called")],
    "contract-test": [(["DIR"], "nothing to test"), (["DIR", "--recording", "FILE"], "bundle")],
    "shadow-report": [(["NONE"], "NONE"), (["FILE"], "FILE is damaged")],
    "site": [(["check", "NONE"], "NONE"), (["check", "FILE"], "needs some of the keys"), (["x", "F"], "x")],
    "case": [(["nope"], "known are check"), (["check", "--root", "DIR"], "call this at the root"),
             (["accept", "NOPE", "--root", "DIR"], "call this at the root")],
    "bench": [(["--only", "x"], "there are env")],
    "doctor": [(["--x"], "Unrecognized options: --x")],
}  # fmt: skip


def test_the_walk_leaves_no_subcommand_out() -> None:
    assert WALK.keys() == COMMANDS.keys()


@pytest.mark.parametrize("command", WALK)
def test_bad_input_is_one_line(command: str, run: Path, tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("here already")
    (tmp_path / "DIR").mkdir()
    for words, what in WALK[command]:
        named = [str(run) if word == "RUN" else word for word in words]
        assert what in refused(capfd, command, *named), words
    assert (tmp_path / "FILE").read_text() == "here already"
    assert not [path for path in tmp_path.rglob("*.part")]


@pytest.mark.parametrize("words", [["trian"], ["--version", "now"]])
def test_an_unknown_subcommand_is_one_line(words: list[str], capfd: Any) -> None:
    assert "unknown command" in refused(capfd, *words)


@pytest.mark.parametrize("left", [0, 1, 100, 1000])
@pytest.mark.parametrize(
    "command", [["evaluate", "RUN"], ["export", "RUN", "-o", "B"], ["train", "--resume", "RUN"]]
)
def test_a_checkpoint_that_was_cut_off_is_named(command: list[str], left: int, run: Path, capfd: Any) -> None:
    for path in (run / "best.pt", run / "checkpoint.pt"):
        os.truncate(path, left)
    words = [str(run) if word == "RUN" else word for word in command]
    assert ".pt is no complete checkpoint" in refused(capfd, *words)


def test_a_checkpoint_of_something_else_is_named(run: Path, capfd: Any) -> None:
    import torch

    torch.save({"weights": torch.zeros(3)}, run / "best.pt")
    torch.save([1, 2], run / "checkpoint.pt")
    assert "best.pt is no checkpoint of a policy" in refused(capfd, "evaluate", run)
    assert "a checkpoint is a dictionary" in refused(capfd, "train", "--resume", run)
    torch.save({"step": 5}, run / "checkpoint.pt")
    assert "another configuration or version" in refused(capfd, "train", "--resume", run)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"algo": "sac"}', '{"algo": "unheard"}'])
def test_a_damaged_configuration_is_named(text: str, run: Path, capfd: Any) -> None:
    (run / "config.json").write_text(text)
    for command in (
        ("train", "--resume", run),
        ("meta-train", "--resume", run),
        ("plot", run),
        ("table", run),
    ):
        assert "config.json" in refused(capfd, *command)


def test_a_damaged_report_is_named(run: Path, capfd: Any) -> None:
    (run / "report.json").write_text(json.dumps({"figures": 1}))
    assert "report.json is no report" in refused(capfd, "results", run, "--labels", "a")
    (run / "report.json").write_text("{")
    assert "report.json is damaged" in refused(capfd, "results", run, "--labels", "a")


@pytest.mark.parametrize("command", ["plot", "table"])
def test_a_full_disk_leaves_what_was_there(command: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / ("old.png" if command == "plot" else "old.md")
    out.write_text("the old one")

    # a limit of file size makes write() fail as a full disk does
    code = (
        "import resource, signal, sys; from policy_training.evaluation import plots, tables\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        f"sys.exit({'plots' if command == 'plot' else 'tables'}.main())"
    )
    words = (sys.executable, "-c", code, str(run), "--out", str(out))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    assert "File too large" in done.stderr and "Traceback" not in done.stderr
    assert out.read_text() == "the old one"


def test_help_is_no_error(capsys: Any) -> None:
    for command, word in (("study", "layouts"), ("case", "check")):
        assert main([command, "--help"]) == 0
        assert word in capsys.readouterr().out
    for command in COMMANDS:
        if command not in ("study", "case"):
            with pytest.raises(SystemExit) as end:
                main([command, "--help"])
            assert not end.value.code
            assert capsys.readouterr().out


def test_home_is_meant_by_a_tilde_where_a_path_begins(monkeypatch: Any, tmp_path: Path, capfd: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for word in ("~/x", "--out=~/x", "optim4rl:~/x", "--optimizer=optim4rl:~/x", "~"):
        assert expanded(word) == word.replace("~", str(tmp_path))
    for word in ("a~b", "~x", "--title=~ 5 %", "x/~/y"):
        assert expanded(word) == word
    assert str(tmp_path / "none") in refused(capfd, "plot", "~/none")
    assert str(tmp_path / "none") in refused(capfd, "replay", "~/none")


def test_a_bundle_is_evaluated_by_several_processes_with_the_same_figures(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        out = str(tmp_path / workers)
        words = [str(BUNDLE), "--episodes", "2", "--workers", workers, "--out", out, "--no-picture"]
        assert evaluate(words) == 0
    for monitor in ("monitor_on", "monitor_off"):
        one, two = ((tmp_path / name / monitor / "episodes.csv").read_text() for name in "12")
        assert one == two


def test_ctrl_c_is_said_in_a_word(capsys: Any) -> None:
    @subcommand("wait")
    def interrupted(words: Any) -> int:
        raise KeyboardInterrupt

    assert interrupted([]) == INTERRUPTED == 130
    assert capsys.readouterr().err == "spillguard wait: interrupted\n"


def test_an_error_is_told_in_one_line() -> None:
    assert told(ValueError("one\n  two [m]")) == "one two [m]"
    assert told(EOFError()) == "EOFError"
    assert told(OSError(28, "No space left on device", "a.png")) == "a.png: No space left on device"


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    @subcommand("slip")
    def slips(words: Any) -> int:
        raise AttributeError("nobody foresaw this")

    with pytest.raises(AttributeError):
        slips([])
