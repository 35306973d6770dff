"""A test that hangs ends, and says where it hung."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASLEEP = "threading.Event().wait"
# Keeps the interpreter's lock, as native code does that waits for itself.
DEADLOCKED = "ctypes.PyDLL(None).sleep"


@pytest.mark.parametrize(
    ("hang", "option"),
    [(ASLEEP, "timeout=1"), (DEADLOCKED, "faulthandler_timeout=1")],
    ids=["asleep", "deadlocked"],
)
def test_hanging_test_ends_with_its_stack(hang: str, option: str, tmp_path: Path) -> None:
    hanging = tmp_path / "test_hanging.py"
    hanging.write_text(f"import ctypes, threading\n\ndef test_that_hangs():\n    {hang}(100)\n")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-o", option, str(hanging)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "Timeout" in said
    assert "test_that_hangs" in said
