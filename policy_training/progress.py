"""What a run shows while it goes on: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from policy_training.runs import RunConfig

SHOWN = ("return", "cost", "success", "eps", "alpha", "nu", "kl")
LINE_INTERVAL = 30.0  # [s] between lines where there is no terminal
BAR_INTERVAL = 0.25  # [s]


class Progress:
    """Return, cost and success over the last episodes; eps, alpha, nu as they are; steps per second."""

    def __init__(self, config: RunConfig, *, show: bool) -> None:
        self.console = Console(stderr=True, log_path=False)
        self.shown, self.steps = show, config.loop.steps or None  # None: it ends with its iterations
        self.name = f"{config.algo} s{config.seed}"
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
        """Redraw, if it is time."""
        now = time.monotonic()
        self.first = step if self.first is None else self.first
        if not self.shown or now - self.last < (BAR_INTERVAL if self.bar else LINE_INTERVAL):
            return
        self.last = now
        rate = (step - self.first) / max(now - self.began, 1e-9)
        text = " ".join(f"{k} {figures[k]:.3g}" for k in SHOWN if k in figures) + f" | {rate:.0f} steps/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=text)
        else:
            self.console.log(f"{self.name} {step}/{self.steps or '?'} {text}", highlight=False)

    def note(self, step: int, figures: dict[str, float]) -> None:
        """A line that stays: a validation."""
        if self.shown:
            text = " ".join(f"{k.split('/')[-1]} {v:.3g}" for k, v in figures.items())
            self.console.log(f"{self.name} {step} validation: {text}", highlight=False)
