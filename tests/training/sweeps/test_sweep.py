"""`spillguard sweep` from beginning to end: interrupted, killed, failing, and on again."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from policy_training import many_runs
from policy_training.checkpoint import save
from policy_training.many_runs import RunIndex, finished
from policy_training.runs.config import RunConfig, read_config
from policy_training.sweeps.command import main, write_page
from policy_training.sweeps.spec import read_spec
from tests.training.test_pool import wait_for
from tests.training.test_ray_pool import figures

COMMON = "env: spillguard/Nav2D-v0, warmup: 100, log-every: 100, checkpoint-every: 100, eval-every: 10000"
SPEC = "schema: 1\ntitle: Small\nbaseline: sac\nseeds: [1]\n"
SPEC += f"grid: {{algo: [sac, sac_lag], steps: 900, {COMMON}}}\n"


def begin(spec: Path, out: Path) -> subprocess.Popen[str]:
    """The command in a process, two runs at once."""
    words = ("-m", "spillguard.cli", "sweep", str(spec), "-o", str(out), "--workers", "2")
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)


def children(parent: int) -> list[int]:
    """Its worker processes."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            spawned = b"spawn_main" in (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and spawned:
            found.append(int(stat.parent.name))
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file, and the folder of a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "spec.yaml").write_text(SPEC)
    assert main([str(folder / "spec.yaml"), "-o", str(folder / "whole"), "--workers", "1"]) == 0
    return folder / "spec.yaml", folder / "whole"


def same(whole: Path, other: Path) -> bool:
    """Whether all runs have the same figures, row by row."""
    runs, index = [path.parent for path in whole.glob("*/*/*/config.json")], RunIndex(other)
    assert len(runs) == len([*other.glob("*/*/*/config.json")]) == 2
    return all(figures(index.of(read_config(run)) or other) == figures(run) for run in runs)


def test_a_sweep_ends_with_a_page_and_is_not_done_again(
    whole: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    spec, out = whole
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/checkpoint.pt")}
    assert main([str(spec), "-o", str(out), "--workers", "1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/checkpoint.pt")} == before
    page = (out / "page.md").read_text()
    assert page.startswith("# Small\n") and "| **sac_lag** |" in page and "beside sac" in page
    assert "are not here" not in page and (out / "curves.png").stat().st_size > 1000
    assert main([str(spec), "-o", str(out), "--dry"]) == 0
    assert "2 complete" in capfd.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_sweep_saves_every_run_and_the_same_command_goes_on(
    whole: tuple[Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    spec, undisturbed = whole
    sweep = begin(spec, tmp_path)
    wait_for(lambda: len([*tmp_path.glob("*/*/*/checkpoint.pt")]) == 2 or sweep.poll() is not None)
    sweep.send_signal(number)
    said, _ = sweep.communicate(timeout=500)
    assert sweep.returncode == 130 and "the same command goes on" in said, said
    assert main([str(spec), "-o", str(tmp_path), "--workers", "1"]) == 0
    assert same(undisturbed, tmp_path)


def test_runs_whose_worker_was_killed_go_on_from_their_checkpoints(
    whole: tuple[Path, Path], tmp_path: Path
) -> None:
    spec, undisturbed = whole
    sweep = begin(spec, tmp_path)
    wait_for(lambda: len([*tmp_path.glob("*/*/*/checkpoint.pt")]) == 2 or sweep.poll() is not None)
    os.kill(children(sweep.pid)[0], signal.SIGKILL)
    said, _ = sweep.communicate(timeout=500)
    assert sweep.returncode == 0, said
    assert same(undisturbed, tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> tuple[list[str], Path]:
    """The words of a short sweep that is complete, and its folder."""
    spec, out = tmp_path / "spec.yaml", tmp_path / "out"
    spec.write_text(SPEC.replace("steps: 900", "steps: 200"))
    words = [str(spec), "-o", str(out), "--workers", "1"]
    assert main(words) == 0
    return words, out


def damaged(kind: str, checkpoint: Path) -> None:
    """Replace a checkpoint."""
    if kind == "empty":
        checkpoint.write_bytes(b"")
    elif kind == "another's":
        save(checkpoint, {"x": 1})
    elif kind == "on a disk that is gone":
        checkpoint.unlink()
        checkpoint.symlink_to("/nowhere/checkpoint.pt")


@pytest.mark.parametrize("kind", ["empty", "another's", "on a disk that is gone"])
def test_a_run_that_fails_leaves_the_others_and_is_told(
    kind: str, small: tuple[list[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    words, out = small
    checkpoint = next(out.glob("*/sac/*/checkpoint.pt"))
    damaged(kind, checkpoint)
    before = (checkpoint.parent / "progress.csv").read_bytes()
    assert main(words) == 1
    assert "failed: sac, seed 1:" in capfd.readouterr().out
    assert (checkpoint.parent / "progress.csv").read_bytes() == before
    other = next(out.glob("*/sac_lag/*/config.json")).parent
    assert finished(other, read_config(other))


def test_figures_of_a_run_without_its_checkpoint_are_kept(small: tuple[list[str], Path]) -> None:
    words, out = small
    run = next(out.glob("*/sac/*/checkpoint.pt")).parent
    (run / "checkpoint.pt").unlink()
    before = (run / "progress.csv").read_bytes()
    assert main(words) == 0
    assert (run / "progress.before.csv").read_bytes() == before and finished(run, read_config(run))


def test_an_error_that_nobody_expects_ends_its_own_run_alone(
    small: tuple[list[str], Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad(config: RunConfig, root: Path, until: int | None = None) -> bool:
        raise KeyError("mine")

    words, out = small
    for checkpoint in out.glob("*/*/*/checkpoint.pt"):
        checkpoint.unlink()
    monkeypatch.setattr(many_runs, "complete", bad)
    assert main(words) == 1
    told = capfd.readouterr()
    assert told.out.count("KeyError: 'mine'") == 4, "each run, as it ends and at the end"


def test_a_page_of_somebody_else_is_left_and_a_run_that_cannot_be_read_is_left_out(
    small: tuple[list[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    words, out = small
    next(out.glob("*/sac/*/provenance.json")).write_text("{")
    assert main(words) == 0
    page = (out / "page.md").read_text()
    assert "1 of 2 runs are not here" in page and "left out:" in page and "provenance.json" in page
    (out / "page.md").write_text("mine")
    assert main(words) == 1
    assert "is not of `spillguard sweep`" in capfd.readouterr().err
    assert (out / "page.md").read_text() == "mine"


def test_a_page_without_the_runs_of_its_baseline_compares_nothing(small: tuple[list[str], Path]) -> None:
    words, out = small
    shutil.rmtree(out / "Nav2D-v0" / "sac")
    assert "1 of 2 runs" in write_page(read_spec(Path(words[0])), out, words)
    page = (out / "page.md").read_text()
    assert "| **sac_lag** |" in page and "beside sac" not in page


def test_a_score_that_no_run_has_is_told_and_the_runs_are_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec, out = tmp_path / "spec.yaml", tmp_path / "out"
    spec.write_text(SPEC.replace("steps: 900", "steps: 200") + "score: retrun\n")
    assert main([str(spec), "-o", str(out), "--workers", "1"]) == 1
    assert "no page:" in capfd.readouterr().out and len([*out.glob("*/*/*/checkpoint.pt")]) == 2
