"""`spillguard sweep` from beginning to end: interrupted, killed, failing, and on again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from policy_training.many_runs import RunIndex, finished
from policy_training.runs.config import read_config
from policy_training.sweeps.command import main
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
    assert "no figures yet" not in page and (out / "curves.png").stat().st_size > 1000
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
    said, _ = sweep.communicate(timeout=120)
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
    said, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, said
    assert same(undisturbed, tmp_path)


def test_a_run_that_fails_leaves_the_others_and_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("steps: 900", "steps: 300"))
    assert main([str(spec), "-o", str(tmp_path / "out"), "--workers", "1"]) == 0
    broken = next((tmp_path / "out").glob("*/sac/*/checkpoint.pt"))
    broken.write_bytes(b"")
    assert main([str(spec), "-o", str(tmp_path / "out"), "--workers", "1"]) == 1
    said = capfd.readouterr().out
    assert "failed: sac, seed 1:" in said and "is no complete checkpoint" in said
    other = next((tmp_path / "out").glob("*/sac_lag/*/config.json")).parent
    assert finished(other, read_config(other))
