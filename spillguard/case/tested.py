"""Do the named tests exist and, in this run, have they run and passed?"""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from spillguard.case.model import Case, Goal, Promise


def named_tests(case: Case) -> dict[str, str]:
    """Every named test, and which element names it first."""
    named: dict[str, str] = {}
    naming: tuple[Promise | Goal, ...] = (*case.promises, *case.goals)
    for element in naming:
        for test in element.tests:
            named.setdefault(test, element.id)
    return named


def broken_tests(case: Case, root: Path, junit: Sequence[Path]) -> Iterator[str]:
    """Named tests that do not exist or, where results of this run are given, did not run or did not pass."""
    named, outcomes = named_tests(case), outcomes_of(junit)
    unseen = [test for test in named if test not in outcomes]
    existing = collected(root, {test.partition("::")[0] for test in unseen})
    for test, name in named.items():
        if test in outcomes:
            bad = sorted(outcomes[test] - {"passed"})
            yield from (f"{name}: {test} {outcome}" for outcome in bad)
        elif test not in existing:
            yield f"{name}: {test} is no test that pytest collects"
        elif junit:
            yield f"{name}: {test} did not run"


def outcomes_of(junit: Iterable[Path]) -> dict[str, set[str]]:
    """How each test of the JUnit files ended, all cases of a parametrised one together and each by itself."""
    outcomes: dict[str, set[str]] = defaultdict(set)
    for file in junit:
        try:
            cases = list(ElementTree.parse(file).iter("testcase"))
        except ElementTree.ParseError as error:
            raise ValueError(f"{file}: no JUnit file: {error}") from error
        for case in cases:
            test = f"{_path(case.get('classname', ''))}::{case.get('name')}"
            for name in {test, test.partition("[")[0]}:
                outcomes[name].add(_outcome(case))
    return outcomes


def _path(classname: str) -> str:
    """`tests.core.test_gate.TestX` is `tests/core/test_gate.py::TestX` to pytest."""
    parts = classname.split(".")
    last = max((i for i, part in enumerate(parts) if part.startswith("test_")), default=len(parts) - 1)
    return "::".join(("/".join(parts[: last + 1]) + ".py", *parts[last + 1 :]))


def _outcome(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    skipped = case.find("skipped")
    return "passed" if skipped is None else f"did not run: {skipped.get('message', '')}".strip()


def collected(root: Path, files: Iterable[str]) -> set[str]:
    """What pytest finds in these files of the repository, with and without the case in brackets."""
    there = sorted(file for file in files if (root / file).is_file())
    if not there:
        return set()
    command = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
               "--continue-on-collection-errors", *there)  # fmt: skip
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found = {
        line for line in done.stdout.splitlines() if "::" in line and not line.startswith(("ERROR", "FAILED"))
    }
    return found | {line.partition("[")[0] for line in found}
