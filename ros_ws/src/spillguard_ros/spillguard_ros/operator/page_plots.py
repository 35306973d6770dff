"""Plots of the operator page, as SVG: the last minute of critic and verdict."""

import math
from collections.abc import Iterator, Sequence

from spillguard_core.gate.reasons import Verdict
from spillguard_ros.operator.page_feed import BIN, SILENT, WINDOW, Bin, Feed
from spillguard_ros.operator.page_html import COLOURS, FAINT, INK, RULE

WIDTH, LEFT, RIGHT = 400, 30, 8  # of a plot, in its own units
MARKS = (-60, -45, -30, -15, 0)  # [s] on the time axis


def _x(index: float, now: float) -> float:
    """Position of a bin on the time axis."""
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


def _top_of_axis(largest: float) -> float:
    """1, 2, 4, 6 or 8 times a power of ten, so that even a threshold of 0.14 fills the plot."""
    if not (math.isfinite(largest) and largest > 0.0):
        return 1.0
    wanted = 1.05 * largest
    decade = 10.0 ** math.floor(math.log10(wanted))
    top = next(step * decade for step in (1, 2, 4, 6, 8, 10) if step * decade >= wanted)
    return min(top, max(1.0, largest))


def critic_plot(feed: Feed, now: float) -> str:
    """Q_c of the action sent and its threshold over the last minute; gaps where it was not evaluated."""
    top, bottom = 6.0, 116.0
    shown = [b for b in feed.bins if b.index * BIN > now - WINDOW]
    finite = [value for b in shown for value in (b.q_c, b.threshold) if math.isfinite(value)]
    high = _top_of_axis(max(finite, default=math.nan))

    def y(value: float) -> float:
        return bottom - (bottom - top) * min(max(value / high, 0.0), 1.0)

    parts = list(_time_axis(bottom))
    parts += [
        f'<path d="M{LEFT} {y(value):.1f} H{WIDTH - RIGHT}" stroke="{RULE}"/>'
        f'<text x="{LEFT - 4}" y="{y(value) + 3:.1f}" text-anchor="end" fill="{FAINT}">{value:.2g}</text>'
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
    """Segments without a gap in time or in value."""
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
    """The most severe verdict per tenth of a second over the last minute; grey where none was received."""
    shown = [b for b in feed.bins if b.index * BIN > now - WINDOW]
    parts = [f'<rect x="{LEFT}" y="4" width="{WIDTH - LEFT - RIGHT}" height="24" fill="#f1f3f5"/>']
    parts += _time_axis(28)
    rects: list[tuple[float, float, Verdict]] = []  # adjacent ones with the same verdict are merged
    for number_, b in enumerate(shown):
        follows = shown[number_ + 1].index if number_ + 1 < len(shown) else b.index + 1
        until = follows if follows - b.index <= SILENT / BIN else b.index + 1  # a lost message is not silence
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
