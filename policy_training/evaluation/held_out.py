"""Figures of held-out episodes: rates and means with their intervals, table and report. Nothing here depends
on a task: what an environment reports by name becomes a figure of that name.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from scipy.stats import beta, bootstrap

from policy_training.files import write_atomically
from policy_training.runs.folder import provenance

CONFIDENCE = 0.95
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Episode:
    """One held-out episode."""

    seed: int
    happened: Mapping[str, bool]  # success, violation, violation/TERM: whether it happened
    amounts: Mapping[str, float]  # total_reward, cost, cost/TERM, steps, seconds, ...: sums of the episode


def proportion(hits: int, count: int) -> dict[str, float]:
    """Rate with its exact binomial interval (Clopper and Pearson 1934)."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(beta.ppf(tail, hits, count - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1, count - hits)) if hits < count else 1.0
    return {"rate": hits / count, "low": low, "high": high, "count": hits}


def mean(values: Sequence[float]) -> dict[str, float]:
    """Mean with a bootstrap percentile interval."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2 or np.ptp(array) == 0.0:
        return {"mean": float(array.mean()), "low": float(array.mean()), "high": float(array.mean())}
    found = bootstrap(
        (array,), np.mean, confidence_level=CONFIDENCE, n_resamples=2000, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return {"mean": float(array.mean()), "low": float(found.low), "high": float(found.high)}


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every name that an episode reports, in order of first occurrence."""
    return list(dict.fromkeys(name for row in rows for name in row))


def summary(episodes: Sequence[Episode]) -> Figures:
    """Every figure with its 95 % interval. What an episode does not report did not happen in it, or is 0."""
    happened, amounts = [e.happened for e in episodes], [e.amounts for e in episodes]
    rates = {
        name: proportion(sum(row.get(name, False) for row in happened), len(episodes))
        for name in _names(happened)
    }
    return rates | {name: mean([row.get(name, 0.0) for row in amounts]) for name in _names(amounts)}


def telling(reports: Sequence[Figures]) -> list[str]:
    """Names of the figures, without costs that are 0 or 1 per episode: their mean only repeats a rate."""
    return [name for name in _names(reports) if not all(_repeats(part, name) for part in reports)]


def _repeats(figures: Figures, name: str) -> bool:
    if name not in figures or name.partition("/")[0] != "cost":
        return False
    rate = figures.get("violation" + name.removeprefix("cost"), {}).get("rate")
    return figures[name]["mean"] == rate


def table(figures: Mapping[str, Figures]) -> Table:
    """One row per figure; a column and its interval for every way of evaluation (title -> figures)."""
    found = Table("figure")
    for title in figures:
        found.add_column(title)
        found.add_column("95 % interval")
    for name in telling(list(figures.values())):
        cells = [cell for part in figures.values() for cell in _cells(part.get(name))]
        found.add_row(name, *cells)
    return found


def _cells(value: Mapping[str, float] | None) -> tuple[str, str]:
    if value is None:
        return "", ""
    if "rate" in value:
        return f"{100 * value['rate']:.1f} %", f"{100 * value['low']:.1f} to {100 * value['high']:.1f} %"
    return f"{value['mean']:.3g}", f"{value['low']:.3g} to {value['high']:.3g}"


def write_report(folder: Path, facts: Mapping[str, object], episodes: Sequence[Episode]) -> Figures:
    """Write report.json, with `facts` about the subject and the conditions, and episodes.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = summary(episodes)
    report = {
        "episodes": len(episodes), "first_seed": episodes[0].seed, "confidence": CONFIDENCE,
        **facts, "figures": figures, "evaluation": provenance(),
    }  # fmt: skip
    write_atomically(folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    rows = [{"seed": e.seed, **e.happened, **e.amounts} for e in episodes]
    with (folder / "episodes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=_names(rows), restval=0)
        writer.writeheader()
        writer.writerows(rows)
    return figures
