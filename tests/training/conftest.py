"""Runs to read, and a run to damage."""

import shutil
from pathlib import Path

import pytest

from spillguard.cli import main
from tests.training.refusals import SHORT
from tests.training.written_runs import MakeRun, run_maker


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes run folders with known curves."""
    return run_maker(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", "--algo", "sac", *SHORT, "--runs", str(folder)]) == 0
    (run,) = folder.glob("*/*/*")
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run of one's own, to be spoiled."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
