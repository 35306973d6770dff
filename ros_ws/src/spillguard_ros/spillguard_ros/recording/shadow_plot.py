"""The picture of a shadow report: verdicts over time, and the policy beside the arm."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from spillguard_ros.recording.flight_plot import LINES, draw_verdict, legend_beside
from spillguard_ros.recording.judged import Compared
from spillguard_ros.recording.recording import Flight
from spillguard_ros.recording.shadow_figures import Findings


def save_picture(report: Findings, recorded: Flight, beside: Compared | None, path: Path) -> Path:
    """Verdicts over time and, where they were compared, every entry of the action: policy and arm."""
    entries = recorded.action if beside is not None and beside.index.size else ()
    rows = len(entries) + 1
    figure, axes = plt.subplots(
        rows, 1, figsize=(11, 1.2 + 1.7 * len(entries)), sharex=True, layout="constrained", squeeze=False,
        height_ratios=[*(1.0 for _ in entries), 0.4],
    )  # fmt: skip
    *panels, last = axes[:, 0]
    for number, ((name, unit), panel) in enumerate(zip(entries, panels, strict=True)):
        assert beside is not None
        _draw_entry(panel, recorded.elapsed[beside.index], beside, number)
        panel.set_ylabel(f"{name.replace('_', ' ')}{f' [{unit}]' if unit else ''}")
        legend_beside(panel)
    verdicts = np.array([cycle.decision.verdict for cycle in recorded.cycles], dtype=np.intp)
    draw_verdict(last, recorded.elapsed, verdicts)
    legend_beside(last)
    last.set_xlabel("time [s] since the first cycle of the recording")
    told = "would have been changed; in shadow, nothing was sent" if report.shadow else "were changed"
    figure.suptitle(f"{report.changed} of {report.proposals} proposals {told}", parse_math=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_entry(panel: Axes, time: np.ndarray, beside: Compared, number: int) -> None:
    panel.plot(time, beside.asked[:, number], color=LINES[1], linewidth=1.0, label="policy")
    panel.plot(time, beside.done[:, number], color=LINES[0], linewidth=1.0, label="arm")
    panel.axhline(0.0, color="0.3", linewidth=0.6)
