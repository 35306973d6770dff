"""`spillguard plot`: learning curves of one or several runs, seeds of one algorithm pooled."""

import csv
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console

from policy_training.runs import RunConfig
from policy_training.terminal import complain

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

logger = logging.getLogger(__name__)
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # steps, values

PANELS = {
    "validation/success": "success rate, validation",
    "validation/violations": "violation rate, validation",
    "return": "return, training episodes",
    "violations": "violations so far, training",
    "eps": "threshold eps",
    "alpha": "temperature alpha",
    "nu": "multiplier nu",
    "q_c": "predicted violation Q_c",
}


@dataclass(frozen=True)
class PlotArguments:
    """Learning curves. Runs of one label are pooled: mean line, band from lowest to highest seed."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    "Run folders."
    labels: tuple[str, ...] = ()
    "One label per run; by default the algorithm's name."
    out: Path = Path("runs/curves.png")
    "Picture to write."


def read_curves(run: Path) -> dict[str, Curve]:
    """All columns of a run's progress.csv, each with the steps at which it was written."""
    path = run / "progress.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{run} holds no progress.csv; is it a run folder?")
    points: dict[str, list[tuple[float, float]]] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if name != "step" and value not in ("", None):
                    points.setdefault(name, []).append((float(row["step"]), float(value)))
    return {name: (np.array(p)[:, 0], np.array(p)[:, 1]) for name, p in points.items()}


def pool(curves: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps (T,) that all runs share the range of, and each run's value there (R, T)."""
    last = min(steps[-1] for steps, _ in curves)
    steps = max((s for s, _ in curves), key=len)
    steps = steps[steps <= last]
    return steps, np.array([np.interp(steps, s, v) for s, v in curves])


def draw(axes: Axes, label: str, curves: Sequence[Curve], colour: str) -> None:
    """One pooled curve."""
    steps, values = pool(curves)
    axes.plot(steps / 1000.0, values.mean(axis=0), color=colour, label=f"{label} ({len(curves)})")
    if len(curves) > 1:
        axes.fill_between(
            steps / 1000.0, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0
        )


def plot(groups: Mapping[str, Sequence[Path]], out: Path) -> None:
    """Draw the panels that at least one run has data for."""
    data = {label: [read_curves(run) for run in runs] for label, runs in groups.items()}
    panels = [name for name in PANELS if any(name in run for runs in data.values() for run in runs)]
    if not panels:
        raise ValueError("none of these runs has anything to plot yet")
    figure, axes = plt.subplots(
        2, -(-len(panels) // 2), figsize=(3.6 * -(-len(panels) // 2), 6), squeeze=False
    )
    for axis, name in zip(axes.flat, panels, strict=False):
        for index, (label, runs) in enumerate(data.items()):
            curves = [run[name] for run in runs if name in run]
            if curves:
                draw(axis, label, curves, f"C{index}")
        axis.set_title(PANELS[name], fontsize=10)
        axis.set_xlabel("environment steps [thousand]", fontsize=8)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(panels) :]:
        axis.remove()
    axes.flat[0].legend(fontsize=8)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when the picture was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = tyro.cli(
        Annotated[PlotArguments, tyro.conf.OmitArgPrefixes], prog="spillguard plot",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    try:
        if args.labels and len(args.labels) != len(args.runs):
            raise ValueError(f"{len(args.labels)} labels for {len(args.runs)} runs; give one each or none")
        groups: dict[str, list[Path]] = {}
        for index, run in enumerate(args.runs):
            config = RunConfig.from_json((run / "config.json").read_text())
            groups.setdefault(args.labels[index] if args.labels else config.algo, []).append(run)
        plot(groups, args.out)
    except (ValueError, FileNotFoundError) as error:
        return complain("plot", error)
    Console().print(str(args.out), soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
