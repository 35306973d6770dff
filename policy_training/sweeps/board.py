"""How far the runs of a sweep are: read from their own files, shown as a table."""

import threading
from collections import Counter
from pathlib import Path

from rich.table import Table

from policy_training.evaluation.run_data import read_progress
from policy_training.many_runs import Ended, RunIndex, done_with
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.sweeps.spec import Spec

SHOWN = 30  # rows of the table


class Board:
    """The state of every run, as a table that is read from the runs' own files."""

    def __init__(self, spec: Spec, root: Path) -> None:
        self.spec = spec
        self.ends: dict[int, Ended] = {}
        self._index = RunIndex(root)
        self._lock = threading.Lock()  # rich asks from a thread of its own

    def look(self) -> None:
        """Find the runs that are complete already."""
        for number, cell in enumerate(self.spec.cells):
            run = self._index.of(cell.config)
            if run is not None and done_with(run, cell.config):
                self.ends[number] = Ended(run, True, "")

    def __rich__(self) -> Table:
        """Runs under way and failed ones; of the others their number."""
        with self._lock:
            self._index.look()
            states = [self._state(number) for number in range(len(self.spec.cells))]
        count = Counter(state for state, _, _ in states)
        told = ", ".join(f"{n} {state}" for state, n in count.items())
        shown = Table("run", "seed", "state", "step", self.spec.score, title=f"{len(states)} runs: {told}")
        rows = [n for n, (state, _, _) in enumerate(states) if state in ("under way", "failed")]
        for number in rows[:SHOWN]:
            cell, (state, step, score) = self.spec.cells[number], states[number]
            name = f"{cell.config.env.split('/')[-1]} {cell.label}"
            shown.add_row(name, str(cell.config.seed), state, step, score)
        if len(rows) > SHOWN:
            shown.add_row(f"and {len(rows) - SHOWN} more", "", "", "", "")
        return shown

    def _state(self, number: int) -> tuple[str, str, str]:
        """State, step and score in words."""
        cell = self.spec.cells[number]
        run, end = self._index.of(cell.config), self.ends.get(number)
        if run is None:
            return "failed" if end is not None else "waiting", "", ""
        step, score = newest(run, self.spec.score)
        state = "under way" if end is None else "complete" if end.complete else "failed"
        return state, f"{step} of {length(cell.config)}" if step else "", score


def length(config: RunConfig) -> str:
    """Of a whole run, in words."""
    loop = config.loop
    if isinstance(loop, OnPolicyLoop) and not loop.steps:
        return f"{loop.iterations} iterations"
    return f"{loop.steps:,}"


def newest(run: Path, score: str) -> tuple[str, str]:
    """Step and score of the last row of progress.csv that has them, in words."""
    try:
        columns = read_progress(run)
    except (OSError, ValueError):
        return "", ""
    known = [value for value in columns.get(score, []) if value == value]
    return f"{columns['step'][-1]:,.0f}", f"{known[-1]:.4g}" if known else ""
