"""Run folders as plain data: configuration, limits, and every curve. config.json is read without validation,
so that a run of any algorithm and any version can be drawn.
"""

import csv
import logging
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policy_training.files import read_json

logger = logging.getLogger(__name__)
Array = NDArray[np.float64]
Curve = tuple[Array, Array]  # x (T,), increasing; values (T,), finite
GroupBy = Literal["label", "algo", "run"]
FEWEST_SEEDS = 3  # needed for a claim about learning


@dataclass(frozen=True)
class RunData:
    """One run."""

    folder: Path
    algo: str
    env: str  # without the namespace
    seed: int
    limits: Mapping[str, float]  # by the cost's name; empty if the algorithm has none
    columns: Mapping[str, Array]  # (T,) each, NaN where a cell is empty; "step" increases strictly
    command: str
    commit: str

    def curve(self, name: str, x: str = "step") -> Curve:
        """A column over another, where both have values. ValueError if there are none or x falls."""
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
        """The column of a named cost; in a run with one cost it is called cost."""
        return f"cost/{name}" if f"cost/{name}" in self.columns else "cost"

    def last(self, name: str) -> float:
        """The last value; NaN if there is none."""
        values = self.columns.get(name, np.array([]))
        values = values[np.isfinite(values)]
        return float(values[-1]) if len(values) else math.nan


def read_progress(run: Path) -> dict[str, Array]:
    """The columns of progress.csv. Rows of the same step are merged; a truncated last line is dropped."""
    path = run / "progress.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{run} holds no progress.csv; is it a run folder?")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: {error}") from error
    if text and not text.endswith("\n"):
        logger.warning("%s: the last line is truncated and is dropped", path)
        text = text[: text.rfind("\n") + 1]
    rows: dict[float, dict[str, float]] = {}
    reader = csv.DictReader(text.splitlines())
    csv.field_size_limit(sys.maxsize)
    for row in reader:
        try:
            figures = {k: float(v) for k, v in row.items() if k is not None and v not in ("", None)}
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}; every cell is a number") from error
        if not math.isfinite(figures.get("step", math.nan)):
            raise ValueError(f"{path}, line {reader.line_num}: no step that is a number; every row needs one")
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
    config = read_json(path)
    if not (isinstance(config, dict) and {"algo", "env", "seed"} <= config.keys()):
        raise ValueError(f"{path} is no configuration of a run")
    origin = run / "provenance.json"
    facts = read_json(origin) if origin.is_file() else {}
    try:
        return _run_data(run, config, columns, facts)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} or {origin.name} beside it is not as a run writes it: {error}") from error


def _run_data(run: Path, config: Any, columns: dict[str, Array], facts: Any) -> RunData:
    return RunData(
        run, str(config["algo"]), str(config["env"]).split("/")[-1], int(config["seed"]),
        {name: float(v) for name, v in dict(config.get("algorithm", {}).get("cost_limits", ())).items()},
        columns, plain_command(facts.get("command", [])), str(facts.get("commit", ""))[:9] or "-",
    )  # fmt: skip


def plain_command(words: Sequence[str]) -> str:
    """A command without absolute paths, quoted for a shell."""
    return shlex.join(Path(word).name if word.startswith("/") else word for word in words) or "-"


def groups(
    folders: Sequence[Path], labels: Sequence[str] = (), by: GroupBy = "label"
) -> dict[str, list[RunData]]:
    """Runs by label: the given ones, else the algorithm's name; or each run by itself."""
    if not folders:
        raise ValueError("no run folder is named; name one or more")
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
    """Caveats about the runs behind one line or row."""
    said = []
    seeds = {run.seed for run in runs}
    many = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    if len(seeds) < FEWEST_SEEDS:
        said.append(f"{label}: {many}; a claim about learning needs {FEWEST_SEEDS} or more")
    if len(seeds) < len(runs):
        said.append(f"{label}: {len(runs)} runs of {many}; runs of one seed are not independent")
    return said
