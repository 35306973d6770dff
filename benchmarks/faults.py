"""Runs the fault injection of tests/faults many times and writes the results to docs/results/faults.md, or
those of other arms than the Gen3 to docs/results/faults_other_arms.md.

The tests hold order, states and safety and prove the bounds in simulated time. Here the bounds are checked in
real time: exit status 1 if an answer took longer than its bound plus `ALLOWANCE`.

A part of the cases can be run at a time: earlier results of the others are kept.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import tyro
import yaml

from benchmarks.record import RESULTS, ROOT
from spillguard_ros.node.realtime import run_first_in_first_out

Robot = Literal["gen3", "ur5e", "fr3"]
POURING: Robot = "gen3"
OTHERS: dict[Robot, str] = {"ur5e": "UR5e", "fr3": "FR3"}
PAGE = ROOT / "docs" / "results" / "faults.md"
OTHER_PAGE = PAGE.with_name("faults_other_arms.md")
LEFT_OUT = ROOT / "tests" / "faults" / "left_out.yaml"
# The columns of the two tables.
HOLD_COLUMNS = ["fault", "what the arm did", "p50", "p99", "worst", "strict bound", "within"]
HOLD_COLUMNS += ["at rest, worst", "reason codes", "unsafe", "again"]
ON_COLUMNS = ["fault", "policy followed in", "at least in", "within", "reason codes", "unsafe", "again"]
RESTS, GOES_ON = "comes to rest by itself", "goes on"
ALLOWANCE = 100.0  # [ms] beyond the strict bound, for a machine with other load
FOLLOWED = 90.0  # [%] of the cycles, if the arm has to keep following the policy


@dataclass
class FaultBenchArguments:
    """Fault injection, and the table of it."""

    robot: Robot = POURING
    """The arm."""
    repeats: int = 20
    """Injections of each fault."""
    only: str = ""
    """Cases to run, as pytest's -k takes it; empty: all."""
    report: bool = False
    """Run nothing, only write the table of existing results."""


def place(robot: Robot, what: str = "") -> Path:
    """A file of the runs of this arm, before anything of it is kept."""
    return ROOT / "runs" / f"faults{'' if robot == POURING else f'_{robot}'}{what}"


def kept(robot: Robot) -> Path:
    """The results of this arm."""
    return RESULTS / place(robot, ".json").name


def run(args: FaultBenchArguments) -> int:
    """Exit status of pytest."""
    environment = {
        **os.environ,
        "SPILLGUARD_FAULT_ARM": args.robot,
        "SPILLGUARD_FAULT_REPEATS": str(args.repeats),
        "SPILLGUARD_FAULT_RESULTS": str(place(args.robot, ".json")),
    }
    # Priority below every node: the observer must neither starve nor delay the nodes.
    if refused := run_first_in_first_out(1):
        sys.stderr.write(f"{refused}\n")
    junit = place(args.robot, ".xml")
    command = [sys.executable, "-m", "pytest", "tests/faults", "-q", "--timeout=900", f"--junitxml={junit}"]
    command += ["-k", args.only] if args.only else []
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if junit.exists():
        keep_outcomes(args.robot, junit)
    return status


def keep_outcomes(robot: Robot, junit: Path) -> None:
    """Add how each test of this arm ended: not every one measures something."""
    path = place(robot, "_tests.json")
    tests = json.loads(path.read_text()) if path.exists() else {}
    for case in ElementTree.parse(junit).iter("testcase"):
        function, _, words = case.get("name", "").partition("[")
        if robot in words.removesuffix("]").split("-"):
            tests[f"{case.get('classname', '').rpartition('.')[2]}.py::{function}[{words}"] = (
                "passed" if len(case) == 0 else str(case[0].tag)
            )
    path.write_text(json.dumps(tests) + "\n")


def results(robot: Robot) -> dict[str, dict[str, Any]]:
    """Cases with what was measured, and tests with how they ended; the newest runs if there are any."""
    if not place(robot, ".json").exists():
        return dict(json.loads(kept(robot).read_text()))
    tests = place(robot, "_tests.json")
    return {
        "cases": json.loads(place(robot, ".json").read_text()),
        "tests": json.loads(tests.read_text()) if tests.exists() else {},
    }


def keep(robot: Robot, found: dict[str, dict[str, Any]]) -> None:
    """Write the results, a line a case."""
    parts = []
    for name, entries in found.items():
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items())
        parts.append(f"{json.dumps(name)}: {{\n{lines}\n}}")
    kept(robot).write_text("{\n" + ",\n".join(parts) + "\n}\n")


def late(case: dict[str, Any]) -> bool:
    """Whether an answer came too late, or the policy was followed in too few cycles."""
    if case["answer"] == GOES_ON:
        return min(case["followed"]) < FOLLOWED
    shown = case["to_rest" if case["answer"] == RESTS else "to_hold"]
    bounds = [float("inf") if bound is None else bound for bound in case["bound"]]
    return any(time is None or time > bound + ALLOWANCE for time, bound in zip(shown, bounds, strict=True))


