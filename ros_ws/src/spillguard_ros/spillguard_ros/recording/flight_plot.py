"""Plots of a flight: the whole of it with its pours, or one moment with actions and margins."""

import itertools
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no screen on a robot

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spillguard_core.gate import chunk
from spillguard_core.gate.decision import Mode
from spillguard_core.gate.reasons import Verdict
from spillguard_core.gate.rule import Tool
from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import Vec
from spillguard_ros.recording.flight import CycleRecord, MarginField
from spillguard_ros.recording.recording import Flight, Series, series

COLOURS = {
    Verdict.PASS: "#7fbf7b",
    Verdict.LIMIT: "#fee08b",
    Verdict.RECOVER: "#fdae61",
    Verdict.HOLD: "#92c5de",
    Verdict.STOP: "#bdbdbd",
}
LINES = ("#2166ac", "#b2182b", "#762a83", "#1b7837", "#8c510a", "#e08214", "#4d4d4d")
LONGEST_LINE = 110  # characters of a title


def save_plot(
    recorded: Flight, spans: Sequence[tuple[float, float]], task: Task, tool: Tool, path: Path
) -> Path:
    """The task's curves, critic, margins and verdict over time; `spans` (start, end) [s] on the monitor's
    steady clock mark the episodes, which are shaded."""
    shown, groups = series(recorded, task, tool), margin_groups(recorded)
    panels = list(dict.fromkeys(curve.axis for curve in task.curves))
    rows = len(panels) + 2 + len(groups)
    figure, axes = plt.subplots(rows, 1, figsize=(11, 2 * rows), sharex=True, layout="constrained")
    for panel, axis in zip(axes, panels, strict=False):
        _draw_curves(panel, shown, axis)
    _draw_critic(axes[len(panels)], shown.time, shown.q_c, recorded.threshold)
    for panel, fields in zip(axes[len(panels) + 1 : -1], groups, strict=True):
        _draw_margins(panel, shown.time, recorded.cycles, fields)
    draw_verdict(axes[-1], shown.time, shown.verdict)
    for panel in axes:
        legend_beside(panel)
    for start, end in spans:
        for panel in axes:
            panel.axvspan(*np.interp((start, end), recorded.steady, recorded.elapsed), color="0.93", zorder=0)
    axes[-1].set_xlabel("time [s]; shaded: an episode" if spans else "time [s]")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_curves(panel: Axes, shown: Series, axis: str) -> None:
    own = [(curve, values) for curve, values in shown.curves.items() if curve.axis == axis]
    for (curve, values), colour in zip(own, itertools.cycle(LINES), strict=False):
        panel.plot(shown.time, values, label=curve.label, color=colour)
    panel.set_ylabel(axis)


def _draw_critic(panel: Axes, time: Vec, q_c: Vec, threshold: float) -> None:
    panel.plot(time, q_c, label="Q_c of what was sent", color="#b2182b")
    if np.isfinite(threshold):
        panel.axhline(threshold, linestyle="--", color="0.3", label="threshold")
    panel.set_ylabel("safety critic")


def draw_verdict(panel: Axes, time: Vec, verdict: NDArray[np.intp]) -> None:
    """Coloured bands of verdicts (T,) at times (T,) [s]."""
    for kind, colour in COLOURS.items():
        inside = verdict == kind
        inside[1:] |= inside[:-1]  # each value holds until the next cycle
        panel.fill_between(
            time, 0, 1, where=inside.tolist(), step="post", color=colour, label=kind.name, linewidth=0
        )
    panel.set_yticks([])
    panel.set_ylabel("verdict")


def legend_beside(panel: Axes) -> None:
    """The legend on the right of a panel."""
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)


def margin_groups(recorded: Flight) -> list[list[MarginField]]:
    """All margins of its decisions, one panel per unit; ages apart from the rest."""
    groups: dict[tuple[bool, str], list[MarginField]] = {}
    for field in recorded.margin_fields:
        groups.setdefault((field.is_age, field.unit), []).append(field)
    return list(groups.values())


