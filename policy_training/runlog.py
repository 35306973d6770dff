"""Where a run writes its figures: progress.csv and TensorBoard. Write-only; nothing is read back from it."""

import csv
import io
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from policy_training.checkpoint import write_atomically


class RunLog:
    """Rows by environment step. A resumed run cuts the rows its lost steps had written."""

    def __init__(self, run: Path, start: int = 0) -> None:
        self.path = run / "progress.csv"
        self.columns: list[str] = []
        if self.path.exists():
            self._cut(start)
        self.board = SummaryWriter(str(run / "tensorboard"), purge_step=start or None)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One row. Columns seen for the first time are added to the table."""
        new = [k for k in ("step", *figures) if k not in self.columns]
        if new:
            self._widen(new)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="").writerow({"step": step, **figures})
        for name, value in figures.items():
            self.board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush."""
        self.board.close()

    def _rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _replace(self, rows: list[dict[str, str]]) -> None:
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, self.columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path, stream.getvalue().encode())

    def _widen(self, new: list[str]) -> None:
        rows = self._rows() if self.columns else []
        self.columns += new
        self._replace(rows)

    def _cut(self, start: int) -> None:
        with self.path.open(newline="") as file:
            self.columns = next(csv.reader(file), [])
        self._replace([r for r in self._rows() if int(r["step"]) <= start])
