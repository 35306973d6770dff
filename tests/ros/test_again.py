"""Which failures the machine excuses, and that its standstills are noted at all."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ros.stalls import STALL, Stalls

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.again import *
from tests.again import watch
from tests.ros.stalls import Stalls

Stalls.longest = lambda self, since: {stood}


def pytest_collection_modifyitems(items):
    for item in items:
        watch(item)
"""
TEST = """
from pathlib import Path


def test_fails_at_first():
    attempts = Path("attempts")
    before = len(attempts.read_text()) if attempts.exists() else 0
    attempts.write_text("x" * (before + 1))
    assert before >= {failures}, "{text}"
"""


def attempts(tmp_path: Path, stood: float, failures: int, text: str = "late") -> tuple[int, int, str]:
    """Exit status, attempts and output of a test that fails so often while the machine stands still [s]."""
    (tmp_path / "conftest.py").write_text(CONFTEST.format(stood=stood))
    (tmp_path / "test_it.py").write_text(TEST.format(failures=failures, text=text))
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    run = [*command, "-o", f"pythonpath={ROOT}", str(tmp_path / "test_it.py")]
    ended = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    return ended.returncode, len((tmp_path / "attempts").read_text()), ended.stdout + ended.stderr


def test_a_standstill_excuses_and_is_told(tmp_path: Path) -> None:
    status, tried, said = attempts(tmp_path, 2 * STALL, failures=1)
    assert (status, tried) == (0, 2), said
    assert "1 rerun" in said
    assert "RERUN test_it.py::test_fails_at_first" in said


@pytest.mark.parametrize(
    ("stood", "failures", "text", "tried"),
    [
        (0.5 * STALL, 1, "late", 1),
        (2 * STALL, 1, "Repeat(unsafe=('leaps',))", 1),
        (2 * STALL, 1, "{'success': 'false', 'contact': 'true'}", 1),
        (2 * STALL, 3, "late", 3),
    ],
    ids=["no standstill", "unsafe command", "contact", "every time"],
)
def test_anything_else_fails(stood: float, failures: int, text: str, tried: int, tmp_path: Path) -> None:
    status, counted, said = attempts(tmp_path, stood, failures, text)
    assert (status, counted) == (1, tried), said
    assert f"a processor stood still for {stood:.3f} s" in said


def test_standstill_is_noted(tmp_path: Path) -> None:
    with Stalls(tmp_path) as stalls:
        time.sleep(1.0)
        before = time.monotonic()
        stalls.signal(signal.SIGSTOP)
        time.sleep(0.3)
        stalls.signal(signal.SIGCONT)
        time.sleep(0.3)
        assert stalls.longest(before) == pytest.approx(0.3, abs=0.2)
        assert stalls.longest(time.monotonic()) == 0.0
