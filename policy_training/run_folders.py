"""Run folders as plain data: what was trained, within which limits, and every curve.

config.json is read as it stands, so that a run of any algorithm and any version can be drawn.
"""

import csv
import json
import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
Array = NDArray[np.float64]
Curve = tuple[Array, Array]  # x (T,), increasing; values (T,), finite
GroupBy = Literal["label", "algo", "run"]
FEWEST_SEEDS = 3  # to claim anything about learning


@dataclass(frozen=True)
class RunData:
    """One run."""

    folder: Path
    algo: str
    env: str  # without the namespace
    seed: int
    limits: Mapping[str, float]  # by the cost's name; empty where the algorithm knows none
    columns: Mapping[str, Array]  # (T,) each, NaN where nothing was written; "step" increases strictly
    command: str
    commit: str

    def curve(self, name: str, x: str = "step") -> Curve:
        """A column over another, where both were written. ValueError if that is nowhere or x falls."""
        for column in (name, x):
            if column not in self.columns:
                known = ", ".join(self.columns)
                raise ValueError(f"{self.folder} has no column {column!r}; it has {known}")
        xs, values = self.columns[x], self.columns[name]
        there = np.isfinite(xs) & np.isfinite(values)
        if not there.any():
            raise ValueError(f"{self.folder} has no finite value of {name!r} over {x!r}; leave the run out")
        if (np.diff(xs[there]) < 0.0).any():
            raise ValueError(f"{self.folder}: {x!r} falls from one row to the next; draw over another column")
        return xs[there], values[there]

    def has(self, name: str, x: str = "step") -> bool:
        """Whether `curve` would return one."""
        return name in self.columns and x in self.columns and bool(
            np.isfinite(self.columns[name] + self.columns[x]).any()
        )  # fmt: skip

    def cost_column(self, name: str) -> str:
        """Column of a named cost; a run with one cost calls it plainly cost."""
        return f"cost/{name}" if f"cost/{name}" in self.columns else "cost"

    def last(self, name: str) -> float:
        """Last value that was written; NaN if there is none."""
        values = self.columns.get(name, np.array([]))
        values = values[np.isfinite(values)]
        return float(values[-1]) if len(values) else math.nan


def read_progress(run: Path) -> dict[str, Array]:
    """The columns of progress.csv. Rows of one step are one; a last line that was cut off is left out."""
    path = run / "progress.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{run} holds no progress.csv; is it a run folder?")
    text = path.read_text()
    if text and not text.endswith("\n"):
        logger.warning("%s: the last line was cut off and is left out", path)
        text = text[: text.rfind("\n") + 1]
    rows: dict[float, dict[str, float]] = {}
    reader = csv.DictReader(text.splitlines())
    for row in reader:
        try:
            figures = {k: float(v) for k, v in row.items() if k is not None and v not in ("", None)}
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}; every cell is a number") from error
        if "step" not in figures:
            raise ValueError(f"{path}, line {reader.line_num}: no step; every row needs one")
        rows.setdefault(figures["step"], {}).update(figures)
    if not rows:
        raise ValueError(f"{path} has no rows yet; wait for the first one, or leave the run out")
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: np.array([rows[step].get(name, math.nan) for step in sorted(rows)]) for name in names}


def read_run(run: Path) -> RunData:
    """A run folder."""
    columns = read_progress(run)
    path = run / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} holds no config.json; is it a run folder?")
    config = json.loads(path.read_text())
    origin = run / "provenance.json"
    facts = json.loads(origin.read_text()) if origin.is_file() else {}
    return RunData(
        run, str(config["algo"]), str(config["env"]).split("/")[-1], int(config["seed"]),
        {name: float(v) for name, v in dict(config.get("algorithm", {}).get("cost_limits", ())).items()},
        columns, plain_command(facts.get("command", [])), str(facts.get("commit", ""))[:9] or "-",
    )  # fmt: skip


def plain_command(words: Sequence[str]) -> str:
    """A command without the folders of a machine, quoted for a shell."""
    return shlex.join(Path(word).name if word.startswith("/") else word for word in words) or "-"


def groups(
    folders: Sequence[Path], labels: Sequence[str] = (), by: GroupBy = "label"
) -> dict[str, list[RunData]]:
    """Runs by label: the given ones, else the algorithm's name; or each run by itself."""
    if labels and len(labels) != len(folders):
        raise ValueError(f"{len(labels)} labels for {len(folders)} runs; give one each or none")
    found: dict[str, list[RunData]] = {}
    for index, run in enumerate(map(read_run, folders)):
        label = labels[index] if labels and by == "label" else run.algo
        found.setdefault(f"{run.algo} {run.folder.name}" if by == "run" else label, []).append(run)
    return found


def by_environment(found: Mapping[str, Sequence[RunData]]) -> dict[str, dict[str, list[RunData]]]:
    """Runs by environment, then by label, in the order given. Runs of one label share their limits."""
    split: dict[str, dict[str, list[RunData]]] = {}
    for label, runs in found.items():
        for run in runs:
            split.setdefault(run.env, {}).setdefault(label, []).append(run)
    for env, labelled in split.items():
        for label, runs in labelled.items():
            limits = [dict(run.limits) for run in runs]
            if any(limit != limits[0] for limit in limits):
                raise ValueError(
                    f"{label} on {env} pools runs with the limits {', '.join(map(str, limits))}; "
                    "give them labels of their own"
                )
    return split


def remarks(label: str, runs: Sequence[RunData]) -> list[str]:
    """What a reader must know of the runs behind one line or row."""
    said = []
    seeds = {run.seed for run in runs}
    many = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    if len(seeds) < FEWEST_SEEDS:
        said.append(f"{label}: {many}; a claim about learning needs {FEWEST_SEEDS} or more")
    if len(seeds) < len(runs):
        said.append(f"{label}: {len(runs)} runs of {many}; runs of one seed are not independent")
    return said
