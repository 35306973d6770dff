"""What the operator page has received from the graph, and when. Time is an argument; no ROS, no browser."""

import math
from collections import deque
from dataclasses import dataclass, field, replace

from spillguard_core.gate.reasons import Verdict

SILENT = 0.5  # [s] without a message after which a value is no longer shown as live
WINDOW = 60.0  # [s] of plotted history
BIN = 0.1  # [s] per plotted point: the largest Q_c and the most severe verdict in it
LONGEST_HISTORY = 200  # verdicts
FLICKER = 2.0  # [s] that PASS or LIMIT must last to get its own row in the history
FLOWING = (Verdict.PASS, Verdict.LIMIT)
CYCLES = 100  # of the monitor, from which its period is estimated


@dataclass(frozen=True)
class Span:
    """One verdict with one reason, as long as it lasted. Steady times [s]; `clock` [s] since the epoch.

    Alternating PASS and LIMIT form one span: the arm keeps moving, and a row for each would push important
    rows out of the list. It shows LIMIT, every reason for it, and the number of changes.
    """

    start: float
    end: float
    clock: float
    verdict: Verdict
    reasons: tuple[str, ...]
    detail: str
    changes: int = 0


@dataclass
class Bin:
    """Summary of a tenth of a second."""

    index: int
    verdict: Verdict
    q_c: float = math.nan
    threshold: float = math.nan


@dataclass
class Feed:
    """All received data, bounded in size. `started` and every `now` are steady times [s]."""

    started: float
    threshold: float = math.nan  # the critic's, last reported by the monitor
    values: dict[str, str] = field(default_factory=dict)  # of the newest status
    message: str = ""
    newest: Span | None = None  # the present one
    heard: dict[str, float] = field(default_factory=dict)  # topic -> time of its newest message
    spans: deque[Span] = field(default_factory=lambda: deque(maxlen=LONGEST_HISTORY))
    bins: deque[Bin] = field(default_factory=lambda: deque(maxlen=round(WINDOW / BIN)))
    periods: deque[float] = field(default_factory=lambda: deque(maxlen=CYCLES))  # [ms]

    def note(self, topic: str, now: float) -> None:
        """Note the arrival of a message."""
        self.heard[topic] = now

    def age(self, topic: str, now: float) -> float:
        """[s] since the newest message, or since the page started if there was none."""
        return now - self.heard.get(topic, self.started)

    def is_live(self, topic: str, now: float) -> bool:
        """Whether the newest value may be shown as current."""
        return topic in self.heard and self.age(topic, now) <= SILENT

    def status(self, values: dict[str, str], message: str, now: float, clock: float) -> None:
        """Process a status of the monitor. One without a known verdict counts as silence."""
        name = values.get("verdict", "")
        if name not in Verdict.__members__:
            return
        self.note("status", now)
        self.values, self.message = values, message
        verdict = Verdict[name]
        reasons = (values.get("reason", "?"),)
        self._extend(Span(now, now, clock, verdict, reasons, values.get("detail", "")))
        q_c, margin = number(values, "q_c"), number(values, "margin_critic")
        if math.isfinite(q_c + margin):
            self.threshold = q_c + margin
        self._collect(int(now / BIN), verdict, q_c)
        if math.isfinite(period := number(values, "period [ms]")):
            self.periods.append(period)

    def _extend(self, new: Span) -> None:
        last = self.newest
        if last is None or new.start - last.end > SILENT:
            self.newest = new
            self.spans.append(new)
        elif (last.verdict, last.reasons) == (new.verdict, new.reasons):
            self.newest = replace(last, end=new.end, detail=new.detail)
            self._go_on(self.newest)
        else:
            self.newest = new
            short = last.end - last.start < FLICKER
            if short and {last.verdict, new.verdict} <= set(FLOWING):
                self.spans[-1] = _joined(self.spans[-1], new)
            else:
                self.spans.append(new)

    def _go_on(self, newest: Span) -> None:
        """Extend the newest row. A verdict that lasts gets its own row, apart from the alternating ones."""
        row = self.spans[-1]
        if row.changes and newest.end - newest.start >= FLICKER:
            self.spans[-1] = replace(row, end=newest.start, changes=row.changes - 1)
            self.spans.append(newest)
        else:
            self.spans[-1] = replace(
                row, end=newest.end, detail=newest.detail if not row.changes else row.detail
            )

    def _collect(self, index: int, verdict: Verdict, q_c: float) -> None:
        if not self.bins or self.bins[-1].index != index:
            self.bins.append(Bin(index, verdict))
        newest = self.bins[-1]
        newest.verdict = max(newest.verdict, verdict)
        newest.q_c = q_c if math.isnan(newest.q_c) else max(newest.q_c, q_c)
        newest.threshold = self.threshold


def _joined(row: Span, new: Span) -> Span:
    """PASS and LIMIT in one row, with the reasons of LIMIT in order of arrival."""
    if new.verdict is Verdict.PASS:
        return replace(row, end=new.end, changes=row.changes + 1)
    known = row.reasons if row.verdict is Verdict.LIMIT else ()
    reasons = (*known, *(name for name in new.reasons if name not in known))
    return replace(row, end=new.end, verdict=new.verdict, reasons=reasons, detail=new.detail,
                   changes=row.changes + 1)  # fmt: skip


def number(values: dict[str, str], key: str) -> float:
    """A number in a status; NaN if it is missing or not a number."""
    try:
        return float(values.get(key, "nan"))
    except ValueError:
        return math.nan
