"""What the operator page writes and plots, as HTML and SVG. Every text from the graph is escaped."""

import html
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillguard_core.arm import Vec
from spillguard_core.decision import Verdict
from spillguard_ros.page_feed import BIN, SILENT, WINDOW, Bin, Feed, Span, number

COLOURS = {
    Verdict.PASS: "#2e7d32",
    Verdict.LIMIT: "#b07d00",
    Verdict.RECOVER: "#d2691e",
    Verdict.HOLD: "#1565c0",
    Verdict.STOP: "#6a1b9a",  # red is for what the operator must do something about
}
ALARM, INK, FAINT, RULE = "#d50000", "#212529", "#6c757d", "#dee2e6"
WIDTH, LEFT, RIGHT = 400, 30, 8  # of a plot, in its own units
ROWS = 40  # of the history
MARKS = (-60, -45, -30, -15, 0)  # [s] on the time axis


@dataclass(frozen=True)
class Figures:
    """What the cell senses, NaN where it is not known. Masses [kg]; target (3,) [m], base frame."""

    target: Vec
    poured: float
    remaining: float


def _box(colour: str, inner: str) -> str:
    style = f"background:{colour};color:#fff;border-radius:6px;padding:10px 12px;margin:4px 10px 8px"
    return f'<div class="sg-banner" role="status" style="{style}">{inner}</div>'


def banner(feed: Feed, now: float) -> str:
    """The verdict now; in its place the silence of the monitor, and below it that of the arm."""
    if feed.is_live("status", now):
        verdict = feed.spans[-1].verdict
        why, detail = html.escape(feed.message.partition(": ")[2]), html.escape(feed.spans[-1].detail)
        text = (
            f'<div style="font-size:.8em;opacity:.85">verdict</div>'
            f'<div style="font-size:1.9em;font-weight:700;line-height:1.1">{verdict.name}</div>'
            f'<div style="font-size:1.05em">{why}</div><div style="font-size:.8em;opacity:.85">{detail}</div>'
        )
        shown = _box(COLOURS[verdict], text)
    else:
        last = (
            f"its last word was {feed.spans[-1].verdict.name}" if feed.spans else "nothing heard from it yet"
        )
        shown = _silence("status", "no safety monitor speaks; " + last, feed.age("status", now))
    if not feed.is_live("joint_states", now):
        shown += _silence("joint states", "the arm may be anywhere", feed.age("joint_states", now))
    return shown


def _silence(what: str, meaning: str, age: float) -> str:
    return _box(
        ALARM,
        f'<div style="font-size:1.25em;font-weight:700">no {what} for {age:.1f} s</div>'
        f'<div style="font-size:.9em">{html.escape(meaning)}</div>',
    )


def note(text: str, good: bool) -> str:
    """What became of the last button."""
    colour = INK if good else ALARM
    style = f"margin:0 10px 8px;min-height:2.6em;font-size:.9em;font-weight:600;color:{colour}"
    return f'<div class="sg-note" role="alert" style="{style}">{html.escape(text)}</div>'


def caption(text: str) -> str:
    """A line in small letters."""
    return f'<div style="margin:0 10px 6px;font-size:.75em;color:{FAINT}">{html.escape(text)}</div>'


