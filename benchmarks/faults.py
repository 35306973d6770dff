"""Runs the fault injection of tests/faults many times and writes the results to docs/results/faults.md.

The tests hold order, states and safety and prove the bounds in simulated time. Here the bounds are checked in
real time: exit status 1 if an answer took longer than its bound plus `ALLOWANCE`.

A part of the cases can be run at a time: earlier results of the others are kept.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro

from benchmarks.record import RESULTS, ROOT
from spillguard_ros.node.realtime import run_first_in_first_out

PARTS = ROOT / "runs" / "faults.json"
KEPT = RESULTS / "faults.json"
PAGE = ROOT / "docs" / "results" / "faults.md"
NOTES = PAGE.with_suffix(".notes.md")
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

    repeats: int = 20
    """Injections of each fault."""
    only: str = ""
    """Cases to run, as pytest's -k takes it; empty: all."""
    report: bool = False
    """Run nothing, only write the table of existing results."""


def run(args: FaultBenchArguments) -> int:
    """Exit status of pytest."""
    environment = {
        **os.environ,
        "SPILLGUARD_FAULT_REPEATS": str(args.repeats),
        "SPILLGUARD_FAULT_RESULTS": str(PARTS),
    }
    # Priority below every node: the observer must neither starve nor delay the nodes.
    if refused := run_first_in_first_out(1):
        sys.stderr.write(f"{refused}\n")
    command = [sys.executable, "-m", "pytest", "tests/faults", "-q", "--timeout=900"]
    command += ["-k", args.only] if args.only else []
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


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


def page(cases: dict[str, dict[str, Any]], command: str) -> str:
    """The document."""
    machines = {
        (c["machine"]["processor"], c["machine"]["cores"], c["machine"]["python"]) for c in cases.values()
    }
    loads = [float(c["machine"]["load"].split()[0]) for c in cases.values()]
    commits = sorted({c["commit"] for c in cases.values()})
    dates = sorted(c["date"] for c in cases.values())
    shown = ["; ".join(f"{name}, {cores} cores, Python {python}" for name, cores, python in machines)]
    lines = [
        "# Faults, and what the arm does about them",
        "",
        f"`{command}`, commit {', '.join(commits)}, {dates[0]} to {dates[-1]}.",
        f"{shown[0]}; load {min(loads):.1f} to {max(loads):.1f}. Times in ms from the fault.",
        "",
        NOTES.read_text().strip(),
        "",
    ]
    for title, columns, wanted in (
        ("Faults at which the arm has to hold", HOLD_COLUMNS, lambda answer: answer != GOES_ON),
        ("Faults that must not stop the arm", ON_COLUMNS, lambda answer: answer == GOES_ON),
    ):
        rows = [row(case) for case in cases.values() if wanted(case["answer"])]
        lines += [f"## {title}", "", f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|", *rows, ""]
    return "\n".join(lines)


def main() -> int:
    """Exit status 1 if a case failed or was late."""
    args = tyro.cli(FaultBenchArguments)
    status = 0 if args.report else run(args)
    source = PARTS if PARTS.exists() else KEPT
    cases = json.loads(source.read_text())
    shown = [f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items()]
    KEPT.write_text("{\n" + ",\n".join(shown) + "\n}\n")
    repeats = max(len(case["bound"]) for case in cases.values())
    PAGE.write_text(page(cases, f"python -m benchmarks.faults --repeats {repeats}"))
    slow = [name for name, case in cases.items() if late(case)]
    if slow:
        sys.stderr.write(f"later than the bound and {ALLOWANCE:.0f} ms: {', '.join(slow)}\n")
    return status or int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
