"""A newcomer's path, as docs/own_task.md tells it, from an environment in a file to a graph without torch."""

import os
import re
import subprocess
import sys
from pathlib import Path

from policy_training.train import parse

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own_task.md"


def test_the_script_of_the_page_trains_loads_acts_and_exports(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        (sys.executable, "own_policy.py", str(tmp_path / "runs")), cwd=PAGE.with_suffix(""),
        env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search(r"torch and ONNX Runtime differ by (\S+)", done.stdout)
    assert found and float(found[1]) < 1e-5
    assert "violation/hot" in done.stdout and "spill" not in done.stdout.replace("spillguard", "")
    written = {path.name for path in (tmp_path / "runs" / "graphs").iterdir()}
    assert written == {"policy.onnx", "safety_critic.onnx"}


def test_the_command_of_the_page_is_the_one_of_the_script() -> None:
    command = re.search(r"^spillguard train (.*)$", PAGE.read_text(), re.MULTILINE)
    assert command
    args = parse(command[1].split())
    assert (args.env, args.algo, args.loop.steps) == ("heater:Heater-v0", "sac_lag", 1000)
    settings = command[1].split("Heater-v0 ")[1]
    assert settings in (PAGE.with_suffix("") / "own_policy.py").read_text()


def test_the_page_and_what_it_names_are_found_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert "(docs/own_task.md)" in text and "(policy_training/README.md)" in text
    for link in re.findall(r"\]\((own_task/[^)]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).is_file()
