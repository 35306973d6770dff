"""Results of a study as lines of a file: rows in it are not repeated, and the page is made from it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from policy_training.files import write_atomically


@dataclass(frozen=True)
class Row:
    """One agent: its training and its score."""

    part: str  # grid, catch, transfer
    task: str
    label: str  # the optimizer's kind
    meta_seed: int  # 0 where nothing was learned
    stage: str  # tune, or test
    alpha: float
    seed: int
    score: float  # NaN where it diverged
    cost: float = float("nan")  # mean over episodes, where there is one
    curve: tuple[float, ...] = ()
    budget: str = ""
    origin: str = ""  # digest of the optimizer

    @property
    def key(self) -> tuple[object, ...]:
        """Everything except the results."""
        return (
            self.part, self.task, self.label, self.meta_seed, self.stage, self.alpha, self.seed, self.budget,
            self.origin,
        )  # fmt: skip


class Rows:
    """The file. A truncated line is dropped."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, list[Row]()
        if path.is_file():
            for line in path.read_text().splitlines():
                try:
                    raw = json.loads(line)
                    self.rows.append(Row(**raw | {"curve": tuple(raw["curve"])}))
                except (json.JSONDecodeError, TypeError, KeyError):
                    continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(f"{_line(row)}\n" for row in self.rows).encode())
        self.known = {row.key for row in self.rows}

    def add(self, rows: list[Row]) -> None:
        """Append those that are missing; after a kill some may be there."""
        rows = [row for row in rows if row.key not in self.known]
        with self.path.open("a") as file:
            file.write("".join(f"{_line(row)}\n" for row in rows))
        self.rows += rows
        self.known |= {row.key for row in rows}

    def has(self, rows: list[Row]) -> bool:
        """Whether rows with these keys are there."""
        return all(row.key in self.known for row in rows)


def written(budget: Any) -> str:
    """A budget, a dataclass, as its rows name it. Rows are found again by this text: it must not change."""
    return f"Budget({', '.join(f'{name}={value!r}' for name, value in asdict(budget).items())})"


def _line(row: Row) -> str:
    return json.dumps(asdict(row))
