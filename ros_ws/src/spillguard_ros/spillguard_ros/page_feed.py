"""What the operator page knows of the graph, and since when. Time is an argument; no ROS, no browser here."""

import math
from collections import deque
from dataclasses import dataclass, field, replace

from spillguard_core.decision import Verdict

SILENT = 0.5  # [s] without a message after which its value is no longer shown as live
WINDOW = 60.0  # [s] of history that is plotted
BIN = 0.1  # [s] of history in one point: its largest Q_c, its most severe verdict
LONGEST_HISTORY = 200  # verdicts
CYCLES = 100  # of the monitor, over which its period is judged


@dataclass(frozen=True)
class Span:
    """One verdict for one reason, for as long as it lasted. Steady times [s]; `clock` [s] since the epoch."""

    start: float
    end: float
    clock: float
    verdict: Verdict
    reason: str
    detail: str


@dataclass
class Bin:
    """What a tenth of a second held."""

    index: int
    verdict: Verdict
    q_c: float = math.nan
    threshold: float = math.nan


@dataclass
class Feed:
    """Everything heard, bounded in size. `started` and every `now` are steady times [s]."""

    started: float
    threshold: float = math.nan  # of the critic, the newest that the monitor showed
    values: dict[str, str] = field(default_factory=dict)  # of the newest status
    message: str = ""
    heard: dict[str, float] = field(default_factory=dict)  # topic -> time of its newest message
    spans: deque[Span] = field(default_factory=lambda: deque(maxlen=LONGEST_HISTORY))
    bins: deque[Bin] = field(default_factory=lambda: deque(maxlen=round(WINDOW / BIN)))
    periods: deque[float] = field(default_factory=lambda: deque(maxlen=CYCLES))  # [ms]

    def note(self, topic: str, now: float) -> None:
        """A message came."""
        self.heard[topic] = now

    def age(self, topic: str, now: float) -> float:
        """[s] since the newest message, or since the page started if there was none."""
        return now - self.heard.get(topic, self.started)

    def is_live(self, topic: str, now: float) -> bool:
        """Whether the newest value may be shown as the present one."""
        return topic in self.heard and self.age(topic, now) <= SILENT

    def status(self, values: dict[str, str], message: str, now: float, clock: float) -> None:
        """A status of the monitor. One without a known verdict counts as silence."""
        name = values.get("verdict", "")
        if name not in Verdict.__members__:
            return
        self.note("status", now)
        self.values, self.message = values, message
        verdict = Verdict[name]
        self._extend(Span(now, now, clock, verdict, values.get("reason", "?"), values.get("detail", "")))
        q_c, margin = number(values, "q_c"), number(values, "margin_critic")
        if math.isfinite(q_c + margin):
            self.threshold = q_c + margin
        self._collect(int(now / BIN), verdict, q_c)
        if math.isfinite(period := number(values, "period [ms]")):
            self.periods.append(period)

    def _extend(self, new: Span) -> None:
        last = self.spans[-1] if self.spans else None
        same = last is not None and (last.verdict, last.reason) == (new.verdict, new.reason)
        if last is not None and same and new.end - last.end <= SILENT:
            self.spans[-1] = replace(last, end=new.end, detail=new.detail)
        else:
            self.spans.append(new)

    def _collect(self, index: int, verdict: Verdict, q_c: float) -> None:
        if not self.bins or self.bins[-1].index != index:
            self.bins.append(Bin(index, verdict))
        newest = self.bins[-1]
        newest.verdict = max(newest.verdict, verdict)
        newest.q_c = q_c if math.isnan(newest.q_c) else max(newest.q_c, q_c)
        newest.threshold = self.threshold


def number(values: dict[str, str], key: str) -> float:
    """A figure of a status; NaN where it is missing or no number."""
    try:
        return float(values.get(key, "nan"))
    except ValueError:
        return math.nan
