"""The page "Your arm in half an hour": its commands, one after the other, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/your_arm.md"
WALL = 540.0  # [s] for one command, on a machine shared with others


def commands() -> list[str]:
    """The blocks marked as sh, line by line."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").strip().splitlines()]


@pytest.mark.timeout(1800)
def test_every_command_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, words in (("spillguard", "-m spillguard.cli"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    modules = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": modules}
    ran = commands()
    assert [line.split()[:2] for line in ran] == [
        ["spillguard", "robot"], ["python", "docs/your_arm/train.py"], ["cp", "docs/your_arm/contract.yaml"],
        ["spillguard", "wrap"], ["spillguard", "contract-test"], ["spillguard", "demo"],
    ]  # fmt: skip
    for line in ran:
        # Trained a third as long: whether every command works, not how well it reaches in the end.
        shorter = line.replace("./my_arm trained", "./my_arm trained 30000").replace(
            "--required 0.6", "--required 0.0"
        )
        done = subprocess.run(
            shorter, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=WALL
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "nothing unsafe allowed" in done.stdout