def row(case: dict[str, Any]) -> str:
    """One line of the table of its kind."""
    if case["answer"] == GOES_ON:
        followed = case["followed"]
        cells = [
            f"{np.mean(followed):.1f} %",
            f"{min(followed):.1f} %",
            _share([v == 100.0 for v in followed]),
        ]
    else:
        shown = case["to_rest" if case["answer"] == RESTS else "to_hold"]
        times = [float("inf") if value is None else value for value in shown]
        within = [time <= bound for time, bound in zip(times, case["bound"], strict=True)]
        rest = max((value for value in case["to_rest"] if value is not None), default=float("inf"))
        cells = [_did(case), *_figures(times), f"{max(case['bound']):.0f}", _share(within), f"{rest:.0f}"]
    codes = ", ".join(f"{reason} {number}" for reason, number in case["reasons"].items())
    return f"| {case['fault']} | {' | '.join([*cells, codes])} | {len(case['unsafe'])} | {case['again']} |"


def _figures(values: list[float]) -> list[str]:
    return [f"{value:.0f}" for value in (*np.percentile(values, [50, 99]), max(values))]


def _share(good: list[bool]) -> str:
    return f"{sum(good)} of {len(good)}"


def _did(case: dict[str, Any]) -> str:
    words = {RESTS: "came to rest", "holds": "held"}.get(case["answer"], "stopped, latched")
    rested = sum(value is not None for value in case["to_rest"])
    return f"{words} {rested} of {len(case['to_rest'])}"


def head(robot: Robot, cases: dict[str, dict[str, Any]]) -> list[str]:
    """How the results came about."""
    machines = {
        (c["machine"]["processor"], c["machine"]["cores"], c["machine"]["python"]) for c in cases.values()
    }
    loads = [float(c["machine"]["load"].split()[0]) for c in cases.values()]
    commits = sorted({c["commit"] for c in cases.values()})
    dates = sorted(c["date"] for c in cases.values())
    shown = ["; ".join(f"{name}, {cores} cores, Python {python}" for name, cores, python in machines)]
    repeats = max(len(case["bound"]) for case in cases.values())
    command = (
        f"python -m benchmarks.faults{'' if robot == POURING else f' --robot {robot}'} --repeats {repeats}"
    )
    return [
        f"`{command}`, commit {', '.join(commits)}, {dates[0]} to {dates[-1]}.",
        f"{shown[0]}; load {min(loads):.1f} to {max(loads):.1f}. Times in ms from the fault.",
        "",
    ]


def tables(cases: dict[str, dict[str, Any]], level: str) -> list[str]:
    """Both kinds of cases."""
    lines = []
    kinds: tuple[tuple[str, list[str], Callable[[str], bool]], ...] = (
        ("Faults at which the arm has to hold", HOLD_COLUMNS, lambda answer: answer != GOES_ON),
        ("Faults that must not stop the arm", ON_COLUMNS, lambda answer: answer == GOES_ON),
    )
    for title, columns, wanted in kinds:
        rows = [row(case) for case in cases.values() if wanted(case["answer"])]
        lines += [
            f"{level} {title}",
            "",
            f"| {' | '.join(columns)} |",
            "| --- " * len(columns) + "|",
            *rows,
            "",
        ]
    return lines


def page() -> str:
    """The document of the arm that pours."""
    cases = results(POURING)["cases"]
    notes = PAGE.with_suffix(".notes.md").read_text().strip()
    title = ["# Faults, and what the arm does about them", ""]
    return "\n".join([*title, *head(POURING, cases), notes, "", *tables(cases, "##")])


def other_page() -> str:
    """The document of all other arms that have results."""
    notes = OTHER_PAGE.with_suffix(".notes.md").read_text().strip()
    lines = ["# Faults on other arms, and what they do about them", "", notes, ""]
    for robot, name in OTHERS.items():
        if not (kept(robot).exists() or place(robot, ".json").exists()):
            continue
        found = results(robot)
        lines += [f"## {name}", "", *head(robot, found["cases"]), *outcomes(robot, found["tests"])]
        lines += tables(found["cases"], "###")
    return "\n".join(lines)


def outcomes(robot: Robot, tests: dict[str, str]) -> list[str]:
    """How many tests of each file passed, and what makes no sense for this arm."""
    lines = ["| file of `tests/faults` | passed | did not pass |", "| --- | --- | --- |"]
    for file, number in sorted(Counter(name.partition("::")[0] for name in tests).items()):
        bad = [
            name for name, outcome in tests.items() if name.startswith(f"{file}::") and outcome != "passed"
        ]
        lines.append(f"| {file} | {number - len(bad)} | {', '.join(bad) or 'none'} |")
    left_out = [entry for entry in yaml.safe_load(LEFT_OUT.read_text()) if robot in entry["arms"]]
    return [*lines, "", *(f"Not run: `{entry['test']}`, {entry['reason']}." for entry in left_out), ""]


def main() -> int:
    """Exit status 1 if a case failed or was late."""
    args = tyro.cli(FaultBenchArguments)
    status = 0 if args.report else run(args)
    found = results(args.robot)
    keep(args.robot, found)
    where, text = (PAGE, page()) if args.robot == POURING else (OTHER_PAGE, other_page())
    where.write_text(text)
    slow = [name for name, case in found["cases"].items() if late(case)]
    if slow:
        sys.stderr.write(f"later than the bound and {ALLOWANCE:.0f} ms: {', '.join(slow)}\n")
    return status or int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