def figures(feed: Feed, seen: Figures, now: float) -> str:
    """A table of what monitor and cell report; in red what has gone silent."""
    values = feed.values
    periods = list(feed.periods) or [math.nan]
    cycle = f"{sum(periods) / len(periods):.1f} ms, worst {max(periods):.1f} ms"
    decide = f"{number(values, 'decide_time [ms]'):.1f} ms"
    q_c = f"{number(values, 'q_c'):.3f}, threshold {feed.threshold:.3f}"
    target = ", ".join(f"{value:.3f}" for value in seen.target) + " m"
    rows = [
        ("mode", values.get("mode", "?"), "status"),
        ("Q_c", q_c, "status"),
        ("cycle time", cycle, "status"),
        ("decision", f"{decide}, {values.get('late_cycles', '?')} late cycles", "status"),
        ("recorder", values.get("recorder", "?"), "status"),
        ("poured", _grams(seen.poured), "load_cell/wrench"),
        ("in the held cup", _grams(seen.remaining), "wrist/wrench"),
        ("target", target, "target_pose"),
    ]
    lines = [_row(name, text, feed, topic, now) for name, text, topic in rows]
    return (
        f'<table class="sg-figures" style="width:calc(100% - 20px);margin:2px 10px;font-size:.85em;'
        f'color:{INK};border-collapse:collapse">{"".join(lines)}</table>'
    )


def _grams(mass: float) -> str:
    return f"{round(1e3 * mass)} g" if math.isfinite(mass) else "–"


def _row(name: str, text: str, feed: Feed, topic: str, now: float) -> str:
    shown = html.escape(text.replace("nan", "–"))
    if not feed.is_live(topic, now):
        shown = f'<b style="color:{ALARM}">silent for {feed.age(topic, now):.0f} s</b>'
    cell = f"border-bottom:1px solid {RULE};padding:3px 0"
    return (
        f'<tr><td style="{cell};color:{FAINT};white-space:nowrap;padding-right:10px">{name}</td>'
        f'<td style="{cell}">{shown}</td></tr>'
    )


