"""Runs to read."""

from pathlib import Path

import pytest

from tests.training.written_runs import MakeRun, run_maker


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes run folders with known curves."""
    return run_maker(tmp_path)
