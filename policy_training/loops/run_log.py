"""Where a run writes its figures: progress.csv and TensorBoard. Write-only; nothing is read back from it."""

import csv
import io
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from policy_training.files import write_atomically


class RunLog:
    """Rows by environment step. A resumed run removes the rows after its checkpoint."""

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
        """Complete rows. A row that a kill or a full disk cut off is dropped: it is written again."""
        text = self.path.read_text(errors="replace")
        rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
        return [row for row in rows if None not in row and str(row["step"]).isdecimal()]

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
        with self.path.open(newline="", errors="replace") as file:
            self.columns = next(csv.reader(file), [])
        if "step" not in self.columns:
            if "\n" in self.path.read_text(errors="replace"):
                raise ValueError(
                    f"{self.path} has no column 'step' in its first line; it was changed by another program: "
                    "repair that line, or move the file away"
                )
            self.columns = []  # not even its first line is complete
        self._replace([r for r in self._rows() if int(r["step"]) <= start] if self.columns else [])