def _x(index: float, now: float) -> float:
    """Place of a bin on the time axis."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (1.0 + (index * BIN - now) / WINDOW)


def _svg(label: str, height: int, parts: Sequence[str]) -> str:
    heading = f'<div style="font-size:.85em;font-weight:600;color:{INK}">{label}</div>'
    return (
        f'<div style="margin:2px 10px 6px">{heading}'
        f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" style="display:block" font-size="10" '
        f'font-family="sans-serif">{"".join(parts)}</svg></div>'
    )


def _time_axis(bottom: float) -> Iterator[str]:
    for mark in MARKS:
        x = _x(mark / BIN, 0.0)
        yield f'<line x1="{x:.0f}" x2="{x:.0f}" y1="4" y2="{bottom}" stroke="{RULE}"/>'
        anchor = "end" if mark == 0 else "middle"
        text = "now" if mark == 0 else f"{mark} s"
        yield f'<text x="{x:.0f}" y="{bottom + 12}" text-anchor="{anchor}" fill="{FAINT}">{text}</text>'


def critic_plot(feed: Feed, now: float) -> str:
    """Q_c of what was sent and its threshold over the last minute; a gap where the critic was not asked."""
    top, bottom = 6.0, 116.0
    shown = [b for b in feed.bins if b.index * BIN > now - WINDOW]
    finite = [value for b in shown for value in (b.q_c, b.threshold) if math.isfinite(value)]
    high = max([1.0, *finite])

    def y(value: float) -> float:
        return bottom - (bottom - top) * min(max(value / high, 0.0), 1.0)

    parts = list(_time_axis(bottom))
    parts += [
        f'<path d="M{LEFT} {y(value):.1f} H{WIDTH - RIGHT}" stroke="{RULE}"/>'
        f'<text x="{LEFT - 4}" y="{y(value) + 3:.1f}" text-anchor="end" fill="{FAINT}">{value:.1f}</text>'
        for value in (0.0, 0.5 * high, high)
    ]
    for dash, colour, points in (
        ("5 4", INK, [(b, b.threshold) for b in shown]),
        ("none", "#c2185b", [(b, b.q_c) for b in shown]),
    ):
        for run in _runs(points):
            line = " ".join(f"{_x(b.index, now):.1f},{y(value):.1f}" for b, value in run)
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6" '
                f'stroke-linecap="round" stroke-dasharray="{dash}"/>'
            )
    label = 'safety critic: <span style="color:#c2185b">Q_c</span> and its threshold (dashed)'
    return _svg(label, 132, parts)


def _runs(points: Sequence[tuple[Bin, float]]) -> Iterator[list[tuple[Bin, float]]]:
    """Pieces without a gap in time or in value."""
    run: list[tuple[Bin, float]] = []
    for b, value in points:
        broken = run and b.index - run[-1][0].index > SILENT / BIN
        if run and (broken or not math.isfinite(value)):
            yield run
            run = []
        if math.isfinite(value):
            run.append((b, value))
    if run:
        yield run


def verdict_plot(feed: Feed, now: float) -> str:
    """The most severe verdict of every tenth of a second over the last minute; grey where none was heard."""
    shown = [b for b in feed.bins if b.index * BIN > now - WINDOW]
    parts = [f'<rect x="{LEFT}" y="4" width="{WIDTH - LEFT - RIGHT}" height="24" fill="#f1f3f5"/>']
    parts += _time_axis(28)
    rects: list[tuple[float, float, Verdict]] = []  # neighbours with the same verdict are one
    for number_, b in enumerate(shown):
        follows = shown[number_ + 1].index if number_ + 1 < len(shown) else b.index + 1
        until = follows if follows - b.index <= SILENT / BIN else b.index + 1  # what is missed is not silence
        start, end = _x(b.index, now), _x(until, now)
        if rects and rects[-1][2] is b.verdict and start - rects[-1][1] < 0.01:
            rects[-1] = (rects[-1][0], end, b.verdict)
        else:
            rects.append((start, end, b.verdict))
    parts += [
        f'<rect x="{start:.1f}" y="4" width="{end - start:.1f}" height="24" fill="{COLOURS[verdict]}">'
        f"<title>{verdict.name}</title></rect>"
        for start, end, verdict in rects
    ]
    names = "".join(
        f'<span style="margin-left:8px;white-space:nowrap"><span style="display:inline-block;width:.8em;'
        f'height:.8em;background:{colour}"></span> {verdict.name}</span>'
        for verdict, colour in COLOURS.items()
    )
    return _svg(f'verdict <span style="font-weight:400;font-size:.9em">{names}</span>', 44, parts)


def history(feed: Feed) -> str:
    """Verdicts, newest first: since when, for how long, why."""
    spans = list(feed.spans)
    lines: list[str] = []
    for span, before in zip(reversed(spans), [*reversed(spans[:-1]), None], strict=False):
        lines.append(_line(span))
        if len(lines) >= ROWS:
            break
        if before is not None and span.start - before.end > SILENT:
            gap = span.start - before.end
            lines.append(
                f'<tr><td></td><td colspan="3" style="color:{ALARM}">no status for {gap:.1f} s</td></tr>'
            )
    names = "".join(f"<th>{name}</th>" for name in ("since", "lasted", "verdict", "reason"))
    heading = f'<tr style="text-align:left;color:{FAINT}">{names}</tr>'
    style = f"width:100%;font-size:.78em;color:{INK};border-collapse:separate;border-spacing:0 3px"
    table = f'<table class="sg-history" style="{style}">{heading}{"".join(lines)}</table>'
    return f'<div style="margin:2px 10px">{table}</div>'


def _line(span: Span) -> str:
    moment = time.strftime("%H:%M:%S", time.localtime(span.clock))
    duration = span.end - span.start
    lasted = f"{duration:.1f} s" if duration >= BIN else f"< {BIN:.1f} s"
    reason = html.escape(span.reason.replace("_", " ").lower())
    return (
        f'<tr style="vertical-align:top"><td style="padding-right:6px">{moment}</td>'
        f'<td style="padding-right:6px">{lasted}</td>'
        f'<td><span style="background:{COLOURS[span.verdict]};color:#fff;padding:0 5px;border-radius:3px">'
        f"{span.verdict.name}</span></td>"
        f'<td title="{html.escape(span.detail)}" style="padding-left:6px">{reason}</td></tr>'
    )
