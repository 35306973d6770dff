"""Runs the fault injection of tests/faults many times and writes what came of it to docs/results/faults.md.

A part of the cases can be run at a time: what the others gave before is kept.
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

PARTS = ROOT / "runs" / "faults.json"
KEPT = RESULTS / "faults.json"
PAGE = ROOT / "docs" / "results" / "faults.md"
NOTES = PAGE.with_suffix(".notes.md")
RESTS, GOES_ON = "comes to rest by itself", "goes on"


@dataclass
class Args:
    """Fault injection, and the table of it."""

    repeats: int = 20
    """Injections of each fault."""
    only: str = ""
    """Cases to run, as pytest's -k takes it; empty: all."""
    report: bool = False
    """Run nothing, only write the table of what there is."""


def run(args: Args) -> int:
    """Exit status of pytest."""
    environment = {
        **os.environ,
        "SPILLGUARD_FAULT_REPEATS": str(args.repeats),
        "SPILLGUARD_FAULT_RESULTS": str(PARTS),
    }
    command = [sys.executable, "-m", "pytest", "tests/faults", "-q", "--timeout=900"]
    command += ["-k", args.only] if args.only else []
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def figures(values: list[float]) -> str:
    """Median, 99th percentile and worst [ms]."""
    if not values:
        return "| | |"
    return " | ".join(f"{value:.0f}" for value in (*np.percentile(values, [50, 99]), max(values)))


def row(case: dict[str, Any]) -> str:
    """One line of the table."""
    count = len(case["bound"])
    rest = [value for value in case["to_rest"] if value is not None]
    shown = "to_rest" if case["answer"] == RESTS else "to_hold"
    if case["answer"] == GOES_ON:
        followed = case["followed"]
        did = (
            f"followed the policy in {np.mean(followed):.1f} % of the cycles, at least {min(followed):.1f} %"
        )
        cells = [did, _codes(case), "", "", "", "", _share([value == 100.0 for value in followed]), ""]
    else:
        times = [float("inf") if value is None else value for value in case[shown]]
        within = [time <= bound for time, bound in zip(times, case["bound"], strict=True)]
        did = f"{_verb(case)} in {len(rest)} of {count}"
        cells = [did, _codes(case), figures(times), f"{max(case['bound']):.0f}", _share(within),
                 f"{max(rest, default=float('inf')):.0f}"]  # fmt: skip
    return f"| {case['fault']} | {' | '.join(cells)} | {len(case['unsafe'])} | {case['again']} |"


def _share(good: list[bool]) -> str:
    return f"{sum(good)} of {len(good)}"


def _codes(case: dict[str, Any]) -> str:
    return ", ".join(f"{reason} {number}" for reason, number in case["reasons"].items())


def _verb(case: dict[str, Any]) -> str:
    if case["answer"] == RESTS:
        return "came to rest"
    return "held" if case["answer"] == "holds" else "stopped, latched,"


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
    for title, wanted in (
        ("Faults at which the arm has to hold", lambda answer: answer != GOES_ON),
        ("Faults that must not stop the arm", lambda answer: answer == GOES_ON),
    ):
        lines += [
            f"## {title}",
            "",
            "| fault | what the arm did | reason code | p50 | p99 | worst | strict bound | within "
            "| at rest, worst | unsafe | again |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *(row(case) for case in cases.values() if wanted(case["answer"])),
            "",
        ]
    return "\n".join(lines)


def main() -> int:
    """Exit status 1 if a case failed."""
    args = tyro.cli(Args)
    status = 0 if args.report else run(args)
    source = PARTS if PARTS.exists() else KEPT
    cases = json.loads(source.read_text())
    KEPT.write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n")
    repeats = max(len(case["bound"]) for case in cases.values())
    PAGE.write_text(page(cases, f"python -m benchmarks.faults --repeats {repeats}"))
    return status


if __name__ == "__main__":
    sys.exit(main())
