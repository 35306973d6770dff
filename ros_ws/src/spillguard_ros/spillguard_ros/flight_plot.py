"""A picture of a flight: tilt, masses, the critic's estimate and what the monitor made of it, over time."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no screen on a robot

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from spillguard_core.decision import Verdict
from spillguard_core.kinematics import ArmKinematics
from spillguard_ros.recording import Flight, Series, series

COLOURS = {
    Verdict.PASS: "#7fbf7b",
    Verdict.LIMIT: "#fee08b",
    Verdict.RECOVER: "#fdae61",
    Verdict.HOLD: "#92c5de",
    Verdict.STOP: "#bdbdbd",
}


def save_plot(
    recorded: Flight, spans: Sequence[tuple[float, float]], kinematics: ArmKinematics, path: Path,
    mark: float | None = None,
) -> Path:  # fmt: skip
    """Four panels over time; `spans` (start, end) of the pours are shaded, `mark` is a moment. [s since the
    epoch]"""
    shown = series(recorded, kinematics)
    figure, axes = plt.subplots(4, 1, figsize=(11, 8), sharex=True, layout="constrained")
    _draw(shown, recorded.threshold, axes)
    for start, end in spans:
        for panel in axes:
            panel.axvspan(start - recorded.times[0], end - recorded.times[0], color="0.93", zorder=0)
    for panel in axes if mark is not None else ():
        panel.axvline(mark - recorded.times[0], color="black", linewidth=0.8)
    axes[-1].set_xlabel("time [s]; shaded: a pour" if spans else "time [s]")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw(shown: Series, threshold: float, axes: Sequence[Axes]) -> None:
    tilt, mass, critic, verdict = axes
    tilt.plot(shown.time, np.degrees(shown.tilt), color="#2166ac")
    tilt.set_ylabel("cup tilt [deg]")
    mass.plot(shown.time, 1e3 * shown.poured, label="in the receiving cup", color="#1b7837")
    mass.plot(shown.time, 1e3 * shown.remaining, label="in the held cup", color="#762a83")
    mass.set_ylabel("mass [g]")
    critic.plot(shown.time, shown.q_c, label="Q_c of what was sent", color="#b2182b")
    if np.isfinite(threshold):
        critic.axhline(threshold, linestyle="--", color="0.3", label="threshold")
    critic.set_ylabel("safety critic")
    for kind, colour in COLOURS.items():
        inside = shown.verdict == kind
        verdict.fill_between(
            shown.time, 0, 1, where=inside, step="post", color=colour, label=kind.name, linewidth=0
        )
    verdict.set_yticks([])
    verdict.set_ylabel("verdict")
    for panel in (mass, critic, verdict):
        panel.legend(loc="upper right", fontsize=8, ncols=5)
