"""The page of `spillguard espo-study`, made from run folders alone."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from policy_training.algorithms.espo import EspoConfig
from policy_training.evaluation.results_page import across_seeds
from policy_training.evaluation.run_data import plain_command, read_progress
from policy_training.files import write_atomically
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.paper_presets import ITERATIONS
from policy_training.steps.gradient_manipulation import MODES, implied_conflicts

mpl.use("Agg")
from matplotlib import pyplot as plt

CONTROL = "control"
LABELS = {"crpo": "CRPO", "pcrpo": "PCRPO", "espo": "ESPO", CONTROL: "PCRPO at ESPO's mean batch"}
LAST = 0.1  # share of the iterations whose mean counts as final
# The paper's: samples of ESPO and of the others [million], minutes or percent of ESPO, CRPO, PCRPO.
PAPER_SAMPLES = {
    "SafetyReacher-v0": (5.7, 8.0),
    "SafetyWalker2d-v0": (6.2, 8.0),
    "SafetyHumanoidStandup-v0": (5.1, 8.0),
}
PAPER_BASE = 16_000  # X [steps]
PAPER_TIME = {
    "SafetyReacher-v0": (50.0, 57.0, 67.0), "SafetyWalker2d-v0": (58.0, 71.0, math.nan),
    "SafetyHumanoidStandup-v0": (1.0, 1.0 / 0.765, 1.0 / 0.7401),
}  # fmt: skip
PAPER_MODES = {
    ("SafetyHumanoidStandup-v0", "espo"): (298, 199, 3),
    ("SafetyHumanoidStandup-v0", "crpo"): (178, 0, 322),
}


@dataclass(frozen=True)
class FinishedRun:
    """One complete run."""

    label: str
    config: RunConfig
    columns: dict[str, NDArray[np.float64]]  # (I,) one value per iteration, NaN where a cell is empty
    made: str = ""  # commit and machine

    @property
    def task(self) -> str:
        """Environment, without its namespace."""
        return self.config.env.split("/")[-1]

    def last(self, name: str) -> float:
        """The last value; 0 for a count that was never logged."""
        return float(self.columns[name][-1]) if name in self.columns else 0.0

    def written(self, name: str) -> NDArray[np.float64]:
        """The column without empty cells."""
        column = self.columns.get(name, np.empty(0))
        return column[~np.isnan(column)]

    def final(self, name: str) -> float:
        """Mean over the last iterations."""
        column = self.columns[name]
        return float(column[-max(1, round(LAST * len(column))) :].mean())


def read(runs: Sequence[tuple[str, Path | None]]) -> list[FinishedRun]:
    """Runs by label, from their folders; missing and incomplete runs are left out."""
    found = []
    for label, run in runs:
        if run is None or not (run / "progress.csv").is_file():
            continue
        config = RunConfig.from_json((run / "config.json").read_text())
        columns = read_progress(run)
        assert isinstance(config.loop, OnPolicyLoop)
        if len(columns["step"]) == config.loop.iterations:
            origin = json.loads((run / "provenance.json").read_text())
            made = f"commit {origin['commit']}, {origin['machine']}"
            found.append(FinishedRun(label, config, columns, made))
    return found


Number = Callable[[FinishedRun], float]


def at_end(name: str) -> Number:
    """A column's last value."""
    return lambda trained: trained.last(name)


def _shares(one: Sequence[FinishedRun], other: Sequence[FinishedRun], number: Number) -> str:
    """one / other, paired by seed."""
    of = {t.config.seed: number(t) for t in other}
    ratios = [number(t) / of[t.config.seed] for t in one if t.config.seed in of]
    return _seeds(ratios, True)


def _seeds(values: Sequence[float], percent: bool = False) -> str:
    return across_seeds(values, percent) if values else "-"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads),
            *("| " + " | ".join(row) + " |" for row in rows), ""]  # fmt: skip


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100.0 * value:.0f} %"


def _cost_of_learning(groups: dict[tuple[str, str], list[FinishedRun]], tasks: Sequence[str]) -> list[str]:
    """ESPO's samples and time as shares of the others'."""
    rows = []
    for task in tasks:
        espo = groups.get((task, "espo"), [])
        for k, rival in enumerate(("crpo", "pcrpo", CONTROL)):
            other = groups.get((task, rival), [])
            if not (espo and other):
                continue
            samples, minutes = PAPER_SAMPLES.get(task, (math.nan, 1.0)), PAPER_TIME.get(task, (math.nan,) * 3)
            known = rival != CONTROL
            rows.append([
                task, LABELS[rival], _shares(espo, other, at_end("step")),
                _percent(samples[0] / samples[1]) if known else "-",
                *(_shares(espo, other, at_end(clock)) for clock in ("cpu_seconds", "seconds")),
                _percent(minutes[0] / minutes[1 + k]) if known else "-",
            ])  # fmt: skip
    heads = ["task", "ESPO over", "samples", "paper", "processor time", "wall time", "paper"]
    return _table(heads, rows)


