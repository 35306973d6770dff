"""Runs that another program, another version or another process has had its hands in."""

import json
from pathlib import Path
from typing import Any

import pytest

from policy_training.checkpoint import load, save
from policy_training.files import locked
from spillguard.cli import main
from tests.training.refusals import refused


@pytest.mark.parametrize("name", ["a[/b]", "a[red]", "x[bold"])
def test_brackets_in_a_path_are_a_path(run: Path, capfd: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    folder = run.rename(tmp_path / name)
    capfd.readouterr()
    assert main(["plot", str(folder), "--out", str(tmp_path / f"{name}.png")]) == 0
    assert (tmp_path / f"{name}.png").is_file() and f"{name}.png" in capfd.readouterr().out
    assert main(["train", "--resume", str(folder), "--steps", "160"]) == 0
    assert name in capfd.readouterr().out


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace(",", ";")])
def test_progress_that_another_program_changed_is_kept(run: Path, capfd: Any, change: Any) -> None:
    progress = run / "progress.csv"
    progress.write_text(change(progress.read_text()))
    before = progress.read_bytes()
    assert "has no column 'step'" in refused(capfd, "train", "--resume", run, "--steps", "160")
    assert progress.read_bytes() == before


def test_a_run_without_its_checkpoint_keeps_what_it_has(run: Path, capfd: Any, caplog: Any) -> None:
    (run / "checkpoint.pt").rename(run / "elsewhere.pt")
    (run / "checkpoint.pt").symlink_to("nowhere.pt")
    assert "bring it back" in refused(capfd, "train", "--resume", run, "--steps", "160")
    (run / "checkpoint.pt").unlink()
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    assert main(["train", "--resume", str(run)]) == 0
    assert "the run starts again" in caplog.text
    assert (run / "progress.before.csv").read_bytes() == before["progress.csv"]
    assert (run / "best.before.pt").read_bytes() == before["best.pt"]


@pytest.mark.parametrize("out", ["RUN", "PARENT", "FILE"])
def test_overwrite_deletes_nothing_that_was_not_exported(
    run: Path, capfd: Any, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("mine")
    place = {"RUN": run, "PARENT": run.parent, "FILE": tmp_path / "file"}[out]
    before = sorted(tmp_path.rglob("*"))
    said = refused(capfd, "export", run, "--graphs", "--overwrite", "-o", place)
    assert "more than a bundle" in said or "is a file" in said
    assert sorted(tmp_path.rglob("*")) == before
    assert main(["export", str(run), "--graphs", "-o", str(tmp_path / "graphs")]) == 0
    assert main(["export", str(run), "--graphs", "--overwrite", "-o", str(tmp_path / "graphs")]) == 0


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("loop", "steps", "500"), ("loop", "warmup", None), ("loop", "envs", 1.5), ("loop", "matmul", "zz"),
        ("loop", "eval_episodes", 2.5), ("loop", "training_env", None), ("", "env", 5), ("", "seed", "x"),
        ("algorithm", "hidden", [16.5]), ("algorithm", "gamma", "0.9"), ("algorithm", "batch_size", 2.5),
    ],
)  # fmt: skip
def test_a_configuration_with_a_wrong_type_is_called_by_its_field(
    run: Path, capfd: Any, part: str, name: str, value: object
) -> None:
    path = run / "config.json"
    raw = json.loads(path.read_text())
    (raw[part] if part else raw)[name] = value
    path.write_text(json.dumps(raw))
    said = refused(capfd, "train", "--resume", run)
    assert "config.json" in said and name in said


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", {"algorithm": []}), ("config.json", {"algorithm": {"cost_limits": 5}}),
        ("config.json", {"seed": None}), ("provenance.json", []), ("provenance.json", {"command": [1]}),
        ("provenance.json", {"command": None}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["plot", "table"])
def test_odd_facts_of_a_run_are_one_line(run: Path, capfd: Any, command: str, file: str, text: Any) -> None:
    raw = json.loads((run / file).read_text())
    (run / file).write_text(json.dumps({**raw, **text} if isinstance(text, dict) else text))
    assert f"{file}" in refused(capfd, command, run, "--out", run / "out.md")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state["policy"].pop("scaling.shift"), lambda state: state.update(policy=5),
        lambda state: state.update(safety_critic=5), lambda state: state.update(action_size="x"),
        lambda state: state.update(networks=5),
    ],
)  # fmt: skip
def test_a_foreign_checkpoint_is_called_by_its_name(run: Path, capfd: Any, spoil: Any) -> None:
    state = load(run / "best.pt")
    spoil(state)
    save(run / "best.pt", state)
    assert "best.pt is no checkpoint of a policy" in refused(capfd, "evaluate", run, "--episodes", "1")


def test_one_process_trains_a_run(run: Path, capfd: Any) -> None:
    with locked(run):
        assert "another process trains this run" in refused(capfd, "train", "--resume", run, "--steps", "160")
    assert main(["train", "--resume", str(run), "--steps", "160"]) == 0
