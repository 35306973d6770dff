"""`spillguard plot`: learning curves from run folders, seeds of one label together, limits dashed."""

import io
import logging
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
import tyro
from rich.console import Console

from policy_training.evaluation.run_data import GroupBy, RunData, by_environment, groups, read_run, remarks
from policy_training.evaluation.seed_statistics import common_grid, estimate
from policy_training.files import write_atomically
from policy_training.terminal import parsed, subcommand

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

logger = logging.getLogger(__name__)
Axis = Literal["step", "seconds"]

PANELS = {  # drawn by default if no run has a limit, as far as runs have them
    "validation/success": "success rate, validation",
    "validation/violations": "violation rate, validation",
    "return": "return, training episodes",
    "violations": "violations so far, training",
    "eps": "threshold eps",
    "alpha": "temperature alpha",
    "nu": "multiplier nu",
    "q_c": "predicted violation Q_c",
}
TITLES = PANELS | {
    "cost": "cost, training episodes",
    "kl": "KL divergence [nat]",
    "entropy": "entropy [nat]",
    "samples": "samples of an iteration",
    "conflicts": "iterations in conflict so far",
}
MEANING = "Lines: interquartile mean over (n) runs. Bands: 95 % stratified bootstrap interval."


@dataclass(frozen=True)
class PlotArguments:
    """Learning curves: interquartile mean over the runs of a label, band its 95 % bootstrap interval."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    "Run folders; one column of panels per environment."
    labels: tuple[str, ...] = ()
    "One label per run; by default the algorithm's name."
    group_by: GroupBy = "label"
    "Which runs share a line: those of a label, those of an algorithm, or none."
    columns: tuple[str, ...] = ()
    "Columns of progress.csv, one panel each; by default return and every cost with a limit."
    x: Axis = "step"
    "Over samples (step) or over wall time (seconds)."
    out: Path = Path("runs/curves.png")
    "Picture to write."


def default_columns(runs: Sequence[RunData]) -> list[str]:
    """Return and limited costs; without any limit, those of PANELS that the runs have."""
    costs = [run.cost_column(name) for run in runs for name in run.limits]
    if costs:
        return list(dict.fromkeys(["return", *costs]))
    return [name for name in PANELS if any(run.has(name) for run in runs)]


def unit(column: Axis, longest: float) -> tuple[float, str]:
    """The unit of the horizontal axis, and its name."""
    if column == "seconds":
        return (60.0, "wall time [min]") if longest < 7200.0 else (3600.0, "wall time [h]")
    return (1e6, "samples [million]") if longest >= 2e6 else (1e3, "samples [thousand]")


def draw(
    axes: Axes, label: str, runs: Sequence[RunData], column: str, x: Axis, scale: float, colour: str
) -> list[str]:
    """Draw a line with its band. Returns remarks for the foot of the picture."""
    curves = [run.curve(column, x) for run in runs]
    grid, values = common_grid(curves, f"{column} of {label}")
    found = estimate(values[:, None, :])
    axes.plot(grid / scale, found.point, color=colour, lw=1.6, label=label, marker="o" * (len(grid) == 1))
    if np.isfinite(found.low).all():
        axes.fill_between(grid / scale, found.low, found.high, color=colour, alpha=0.18, lw=0)
    said, ends = remarks(label, runs), [run.last("step") for run in runs]
    if min(ends) < max(ends):
        said.append(f"{label}: drawn to its shortest run, {min(ends):,.0f} of {max(ends):,.0f} steps")
    return said


def limits_of(runs: Sequence[RunData], column: str) -> list[float]:
    """The limits of a cost's column."""
    return sorted({v for run in runs for name, v in run.limits.items() if run.cost_column(name) == column})


