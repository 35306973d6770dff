"""Results of a study as lines of a file: what is there is not done again, and the page is made from it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from policy_training.checkpoint import write_atomically


@dataclass(frozen=True)
class Row:
    """One agent: how it was trained, and what came of it."""

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
        """Everything but what came of it."""
        return (
            self.part, self.task, self.label, self.meta_seed, self.stage, self.alpha, self.seed, self.budget,
            self.origin,
        )  # fmt: skip


class Rows:
    """The file. A line that a kill cut short is dropped."""

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
        """Append those that are not there; a kill may have left a part of them."""
        rows = [row for row in rows if row.key not in self.known]
        with self.path.open("a") as file:
            file.write("".join(f"{_line(row)}\n" for row in rows))
        self.rows += rows
        self.known |= {row.key for row in rows}

    def has(self, rows: list[Row]) -> bool:
        """Whether rows with these keys are there."""
        return all(row.key in self.known for row in rows)


def _line(row: Row) -> str:
    return json.dumps(asdict(row))
