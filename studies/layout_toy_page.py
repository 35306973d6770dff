"""`spillguard study layouts`: the page and the picture of `layout_toy`, beside the published curves."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from policy_training.evaluation.published import FOLDER, read_reference
from policy_training.evaluation.run_data import plain_command
from policy_training.evaluation.tables import markdown
from policy_training.files import write_atomically
from policy_training.processor import set_processor
from policy_training.runs.folder import provenance
from policy_training.terminal import parsed, subcommand
from studies.layout_toy import (
    ARMS,
    BATCH,
    HIGHER,
    RATE,
    TARGETS,
    WIDTH,
    Array,
    Curves,
    first_below,
    run,
)

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SMALLEST = 1e-15  # that is drawn


@dataclass(frozen=True)
class ToyArguments:
    """Train two heads with targets of different size under every optimizer layout, and write a page of it."""

    sizes: tuple[int, ...] = (10, 20)
    "Widths of the input, one table each; the first one is drawn."
    seeds: int = 10
    "Networks per arm."
    epochs: int = 2_000
    "Steps on the fixed batch."
    page: Path = Path("docs/results/layouts.md")
    "Page to write, its picture beside it."

    def __post_init__(self) -> None:
        if not min((*self.sizes, self.seeds, self.epochs, len(self.sizes))) >= 1:
            raise ValueError("sizes, seeds and epochs must be at least 1")


Found = Mapping[str, Curves]  # by arm


def published() -> dict[str, Any]:
    """Values read off the published figure."""
    return json.loads((FOLDER / "sb3_layouts.json").read_text())["toy"]


def epochs_table(found: Found) -> list[str]:
    """Epochs to thresholds, ours followed by the published ones."""
    toy, rows = published(), []
    for name, curves in found.items():
        theirs, row = toy["arms"].get(name, {}), [f"**{ARMS[name].label}**"]
        for head, target in enumerate(toy["thresholds"]):
            for k, threshold in enumerate(toy["thresholds"][target]):
                epoch = first_below(curves.errors[head], float(threshold))
                row.append(_beside("never" if epoch is None else str(epoch), theirs.get(target, "---")[k]))
        rows.append(row)
    heads = ["", *(f"{target}: below {t}" for target, ts in toy["thresholds"].items() for t in ts)]
    return markdown(heads, rows)


def ends_table(found: Found) -> list[str]:
    """Mean errors at the end, and the largest one of the second half."""
    toy, rows = published(), []
    for name, curves in found.items():
        theirs, row = toy["arms"].get(name, {}).get("end", {}), [f"**{ARMS[name].label}**"]
        for head, target in enumerate(toy["thresholds"]):
            means = curves.errors[head].mean(axis=1)
            row.append(_beside(f"{means[-1]:.0e}", theirs.get(target, "-")))
            row.append(f"{means[len(means) // 2 :].max():.0e}")
        rows.append(row)
    heads = [
        f"{target}: {what}" for target in toy["thresholds"] for what in ("last", "largest of second half")
    ]
    return markdown(["", *heads], rows)


def _beside(ours: str, theirs: str) -> str:
    return ours if theirs == "-" else f"{ours} ({theirs})"


def draw(found: Found, picture: Path) -> None:
    """Error and gradient norm of both heads: mean over seeds, band from the lower to the upper quartile."""
    figure, grid = plt.subplots(2, 2, figsize=(11, 7.5), sharex=True, layout="constrained")
    for head, target in enumerate(TARGETS):
        for axes, what in zip(grid[head], ("errors", "norms"), strict=True):
            for k, (name, curves) in enumerate(found.items()):
                values = curves.norms[head] if what == "norms" else curves.errors[head][curves.measured]
                _line(axes, 1 + curves.measured, values, ARMS[name].label, f"C{k}")
            unit = "of the target" if what == "errors" else "the head learns in"
            kind = "mean squared error" if what == "errors" else "gradient norm"
            axes.set(xscale="log", yscale="log", title=f"target {target:g}: {kind}, in units {unit}")
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def _line(axes: Axes, epochs: NDArray[np.int64], values: Array, label: str, colour: str) -> None:
    values = values.clip(SMALLEST)
    low, high = np.quantile(values, (0.25, 0.75), axis=1)
    axes.plot(epochs, values.mean(axis=1), color=colour, lw=1.3, label=label)
    axes.fill_between(epochs, low, high, color=colour, alpha=0.2, lw=0)


def page(found: Mapping[int, Found], args: ToyArguments, seconds: float, picture: str, origin: str) -> str:
    """The whole page."""
    toy, notes = published(), args.page.with_name(f"{args.page.stem}.notes.md")
    lines = [
        "# Optimizer layouts on two targets of different size", "",
        f"A trunk (Linear + ReLU of {WIDTH}) and two linear heads learn {TARGETS[0]:g} and {TARGETS[1]:g} "
        f"from {BATCH} fixed normal inputs, by Adam at {RATE:g}; the second head's rate is {HIGHER:g} in "
        f"grouped, isolated and shared. {args.seeds} seeds, {args.epochs} epochs. What each layout does is "
        "told in `policy_training/optimizers/layouts.py`, PopArt in `popart.py`.", "",
        f"In brackets: {read_reference('sb3_layouts').source}, {toy['runs']} runs, read off its figure by "
        "eye. It does not tell network, inputs or rates; ours were chosen so that its curves come out: "
        "agreement confirms the reading, not the claim.", "",
        *([notes.read_text().strip(), ""] if notes.is_file() else []),
        f"![curves]({picture})", "",
        "Lines are means over seeds, bands reach from the lower to the upper quartile.", "",
    ]  # fmt: skip
    for size, curves in found.items():
        lines += [
            f"## {size} inputs", "", "First epoch at which the squared error, mean over seeds, is below:", "",
            *epochs_table(curves), "", "The mean squared error itself:", "", *ends_table(curves), "",
        ]  # fmt: skip
    return "\n".join([*lines, f"{origin} It took {seconds:.0f} s of processor time.", ""])


@subcommand("study layouts")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the page was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parsed(ToyArguments, words, "spillguard study layouts")
    set_processor("highest")
    began = time.process_time()
    found = {
        size: {name: run(arm, size, args.seeds, args.epochs) for name, arm in ARMS.items()}
        for size in args.sizes
    }
    picture = args.page.with_suffix(".png")
    draw(found[args.sizes[0]], picture)
    made = provenance()
    origin = (
        f"Written by `{plain_command(('spillguard', 'study', 'layouts', *words))}`, commit "
        f"{str(made['commit'])[:9]}, {made['machine']}, Python {made['python']}, one thread."
    )
    write_atomically(args.page, page(found, args, time.process_time() - began, picture.name, origin).encode())
    Console(markup=False).print(f"{args.page}, {picture}", soft_wrap=True)
    return 0
