"""Copies of the case, spoiled on purpose, and what `spillguard case check` says of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillguard.case.command import main
from spillguard.case.files import FOLDER

ROOT = Path(__file__).parents[2]
TEST = "tests/core/robot/test_world.py::test_arm_stops_short_of_what_is_in_its_way"
Data = list[dict[str, Any]]


def results(root: Path, tests: dict[str, str]) -> Path:
    """JUnit results: what is inside each test's element."""
    rows = []
    for test, inside in tests.items():
        file, _, name = test.partition("::")
        rows.append(f'<testcase classname="{file[:-3].replace("/", ".")}" name="{name}">{inside}</testcase>')
    path = root / "junit.xml"
    path.write_text(f"<testsuites><testsuite>{''.join(rows)}</testsuite></testsuites>")
    return path


def built(root: Path) -> None:
    assert main(["build", "-o", str(root / "docs"), "--root", str(root)]) == 0


def checked(root: Path, capsys: pytest.CaptureFixture[str], junit: Path | None = None) -> list[str]:
    """The broken links, as they are printed."""
    capsys.readouterr()
    status = main(["check", "--root", str(root), *(["--junit", str(junit)] if junit else [])])
    lines = capsys.readouterr().out.splitlines()
    broken = [line for line in lines if not line.startswith("whole: ")]
    assert status == (1 if broken else 0)
    return broken


def edited(root: Path, name: str, edit: Callable[[Data], object]) -> None:
    """Change one file of the case."""
    path = root / FOLDER / f"{name}.yaml"
    data = yaml.safe_load(path.read_text())
    edit(data)
    path.write_text(yaml.safe_dump(data))


def of(data: Data, name: str) -> dict[str, Any]:
    """The entry of this name."""
    return next(entry for entry in data if entry["id"] == name)
