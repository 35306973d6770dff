"""`spillguard results`: the page that compares evaluated runs, every number read from their files.

Runs of one label are pooled over training seeds. Each needs ``evaluation/report.json`` (spillguard evaluate).
"""

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from scipy.stats import t as student

from policy_training.evaluation.held_out import Figures, telling
from policy_training.evaluation.plots import plot
from policy_training.files import read_json, write_atomically
from policy_training.terminal import parsed, subcommand

logger = logging.getLogger(__name__)
HEADS = {"total_reward": "return", "seconds": "time [s]", "violation": "any violation"}
BEFORE = {name: f"violation/{name}" for name in ("spill", "contact", "limit")}  # of pouring, in older reports


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
    "Markdown to put between the tables: what the numbers mean. It must hold no numbers."
    out: Path = Path("docs/results/pour_coffee.md")
    "Page to write; the curves go beside it as a PNG of the same name."


@dataclass(frozen=True)
class Evaluated:
    """One run and its report."""

    run: Path
    report: Mapping[str, object]
    figures: Figures
    learned: bool  # has curves

    def value(self, name: str) -> float:
        """Rate or mean of one figure."""
        figure = self.figures[name]
        return figure["rate"] if "rate" in figure else figure["mean"]


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
    report = read_json(found[0])
    if not (isinstance(report, dict) and {"episodes", "first_seed", "figures", "subject"} <= report.keys()):
        raise ValueError(f"{found[0]} is no report of `spillguard evaluate`")
    figures = {BEFORE.get(name, name): figure for name, figure in report["figures"].items()}
    return Evaluated(run, report, figures, (run / "progress.csv").is_file())


def columns(runs: Sequence[Evaluated]) -> list[str]:
    """Figures that every run has, rates first; steps only if no run reports seconds."""
    names = [n for n in telling([r.figures for r in runs]) if all(n in r.figures for r in runs)]
    names = [n for n in names if not (n == "steps" and "seconds" in names)]
    return sorted(names, key=lambda name: "rate" not in runs[0].figures[name])


def head(name: str) -> str:
    """The headline of a column."""
    return HEADS.get(name, name.removeprefix("violation/"))


def across_seeds(values: Sequence[float], percent: bool) -> str:
    """Mean over training seeds with Student's 95 % interval; the bare value for one run."""
    array = np.asarray(values) * (100.0 if percent else 1.0)
    unit = " %" if percent else ""
    if len(array) < 2:
        return f"{array[0]:.3g}{unit}"
    half = float(student.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return f"{array.mean():.3g} ± {half:.2g}{unit}"


def table(groups: Mapping[str, Sequence[Evaluated]]) -> list[str]:
    """One row per label, then one per run."""
    every = [run for runs in groups.values() for run in runs]
    names, figures = columns(every), every[0].figures
    heads = ["", "seeds", *map(head, names)]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for label, runs in groups.items():
        cells = [across_seeds([r.value(n) for r in runs], "rate" in figures[n]) for n in names]
        lines.append("| " + " | ".join([f"**{label}**", str(len(runs)), *cells]) + " |")
    return lines


def rate_of(figure: Mapping[str, float], interval: bool) -> str:
    """A rate in percent."""
    text = f"{100 * figure['rate']:.1f} %"
    return text + f", {100 * figure['low']:.1f} to {100 * figure['high']:.1f}" * interval


def each_run(groups: Mapping[str, Sequence[Evaluated]]) -> list[str]:
    """Rates of every run, success with its exact binomial interval, and the command that trained it."""
    rates = [n for n in columns([run for runs in groups.values() for run in runs])
             if "rate" in next(iter(groups.values()))[0].figures[n]]  # fmt: skip
    heads = ["run", *(f"{head(n)}, 95 % interval" if n == "success" else head(n) for n in rates)]
    heads += ["minutes", "training command", "commit"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for label, runs in groups.items():
        for r in runs:
            subject: Mapping[str, object] = r.report["subject"]  # type: ignore[assignment]
            training: Mapping[str, object] = subject.get("training", {})  # type: ignore[assignment]
            command = " ".join(training.get("command", [])) or "-"  # type: ignore[call-overload,arg-type]
            commit = str(training.get("commit", ""))[:9] or "-"
            seed = subject.get("training_seed", "-")
            cells = [rate_of(r.figures[name], interval=name == "success") for name in rates]
            cells = [f"{label}, seed {seed}", *cells, minutes(r.run), f"`{command}`", commit]
            lines.append("| " + " | ".join(cells) + " |")
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


@subcommand("results")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the page was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parsed(ResultsArguments, words, "spillguard results")
    if len(args.labels) != len(args.runs) or not args.runs:
        raise ValueError(
            f"{len(args.labels)} labels for {len(args.runs)} runs; give one run or more, and a label for each"
        )
    groups: dict[str, list[Evaluated]] = {}
    for label, run in zip(args.labels, args.runs, strict=True):
        groups.setdefault(label, []).append(read(run))
    picture = args.out.with_suffix(".png")
    learned = {label: [r.run for r in runs if r.learned] for label, runs in groups.items()}
    plot({label: runs for label, runs in learned.items() if runs}, picture)
    notes = args.notes.read_text().strip() if args.notes else ""
    write_atomically(args.out, page(groups, args.title, picture, notes).encode())
    Console(markup=False).print(f"{args.out}, {picture}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
