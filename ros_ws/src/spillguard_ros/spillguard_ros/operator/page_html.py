"""Texts of the operator page, as HTML. Every text from the graph is escaped. Plots: `page_plots`."""

import html
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from spillguard_core.gate.decision import Mode
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.task import Kind
from spillguard_core.robot.arm import Vec
from spillguard_ros.operator.page_feed import BIN, SILENT, Feed, Span, number

COLOURS = {
    Verdict.PASS: "#2e7d32",
    Verdict.LIMIT: "#b07d00",
    Verdict.RECOVER: "#d2691e",
    Verdict.HOLD: "#1565c0",
    Verdict.STOP: "#6a1b9a",  # red is reserved for what the operator must act on
}
ALARM, INK, FAINT, RULE = "#d50000", "#212529", "#6c757d", "#dee2e6"
ROWS = 40  # of the history
LATE = 1.0  # [s] after which a browser's display counts as stale; it is updated ten times a second


class Reading(NamedTuple):
    """Reading of one sensor of the cell, NaN if unknown."""

    title: str
    kind: Kind
    value: Vec  # (1,) [kg] or (3,) [m], base frame
    topic: str

    @property
    def text(self) -> str:
        """For people."""
        if self.kind is Kind.MASS:
            return _grams(float(self.value[0]))
        return ", ".join(f"{value:.3f}" for value in self.value) + " m"


def _box(colour: str, inner: str) -> str:
    style = f"background:{colour};color:#fff;border-radius:6px;padding:10px 12px;margin:4px 10px 8px"
    return f'<div class="sg-banner" role="status" style="{style}">{inner}</div>'


def banner(feed: Feed, now: float) -> str:
    """The current verdict; or that the monitor is silent, and below it whether the arm is."""
    newest = feed.newest
    if newest is not None and feed.is_live("status", now):
        verdict = newest.verdict
        why, detail = html.escape(feed.message.partition(": ")[2]), html.escape(newest.detail)
        # In shadow the verdict is what would be; the page must not look as if this monitor had the arm.
        looks_on = feed.values.get("mode") == Mode.SHADOW.value
        what, name = (
            ("nothing here moves or stops the arm", "SHADOW") if looks_on else ("verdict", verdict.name)
        )
        text = (
            f'<div style="font-size:.8em;opacity:.85">{what}</div>'
            f'<div style="font-size:1.9em;font-weight:700;line-height:1.1">{name}</div>'
            f'<div style="font-size:1.05em">{why}</div><div style="font-size:.8em;opacity:.85">{detail}</div>'
        )
        shown = _box(FAINT if looks_on else COLOURS[verdict], text)
    else:
        last = "nothing heard from it yet" if newest is None else f"its last word was {newest.verdict.name}"
        shown = _silence("status", "no safety monitor speaks; " + last, feed.age("status", now))
    if not feed.is_live("joint_states", now):
        shown += _silence("joint states", "the arm may be anywhere", feed.age("joint_states", now))
    return f'<div class="sg-drawn" data-drawn="{now:.3f}">{shown}</div>'


AGE_STYLE = f"""<style>
.sg-age {{margin:4px 10px;font-size:.75em;color:{FAINT}}}
body.sg-late .sg-age {{font-size:1.25em;font-weight:700;color:#fff;background:{ALARM};border-radius:6px;
  padding:8px 12px}}
body.sg-late .sg-drawn {{filter:grayscale(1);opacity:.45}}
</style>"""
# Runs in the browser: late or missing updates can be detected only there. The two clocks have no common zero,
# so the smallest delay between drawing and display on this connection counts as zero.
AGE_SCRIPT = """
const run = this.dataset.run, least = window.sgLeast ??= {};
clearInterval(window.sgAge);
window.sgAge = setInterval(() => {
  const drawn = document.querySelector('.sg-drawn'), shown = document.querySelector('.sg-age');
  if (!drawn || !shown || shown.dataset.run !== run) return;
  const passed = performance.now() / 1000 - Number(drawn.dataset.drawn);
  least[run] = Math.min(least[run] ?? Infinity, passed);
  const age = passed - least[run], late = !(age <= LATE);
  document.body.classList.toggle('sg-late', late);
  shown.textContent = late ? 'LATE: what you see is ' + age.toFixed(1) + ' s old' : age.toFixed(1) + ' s old';
}, 200);
"""


def age(run: str) -> str:
    """Age of the banner shown in this browser, counted by the browser; `run` identifies the connection.

    Scripts inserted as HTML are not run, but the error handler of an image that fails to load is.
    """
    script = html.escape(AGE_SCRIPT.replace("LATE)", f"{LATE})"), quote=True)
    name = html.escape(run, quote=True)
    return (
        f'{AGE_STYLE}<div class="sg-age" data-run="{name}" role="status">not yet known how old this is</div>'
        f'<img src="data:," data-run="{name}" style="display:none" onerror="{script}">'
    )


def _silence(what: str, meaning: str, age: float) -> str:
    return _box(
        ALARM,
        f'<div style="font-size:1.25em;font-weight:700">no {what} for {age:.1f} s</div>'
        f'<div style="font-size:.9em">{html.escape(meaning)}</div>',
    )


def note(text: str, good: bool) -> str:
    """Result of the last button."""
    colour = INK if good else ALARM
    style = f"margin:0 10px 8px;min-height:2.6em;font-size:.9em;font-weight:600;color:{colour}"
    return f'<div class="sg-note" role="alert" style="{style}">{html.escape(text)}</div>'


def caption(text: str) -> str:
    """A line in small letters."""
    return f'<div style="margin:0 10px 6px;font-size:.75em;color:{FAINT}">{html.escape(text)}</div>'


def figures(feed: Feed, seen: Sequence[Reading], now: float) -> str:
    """A table of the values reported by monitor and cell; stale ones in red."""
    values = feed.values
    periods = list(feed.periods) or [math.nan]
    cycle = f"{sum(periods) / len(periods):.1f} ms, worst {max(periods):.1f} ms"
    decide = f"{number(values, 'decide_time [ms]'):.1f} ms"
    q_c = f"{number(values, 'q_c'):.3f}, threshold {feed.threshold:.3f}"
    rows = [
        ("mode", values.get("mode", "?"), "status"),
        ("speed", values.get("speed", "?"), "status"),
        ("Q_c", q_c, "status"),
        ("cycle time", cycle, "status"),
        ("decision", f"{decide}, {values.get('late_cycles', '?')} late cycles", "status"),
        ("recorder", values.get("recorder", "?"), "status"),
        *((reading.title, reading.text, reading.topic) for reading in seen),
    ]
    rows += [
        (key.replace("_", " ").partition(" [")[0], f"{number(values, key):.3f} {unit}", "status")
        for key in values if key.startswith("margin_") and key != "margin_critic"
        for unit in [key.partition("[")[2].rstrip("]")]
    ]  # fmt: skip
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


def history(feed: Feed) -> str:
    """Verdicts, newest first: start, duration, reason."""
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
    reason = html.escape(", ".join(span.reasons).replace("_", " ").lower())
    if span.changes:
        reason += f'<br><span style="color:{FAINT}">on and off, {span.changes} changes</span>'
    return (
        f'<tr style="vertical-align:top"><td style="padding-right:6px">{moment}</td>'
        f'<td style="padding-right:6px">{lasted}</td>'
        f'<td><span style="background:{COLOURS[span.verdict]};color:#fff;padding:0 5px;border-radius:3px">'
        f"{span.verdict.name}</span></td>"
        f'<td title="{html.escape(span.detail)}" style="padding-left:6px">{reason}</td></tr>'
    )
