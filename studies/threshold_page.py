"""The page and the picture of `threshold_study`."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy import stats

from policy_training.evaluation.run_data import plain_command
from policy_training.evaluation.seed_statistics import probability_of_improvement
from policy_training.evaluation.tables import markdown
from policy_training.files import write_atomically
from policy_training.runs.folder import provenance

mpl.use("Agg")
from matplotlib import pyplot as plt

Row = dict[str, str]
HEADS = ["rule", "eps at the start", "seeds", "violating at the end %", "in training %", "success %",
         "return", "eps at the end", "nu at the end"]  # fmt: skip


def settings(rows: Sequence[Row]) -> list[tuple[tuple[str, str, str], list[Row]]]:
    """Rows by (problem, asked share, steps)."""

    def key(row: Row) -> tuple[str, str, str]:
        return row["problem"], row["asked"], row["steps"]

    return [(which, list(part)) for which, part in groupby(sorted(rows, key=key), key)]


def cases(rows: Sequence[Row]) -> list[tuple[tuple[str, float], list[Row]]]:
    """Rows by (rule, start), all seeds of one together."""

    def key(row: Row) -> tuple[str, float]:
        return row["rule"], float(row["start"])

    return [(which, list(part)) for which, part in groupby(sorted(rows, key=key), key)]


def values(rows: Sequence[Row], name: str) -> list[float]:
    """A figure of every row."""
    return [float(row[name]) for row in rows]


def interval(found: Sequence[float]) -> tuple[float, float]:
    """95 % t interval of the mean over seeds: a bootstrap of three covers it in 71 % of cases only."""
    middle, error = float(np.mean(found)), float(stats.sem(found))
    half = float(stats.t.ppf(0.975, len(found) - 1)) * error
    return middle - half, middle + half


def cell(rows: Sequence[Row], name: str, times: float = 1.0, form: str = ".1f") -> str:
    """Mean, and its interval if there are several seeds."""
    found = [times * value for value in values(rows, name)]
    text = f"{np.mean(found):{form}}"
    if len(found) < 2:
        return text
    low, high = interval(found)
    return f"{text} [{low:{form}}, {high:{form}}]"


def table(rows: Sequence[Row]) -> list[str]:
    """Of one problem."""
    return markdown(
        HEADS,
        [
            [
                rule, f"{start:g}", str(len(part)), cell(part, "violating", 100.0),
                cell(part, "training_violating", 100.0), cell(part, "success", 100.0, ".0f"),
                cell(part, "return", 1.0, ".2f"), cell(part, "eps", 1.0, ".3f"), cell(part, "nu"),
            ]
            for (rule, start), part in cases(rows)
        ],
    )  # fmt: skip


def met(rows: Sequence[Row], asked: float) -> str:
    """How near the measured rule came to what it was asked for."""
    mine = values([row for row in rows if row["rule"] == "measured"], "violating")
    if not mine:
        return ""
    inside = sum(abs(value - asked) <= 0.2 * asked for value in mine)
    return (
        f"Asked of the measured rule: {100 * asked:g} %. Over all starts and seeds it ends at "
        f"{100 * np.mean(mine):.1f} % (worst run {100 * max(mine):.1f} %); {inside} of {len(mine)} runs are "
        "within a fifth of what was asked."
    )


def compared(rows: Sequence[Row], asked: float) -> str:
    """How probably a run of the measured rule ends nearer to what was asked than one of another rule."""

    def near(rule: str) -> list[float]:
        return [
            -abs(value - asked) for value in values([row for row in rows if row["rule"] == rule], "violating")
        ]

    ours = near("measured")
    others = sorted({row["rule"] for row in rows} - {"measured"})
    if len(ours) < 2 or not others:
        return ""
    told = []
    for rule in others:
        found = probability_of_improvement(np.array(ours), np.array(near(rule)))
        point, low, high = (100.0 * float(end[0]) for end in (found.point, found.low, found.high))
        told.append(f"{rule} {point:.0f} % [{low:.0f}, {high:.0f}]")
    return (
        "Probability that a run of the measured rule ends nearer to it than one of another, over all starts "
        f"and seeds: {', '.join(told)}."
    )


def draw(rows: Sequence[Row], picture: Path) -> None:
    """Violating share at the end over eps at the start, a panel a problem."""
    parts = settings(rows)
    figure, grid = plt.subplots(
        1, len(parts), figsize=(5.5 * len(parts), 4.5), layout="constrained", squeeze=False
    )
    for axes, ((problem, asked, steps), part) in zip(grid[0], parts, strict=True):
        axes.axhline(float(asked), color="black", ls="--", lw=1, label="asked")
        for k, rule in enumerate(sorted({row["rule"] for row in part})):
            found = [
                (start, values(some, "violating")) for (name, start), some in cases(part) if name == rule
            ]
            starts, shares = [start for start, _ in found], [np.mean(some) for _, some in found]
            axes.plot(starts, shares, color=f"C{k}", marker="o", label=rule)
            if all(len(some) > 1 for _, some in found):
                low, high = zip(*(interval(some) for _, some in found), strict=True)
                axes.fill_between(starts, low, high, color=f"C{k}", alpha=0.15, lw=0)
            for start, some in found:
                axes.plot([start] * len(some), some, color=f"C{k}", marker=".", ls="", alpha=0.4)
        axes.set(
            xscale="log", xlabel="eps at the start", ylabel="violating share of the last quarter's episodes",
            ylim=(0.0, None), title=f"{problem}, {steps} steps",
        )  # fmt: skip
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def write_page(path: Path, rows: Sequence[Row], words: Sequence[str]) -> None:
    """The whole page, its picture beside it."""
    picture, notes = path.with_suffix(".png"), path.with_name(f"{path.stem}.notes.md")
    draw(rows, picture)
    made = provenance()
    lines = ["# A threshold that finds itself", ""]
    if notes.is_file():
        lines += [notes.read_text().strip(), ""]
    lines += [f"![violating share over the threshold at the start]({picture.name})", ""]
    for (problem, asked, steps), part in settings(rows):
        lines += [
            f"## {problem}, {steps} steps",
            "",
            met(part, float(asked)),
            "",
            compared(part, float(asked)),
            "",
            *table(part),
            "",
        ]
    lines += [
        "Violating: of the last quarter's training episodes, by the policy that explores. Success and "
        "return: of its last 50. eps and nu: of the last update. In brackets: 95 % t intervals over seeds.",
        "",
        f"Last written by `{plain_command(('spillguard', 'study', 'threshold', *words))}`, commit "
        f"{str(made['commit'])[:9]}, {made['machine']}, Python {made['python']}; all runs, each "
        "with its own commit, are rows of "
        f"[{path.stem}.csv]({path.stem}.csv).", "",
    ]  # fmt: skip
    write_atomically(path, "\n".join(lines).encode())
