"""`spillguard results`: the page that compares evaluated runs, every number read from their files.

Runs of one label are pooled over training seeds. Each needs ``evaluation/report.json`` (spillguard evaluate).
"""

import json
import logging
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from scipy.stats import t as student

from policy_training.plots import plot
from policy_training.terminal import complain

logger = logging.getLogger(__name__)
RATES = ("success", "spill", "contact", "limit")
MEANS = ("total_reward", "effort", "seconds")
HEADS = {"total_reward": "return", "effort": "effort", "seconds": "time [s]"}


@dataclass(frozen=True)
class ResultsArguments:
    """Write a results page from evaluated runs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    "Run folders, evaluated; or folders that hold a report.json themselves (the scripted baseline)."
    labels: tuple[str, ...] = ()
    "One label per run."
    title: str = "PourCoffee"
    "Headline of the page."
    notes: Path | None = None
    "Markdown to put between the tables: what the numbers mean. Without numbers of its own."
    out: Path = Path("docs/results/pour_coffee.md")
    "Page to write; the curves go beside it as a PNG of the same name."


@dataclass(frozen=True)
class Evaluated:
    """One run and its report."""

    run: Path
    report: Mapping[str, object]
    learned: bool  # has curves

    def value(self, name: str) -> float:
        """Rate or mean of one figure."""
        figure = self.report["figures"][name]  # type: ignore[index]
        return float(figure["rate"] if "rate" in figure else figure["mean"])


def minutes(run: Path) -> str:
    """Wall time of a training run, from its first file to its last checkpoint."""
    first, last = run / "config.json", run / "checkpoint.pt"
    if not (first.is_file() and last.is_file()):
        return "-"
    return f"{(last.stat().st_mtime - first.stat().st_mtime) / 60.0:.1f}"


def read(run: Path) -> Evaluated:
    """A run's report."""
    found = [p for p in (run / "evaluation" / "report.json", run / "report.json") if p.is_file()]
    if not found:
        raise FileNotFoundError(f"{run} holds no report.json; run `spillguard evaluate {run}` first")
    return Evaluated(run, json.loads(found[0].read_text()), (run / "progress.csv").is_file())


def across_seeds(values: Sequence[float], percent: bool) -> str:
    """Mean over training seeds with Student's 95 % interval; the bare value for one run."""
    array = np.asarray(values) * (100.0 if percent else 1.0)
    unit = " %" if percent else ""
    if len(array) < 2:
        return f"{array[0]:.3g}{unit}"
    half = float(student.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return f"{array.mean():.3g} ± {half:.2g}{unit}"


def table(groups: Mapping[str, Sequence[Evaluated]]) -> list[str]:
    """One row a label, then one a run."""
    heads = ["", "seeds", *RATES, *(HEADS[name] for name in MEANS)]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for label, runs in groups.items():
        cells = [across_seeds([r.value(n) for r in runs], True) for n in RATES]
        cells += [across_seeds([r.value(n) for r in runs], False) for n in MEANS]
        lines.append("| " + " | ".join([f"**{label}**", str(len(runs)), *cells]) + " |")
    return lines


def each_run(groups: Mapping[str, Sequence[Evaluated]]) -> list[str]:
    """Success of every run with its exact binomial interval, and the command that trained it."""
    heads = ["run", "success", "95 % interval", "spill", "contact", "minutes", "training command", "commit"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for label, runs in groups.items():
        for r in runs:
            success = r.report["figures"]["success"]  # type: ignore[index]
            subject: Mapping[str, object] = r.report["subject"]  # type: ignore[assignment]
            training: Mapping[str, object] = subject.get("training", {})  # type: ignore[assignment]
            command = " ".join(training.get("command", [])) or "-"  # type: ignore[call-overload,arg-type]
            commit = str(training.get("commit", ""))[:9] or "-"
            seed = subject.get("training_seed", "-")
            lines.append(
                f"| {label}, seed {seed} | {100 * success['rate']:.1f} % "
                f"| {100 * success['low']:.1f} to {100 * success['high']:.1f} % "
                f"| {100 * r.value('spill'):.1f} % | {100 * r.value('contact'):.1f} % "
                f"| {minutes(r.run)} | `{command}` | {commit} |"
            )
    return lines


def page(groups: Mapping[str, Sequence[Evaluated]], title: str, picture: Path, notes: str) -> str:
    """The whole page."""
    first = next(iter(groups.values()))[0].report
    lines = [
        f"# {title}", "",
        f"{first['episodes']} held-out episodes a run (seeds from {first['first_seed']}), deterministic "
        "policy, chosen on validation seeds. A row is the mean over training seeds with Student's 95 % "
        "interval.", "",
        *table(groups), "", f"![learning curves]({picture.name})", "",
        "Lines are interquartile means over seeds, bands their 95 % bootstrap intervals.", "", notes, "",
        "## Every run", "", *each_run(groups), "",
        f"Machine: {platform.machine()}, Python {platform.python_version()}, two cores. Written by "
        "`spillguard results` from the runs' report.json and progress.csv.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when the page was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = tyro.cli(
        Annotated[ResultsArguments, tyro.conf.OmitArgPrefixes], prog="spillguard results",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    try:
        if len(args.labels) != len(args.runs):
            raise ValueError(f"{len(args.labels)} labels for {len(args.runs)} runs; give one each")
        groups: dict[str, list[Evaluated]] = {}
        for label, run in zip(args.labels, args.runs, strict=True):
            groups.setdefault(label, []).append(read(run))
        picture = args.out.with_suffix(".png")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        learned = {label: [r.run for r in runs if r.learned] for label, runs in groups.items()}
        plot({label: runs for label, runs in learned.items() if runs}, picture)
        notes = args.notes.read_text().strip() if args.notes else ""
        args.out.write_text(page(groups, args.title, picture, notes))
    except (ValueError, FileNotFoundError, KeyError, ModuleNotFoundError) as error:
        return complain("results", error)
    Console().print(f"{args.out}, {picture}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