def _conflicts(groups: dict[tuple[str, str], list[FinishedRun]], tasks: Sequence[str]) -> list[str]:
    """Conflict iterations against what the paper's totals imply, and the angle in both spaces."""
    rows = []
    for task in tasks:
        for label in ("pcrpo", "espo", CONTROL):
            runs = groups.get((task, label), [])
            if not runs:
                continue
            settings, implied = runs[0].config.algorithm, "-"
            if isinstance(settings, EspoConfig) and task in PAPER_SAMPLES:
                total, zetas = 1e6 * PAPER_SAMPLES[task][0], (settings.zeta_more, settings.zeta_fewer)
                n = implied_conflicts(PAPER_BASE, ITERATIONS, total, *zetas)
                implied = f"{n * len(runs[0].columns['step']) / ITERATIONS:.1f}"
            cosines = [t.written("cosine/raw") for t in runs]
            raw = [float((cosine < 0.0).sum()) for cosine in cosines]
            angles = [[t.written("angle") for t in runs], [np.arccos(cosine) for cosine in cosines]]
            degrees = [_seeds([float(np.degrees(a.mean())) for a in found if len(a)]) for found in angles]
            soft, conflicts, opposite = (
                _seeds([t.last(name) for t in runs]) for name in ("mode/soft", "conflicts", "opposite")
            )
            rows.append([task, LABELS[label], soft, conflicts, implied, _seeds(raw), *degrees, opposite])
    heads = ["task", "", "soft updates", "conflicts", "paper's, scaled", "conflicts of raw gradients",
             "mean angle [deg]", "of raw gradients [deg]", "near 180 deg"]  # fmt: skip
    return _table(heads, rows)


def _modes(groups: dict[tuple[str, str], list[FinishedRun]], tasks: Sequence[str]) -> list[str]:
    """Shares of the three kinds of updates."""
    rows = []
    for task in tasks:
        for label in LABELS:
            runs = groups.get((task, label), [])
            if not runs:
                continue
            size = [len(t.columns["step"]) for t in runs]
            shares = [[t.last(f"mode/{m}") / n for t, n in zip(runs, size, strict=True)] for m in MODES]
            paper = PAPER_MODES.get((task, label))
            said = " / ".join(_percent(n / sum(paper)) for n in paper) if paper else "-"
            rows.append([task, LABELS[label], *(across_seeds(share, True) for share in shares), said])
    return _table(["task", "", "reward", "soft", "cost", "paper"], rows)


def _outcome(groups: dict[tuple[str, str], list[FinishedRun]], tasks: Sequence[str]) -> list[str]:
    """Return and cost at the end."""
    rows = []
    for task in tasks:
        for label in LABELS:
            runs = groups.get((task, label), [])
            if runs:
                values = [across_seeds([t.final(n) for t in runs], False) for n in ("return", "cost")]
                batch = [t.last("step") / len(t.columns["step"]) for t in runs]
                limit = runs[0].config.algorithm.cost_limits[0][1]  # type: ignore[union-attr]
                rows.append(
                    [task, LABELS[label], str(len(runs)), *values, f"{limit:g}", across_seeds(batch, False)]
                )
    return _table(["task", "", "seeds", "return", "cost", "limit", "mean batch [steps]"], rows)


def _plot(groups: dict[tuple[str, str], list[FinishedRun]], tasks: Sequence[str], picture: Path) -> None:
    """Return, cost and batch over samples: one line per run."""
    figure, axes = plt.subplots(len(tasks), 3, figsize=(13, 3.2 * len(tasks)), squeeze=False)
    for row, task in zip(axes, tasks, strict=True):
        for k, (label, name) in enumerate(LABELS.items()):
            for i, t in enumerate(groups.get((task, label), [])):
                for axis, column in zip(row, ("return", "cost", "samples"), strict=True):
                    axis.plot(
                        t.columns["step"], t.columns[column], color=f"C{k}", lw=1.0, label="" if i else name
                    )
                row[1].axhline(t.config.algorithm.cost_limits[0][1], color="k", ls=":")  # type: ignore[union-attr]
        for axis, title in zip(row, ("return", "cost, limit dotted", "batch [steps]"), strict=True):
            axis.set(title=f"{task}: {title}", xlabel="samples")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="upper center", ncols=len(LABELS))
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - 0.3 / figure.get_figheight()))
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def write_page(found: Sequence[FinishedRun], page: Path) -> None:
    """The page and its picture."""
    if not found:
        raise ValueError("no run of the study is complete; there is nothing to write a page from")
    groups: dict[tuple[str, str], list[FinishedRun]] = {}
    for t in found:
        groups.setdefault((t.task, t.label), []).append(t)
    tasks, notes = list(dict.fromkeys(t.task for t in found)), page.with_name(f"{page.stem}.notes.md")
    picture, iterations = page.with_suffix(".png"), len(found[0].columns["step"])
    page.parent.mkdir(parents=True, exist_ok=True)
    _plot(groups, tasks, picture)
    bases = {t.task: t.config.loop.samples for t in found if t.label != CONTROL}  # type: ignore[union-attr]
    spaces = sorted({getattr(t.config.algorithm, "space", "") for t in found} - {""})
    sizes = ", ".join(f"{task} {base}" for task, base in bases.items())
    lines = [
        "# ESPO against CRPO and PCRPO", "",
        f"`{plain_command(sys.argv)}`; runs of {' and of '.join(sorted({t.made for t in found}))}. "
        f"{iterations} iterations a run in the place of the paper's {ITERATIONS}, safety start scaled with "
        f"them; X [steps]: {sizes}; gradients manipulated in: {', '.join(spaces)}. Means over training seeds "
        "with Student's 95 % intervals; shares are paired by seed.", "",
        *([notes.read_text().strip(), ""] if notes.is_file() else []),
        "## Samples and time", "", *_cost_of_learning(groups, tasks),
        "Processor time is that of the training process, wall time depends on what else ran.", "",
        "## Conflicts", "",
        "The paper's number of conflict iterations follows from its totals of samples.", "",
        *_conflicts(groups, tasks),
        "## Which update", "", "The paper's Table 3: reward / soft / cost.", "", *_modes(groups, tasks),
        "## Return and cost at the end", "",
        f"Mean over the last {100 * LAST:.0f} % of the iterations, stochastic policy, undiscounted sums.", "",
        *_outcome(groups, tasks), f"![curves]({picture.name})", "", "A line is a run.", "",
    ]  # fmt: skip
    write_atomically(page, "\n".join(lines).encode())