def save_moment(recorded: Flight, index: int, around: float, path: Path) -> Path:
    """One cycle of a flight and `around` [s] before and after it; time counts from the first cycle."""
    elapsed, groups, units = recorded.elapsed, margin_groups(recorded), _by_unit(recorded)
    inside = np.flatnonzero(np.abs(elapsed - elapsed[index]) <= around)
    cycles, time = [recorded.cycles[i] for i in inside], elapsed[inside]
    heights = [*(1.3 for _ in units), 1, *(1 for _ in groups), 0.5]
    figure, axes = plt.subplots(
        len(heights),
        1,
        figsize=(11, 1.8 * sum(heights)),
        sharex=True,
        layout="constrained",
        height_ratios=heights,
    )
    for panel, (unit, entries) in zip(axes, units.items(), strict=False):
        _draw_actions(panel, time, cycles, unit, entries)
    critic = axes[len(units)]
    _draw_critic(critic, time, np.array([cycle.decision.q_c for cycle in cycles]), recorded.threshold)
    for panel, fields in zip(axes[len(units) + 1 : -1], groups, strict=True):
        _draw_margins(panel, time, cycles, fields)
        _draw_timeouts(panel, recorded, fields)
    draw_verdict(axes[-1], time, np.array([cycle.decision.verdict for cycle in cycles], dtype=np.intp))
    for panel in axes:
        panel.axvline(elapsed[index], color="black", linewidth=0.8)
        legend_beside(panel)
    axes[-1].set_xlim(time[0], max(time[-1], time[0] + 1e-3))
    axes[-1].set_xlabel("time [s] since the first cycle of the recording")
    cycle, decision = recorded.cycles[index], recorded.cycles[index].decision
    title = (
        f"{elapsed[index]:.3f} s, cycle {decision.cycle}: {decision.verdict.name}, {decision.reason.value}"
    )
    lines = [line for text in (title, cycle.detail) for line in textwrap.wrap(text, LONGEST_LINE)]
    figure.suptitle("\n".join(lines), parse_math=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _by_unit(recorded: Flight) -> dict[str, list[tuple[int, str]]]:
    """Action entries that share a panel: index and name, by unit."""
    found: dict[str, list[tuple[int, str]]] = {}
    for number, (name, unit) in enumerate(recorded.action):
        found.setdefault(unit, []).append((number, name.replace("_", " ")))
    return found


def _draw_actions(
    panel: Axes, time: Vec, cycles: Sequence[CycleRecord], unit: str, entries: Sequence[tuple[int, str]]
) -> None:
    """Wanted action pale and wide, sent action on top: equal values show as one line within the other."""

    def column(actions: Sequence[Vec | None], number: int) -> list[float]:
        return [np.nan if action is None else float(action[number]) for action in actions]

    asked = [
        None if c.inputs.proposal is None else chunk.asked(c.inputs.proposal, c.decision.clock)
        for c in cycles
    ]
    looked_on = any(c.decision.mode is Mode.SHADOW for c in cycles)
    sent = [c.decision.twist_sent if c.decision.send or looked_on else None for c in cycles]
    done = "that would be sent" if looked_on else "sent"
    for (number, name), colour in zip(entries, itertools.cycle(LINES), strict=False):
        panel.step(time, column(asked, number), where="post", color=colour, alpha=0.35, linewidth=4,
                   label=f"{name} asked")  # fmt: skip
        panel.step(
            time, column(sent, number), where="post", color=colour, linewidth=1.3, label=f"{name} {done}"
        )
    panel.set_ylabel(f"action [{unit}]" if unit else "action")


def _draw_margins(
    panel: Axes, time: Vec, cycles: Sequence[CycleRecord], fields: Sequence[MarginField]
) -> None:
    for field, colour in zip(fields, itertools.cycle(LINES), strict=False):
        values = np.array([cycle.decision.margins.get(field.name, np.nan) for cycle in cycles])
        panel.plot(time, np.where(np.isfinite(values), values, np.nan), color=colour, label=field.title)
    panel.axhline(0.0, color="0.3", linewidth=0.8)
    kind, unit = "age" if fields[0].is_age else "margin", fields[0].unit
    panel.set_ylabel(f"{kind} [{unit}]" if unit else kind)


def _draw_timeouts(panel: Axes, recorded: Flight, fields: Sequence[MarginField]) -> None:
    """The limit of an age is in the configuration, under the same name; without one nothing is drawn."""
    with suppress(ValueError):
        for field, colour in zip(fields, itertools.cycle(LINES), strict=False):
            timeout = getattr(recorded.config, field.name.removesuffix("_age") + "_timeout", None)
            if field.is_age and timeout is not None:
                panel.axhline(timeout, linestyle=(0, (4, 4)), color=colour, linewidth=0.8)