def panel(
    axes: Axes, labelled: Mapping[str, Sequence[RunData]], colours: Mapping[str, str], column: str, x: Axis
) -> list[str]:
    """Draw one column of progress.csv in one environment. Returns remarks on its lines."""
    drawn = {label: [run for run in runs if run.has(column, x)] for label, runs in labelled.items()}
    everything = [run for runs in drawn.values() for run in runs]
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    if not everything:
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes, color="0.5")
        return []
    scale, name = unit(x, max(run.curve(column, x)[0][-1] for run in everything))
    said: list[str] = []
    for label, runs in drawn.items():
        if runs:
            said += draw(axes, label, runs, column, x, scale, colours[label])
    for limit in limits_of(everything, column):
        axes.axhline(limit, color="black", ls="--", lw=1.1, label=f"limit {limit:g}")
    axes.set_xlabel(name, fontsize=9)
    return said


def key(figure: Figure, counts: Mapping[str, Sequence[int]]) -> None:
    """One legend for all panels: every label with its number of runs, every limit."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            many = "/".join(str(n) for n in sorted(set(counts.get(label, ()))))
            handles.setdefault(f"{label} ({many})" if many else label, handle)
    beside = int(figure.get_figwidth() / 1.6)
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=beside, fontsize=9)


def picture(
    found: Mapping[str, Sequence[RunData]], columns: Sequence[str] = (), x: Axis = "step"
) -> tuple[Figure, list[str]]:
    """The figure with its remarks at the foot. ValueError if there is nothing to draw."""
    everything = [run for runs in found.values() for run in runs]
    columns = list(columns) or default_columns(everything)
    unknown = [c for c in columns if not any(run.has(c, x) for run in everything)]
    if unknown or not columns:
        known = ", ".join(dict.fromkeys(name for run in everything for name in run.columns if name != x))
        raise ValueError(
            f"none of these runs has {', '.join(unknown) or 'a known column'}; they have {known}"
        )
    split = by_environment(found)
    alone = len(split) == 1
    down, across = (min(len(columns), 2), -(-len(columns) // 2)) if alone else (len(columns), len(split))
    figure, grid = plt.subplots(
        down, across, figsize=(max(3.6 * across, 5.5), 2.6 * down + 1.1), squeeze=False, layout="constrained"
    )
    panels = (
        [(env, c) for env in split for c in columns] if alone else [(e, c) for c in columns for e in split]
    )
    colours = {label: f"C{index % 10}" for index, label in enumerate(found)}
    said: list[str] = []
    for index, (axes, (env, column)) in enumerate(zip(grid.flat, panels, strict=False)):
        said += [text if alone else f"{env}, {text}" for text in panel(axes, split[env], colours, column, x)]
        if alone or index % across == 0:
            axes.set_ylabel(TITLES.get(column, column), fontsize=9)
        if index < (1 if alone else across):
            axes.set_title(env, fontsize=10)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    key(figure, {label: [len(split[e][label]) for e in split if label in split[e]] for label in found})
    said = list(dict.fromkeys(said))
    width = int(figure.get_figwidth() * 14.5)
    foot = "\n".join(line for text in (MEANING, *said) for line in textwrap.wrap(text, width))
    figure.supxlabel(foot, x=0.01, ha="left", fontsize=8)
    return figure, said


def save(figure: Figure, out: Path) -> None:
    """Write a picture atomically, then close the figure."""
    form, content = out.suffix[1:] or "png", io.BytesIO()
    figure.savefig(content, format=form, dpi=110)
    plt.close(figure)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, content.getbuffer())


def plot(folders: Mapping[str, Sequence[Path]], out: Path) -> None:
    """Draw the default panels of run folders by label."""
    figure, _ = picture({label: [read_run(run) for run in runs] for label, runs in folders.items()})
    save(figure, out)


@subcommand("plot")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the picture was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parsed(PlotArguments, words, "spillguard plot")
    figure, said = picture(groups(args.runs, args.labels, args.group_by), args.columns, args.x)
    save(figure, args.out)
    for text in said:
        logger.info("%s", text)
    Console(markup=False).print(str(args.out), soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
