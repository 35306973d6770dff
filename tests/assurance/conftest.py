"""A copy of the repository's case in which everything is in order."""

import shutil
from pathlib import Path

import pytest

from spillguard.case.command import main
from spillguard.case.files import load
from spillguard.case.tested import named_tests
from tests.assurance.copies import ROOT, built, edited, of, results


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of what the case speaks of, with its pages and with F-braking, whatever its age, accepted."""
    place = tmp_path / "repository"
    place.mkdir()
    for folder in ("docs", "sim", "benchmarks/results"):
        ignored = shutil.ignore_patterns("*.png", "__pycache__")
        shutil.copytree(ROOT / folder, place / folder, ignore=ignored)
    for folder in ("artifacts", "launch", "ros_ws"):
        (place / folder).symlink_to(ROOT / folder)
    edited(place, "figures", lambda data: of(data, "F-braking").update(older=""))
    for figure in load(place).figures:
        if not figure.older:
            assert main(["accept", figure.id, "--because", "a copy", "--root", str(place)]) == 0
    built(place)
    return place


@pytest.fixture
def passed(root: Path) -> Path:
    """JUnit results of a run in which every named test passed."""
    return results(root, dict.fromkeys(named_tests(load(root)), ""))
