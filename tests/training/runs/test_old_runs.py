"""Runs of an earlier version, made by `tests/data/make_runs.sh`, evaluate to the same figures and resume."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from policy_training.checkpoint import load
from policy_training.evaluation.run_data import read_run
from spillguard.cli import main

OLD = Path(__file__).parents[2] / "data" / "runs"
END = {"meta_sac_lag": 60, "cpo": 240}  # steps that the runs were made with


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table; cells that a row leaves empty are not in it."""
    with path.open(newline="") as file:
        return [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]


@pytest.fixture(params=END)
def old(request: Any, tmp_path: Path) -> Path:
    """A copy of an old run."""
    return Path(shutil.copytree(OLD / request.param, tmp_path / request.param))


def test_an_old_run_evaluates_to_the_figures_of_its_time(old: Path, tmp_path: Path) -> None:
    assert (
        main(["evaluate", str(old), "--episodes", "2", "--no-picture", "--out", str(tmp_path / "now")]) == 0
    )
    now, then = rows(tmp_path / "now" / "episodes.csv"), rows(old / "evaluation" / "episodes.csv")
    assert len(now) == len(then) == 2
    for one, other in zip(now, then, strict=True):
        assert float(one.pop("total_reward")) == pytest.approx(float(other.pop("total_reward")), rel=1e-4)
        assert one == other


def test_an_old_run_resumes_after_its_last_step(old: Path, caplog: Any) -> None:
    before, end = rows(old / "progress.csv"), 2 * END[old.name]
    assert load(old / "checkpoint.pt")["step"] == END[old.name]
    assert main(["train", "--resume", str(old), "--steps", str(end), "--no-progress"]) == 0
    assert "replay" not in caplog.text  # the episode under way replays to where it was
    assert load(old / "checkpoint.pt")["step"] == end
    after = rows(old / "progress.csv")
    assert after[: len(before)] == before
    assert int(after[-1]["step"]) == end
    assert read_run(old).columns["step"][-1] == end
