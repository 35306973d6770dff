"""The progress of a run: a bar on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from policy_training.runs.config import RunConfig

SHOWN = ("return", "cost", "success", "eps", "alpha", "nu", "kl")
LINE_INTERVAL = 30.0  # [s] between lines where there is no terminal
BAR_INTERVAL = 0.25  # [s]


class Progress:
    """Return, cost and success over the last episodes; current eps, alpha, nu; steps per second."""

    def __init__(
        self, name: str, steps: int, *, show: bool, figures: Sequence[str] = SHOWN, unit: str = "steps"
    ) -> None:
        """`steps` of the whole run, 0 if steps do not end it."""
        self.console = Console(stderr=True, log_path=False)
        self.shown, self.steps, self.name = show, steps or None, name
        self.figures, self.unit = figures, unit
        self.bar: Bar | None = None
        self.last = self.began = time.monotonic()
        self.first: int | None = None

    def __enter__(self) -> "Progress":
        if self.shown and self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, TextColumn("{task.fields[text]}"), console=self.console)
            self.bar.start()
            self.task = self.bar.add_task(self.name, total=self.steps, text="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, step: int, figures: dict[str, float]) -> None:
        """Redraw if the interval has passed."""
        now = time.monotonic()
        self.first = step if self.first is None else self.first
        if not self.shown or now - self.last < (BAR_INTERVAL if self.bar else LINE_INTERVAL):
            return
        self.last = now
        rate = (step - self.first) / max(now - self.began, 1e-9)
        text = " ".join(f"{k} {figures[k]:.3g}" for k in self.figures if k in figures)
        text += f" | {rate:.0f} {self.unit}/s" if rate >= 10.0 else f" | {rate:.2g} {self.unit}/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=text)
        else:
            self.console.log(f"{self.name} {step}/{self.steps or '?'} {text}", highlight=False)

    def note(self, step: int, figures: dict[str, float]) -> None:
        """A permanent line, for a validation."""
        if self.shown:
            text = " ".join(f"{k.split('/')[-1]} {v:.3g}" for k, v in figures.items())
            self.console.log(f"{self.name} {step} validation: {text}", highlight=False)


def progress_of(config: RunConfig) -> Progress:
    """The progress bar of a training run."""
    return Progress(f"{config.algo} s{config.seed}", config.loop.steps, show=config.loop.progress)
