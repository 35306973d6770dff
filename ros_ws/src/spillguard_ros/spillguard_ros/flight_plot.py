"""Pictures of a flight: a whole one with its pours, or one moment with what was asked, sent and left over."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no screen on a robot

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spillguard_core.arm import Vec
from spillguard_core.decision import Verdict
from spillguard_core.kinematics import ArmKinematics
from spillguard_ros.flight import Cycle, decode_config
from spillguard_ros.recording import Flight, Series, series

COLOURS = {
    Verdict.PASS: "#7fbf7b",
    Verdict.LIMIT: "#fee08b",
    Verdict.RECOVER: "#fdae61",
    Verdict.HOLD: "#92c5de",
    Verdict.STOP: "#bdbdbd",
}


def save_plot(
    recorded: Flight, spans: Sequence[tuple[float, float]], kinematics: ArmKinematics, path: Path
) -> Path:
    """Tilt, masses, critic and verdict over time; `spans` (start, end) [s since the epoch] of the pours are
    shaded."""
    shown = series(recorded, kinematics)
    figure, axes = plt.subplots(4, 1, figsize=(11, 8), sharex=True, layout="constrained")
    _draw(shown, recorded.threshold, axes)
    for start, end in spans:
        for panel in axes:
            panel.axvspan(start - recorded.times[0], end - recorded.times[0], color="0.93", zorder=0)
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
    _draw_critic(critic, shown.time, shown.q_c, threshold)
    _draw_verdict(verdict, shown.time, shown.verdict)
    for panel in (mass, critic, verdict):
        panel.legend(loc="upper right", fontsize=8, ncols=5)


def _draw_critic(panel: Axes, time: Vec, q_c: Vec, threshold: float) -> None:
    panel.plot(time, q_c, label="Q_c of what was sent", color="#b2182b")
    if np.isfinite(threshold):
        panel.axhline(threshold, linestyle="--", color="0.3", label="threshold")
    panel.set_ylabel("safety critic")


def _draw_verdict(panel: Axes, time: Vec, verdict: NDArray[np.intp]) -> None:
    for kind, colour in COLOURS.items():
        inside = verdict == kind
        inside[1:] |= inside[:-1]  # each holds until the next cycle
        panel.fill_between(
            time, 0, 1, where=inside.tolist(), step="post", color=colour, label=kind.name, linewidth=0
        )
    panel.set_yticks([])
    panel.set_ylabel("verdict")


def save_moment(recorded: Flight, index: int, around: float, path: Path) -> Path:
    """One cycle of a flight and `around` [s] before and after it; time counts from the first cycle."""
    elapsed = recorded.times - recorded.times[0]
    inside = np.flatnonzero(np.abs(elapsed - elapsed[index]) <= around)
    cycles, time = [recorded.cycles[i] for i in inside], elapsed[inside]
    figure, axes = plt.subplots(
        7, 1, figsize=(11, 13), sharex=True, layout="constrained", height_ratios=[1.6, 1, 1, 1, 1, 1, 0.5]
    )
    velocity, tilt, critic, metres, radians, ages, verdict = axes
    _draw_twists(velocity, tilt, time, cycles)
    _draw_critic(critic, time, np.array([cycle.decision.q_c for cycle in cycles]), recorded.threshold)
    _draw_margins(metres, time, cycles, {"workspace": "#1b7837", "clearance": "#8c510a"}, "margin [m]")
    _draw_margins(radians, time, cycles, {"position": "#2166ac", "tracking": "#762a83"}, "margin [rad]")
    _draw_margins(ages, time, cycles, {"state_age": "#2166ac", "command_age": "#762a83"}, "age [s]")
    config = decode_config(recorded.metadata["config"])
    for timeout, colour in ((config.state_timeout, "#2166ac"), (config.command_timeout, "#762a83")):
        ages.axhline(timeout, linestyle=(0, (4, 4)), color=colour, linewidth=0.8)
    _draw_verdict(verdict, time, np.array([cycle.decision.verdict for cycle in cycles], dtype=np.intp))
    for panel in axes:
        panel.axvline(elapsed[index], color="black", linewidth=0.8)
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    axes[-1].set_xlim(time[0], time[-1])
    axes[-1].set_xlabel("time [s] since the first cycle of the recording")
    decision = recorded.cycles[index].decision
    title = (
        f"{elapsed[index]:.3f} s, cycle {decision.cycle}: {decision.verdict.name}, {decision.reason.value}"
    )
    figure.suptitle(f"{title}\n{decision.detail}" if decision.detail else title)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _draw_twists(velocity: Axes, tilt: Axes, time: Vec, cycles: Sequence[Cycle]) -> None:
    """Asked in pale and wide, sent over it: where the gate changed nothing one hides the other's middle."""
    nothing = np.full(4, np.nan)
    asked = np.array([nothing if c.inputs.proposal is None else c.inputs.proposal.twist for c in cycles])
    sent = np.array([c.decision.twist_sent if c.decision.send else nothing for c in cycles])
    parts = ((velocity, "x", "#b2182b"), (velocity, "y", "#1b7837"), (velocity, "z", "#2166ac"))
    for column, (panel, name, colour) in enumerate((*parts, (tilt, "tilt rate", "#762a83"))):
        panel.step(time, asked[:, column], where="post", color=colour, alpha=0.35, linewidth=4,
                   label=f"{name} asked")  # fmt: skip
        panel.step(time, sent[:, column], where="post", color=colour, linewidth=1.3, label=f"{name} sent")
    velocity.set_ylabel("lip velocity [m/s]")
    tilt.set_ylabel("tilt rate [rad/s]")


def _draw_margins(
    panel: Axes, time: Vec, cycles: Sequence[Cycle], colours: dict[str, str], label: str
) -> None:
    for name, colour in colours.items():
        values = np.array([getattr(cycle.decision.margins, name) for cycle in cycles])
        panel.plot(time, np.where(np.isfinite(values), values, np.nan), color=colour,
                   label=name.replace("_", " "))  # fmt: skip
    panel.axhline(0.0, color="0.3", linewidth=0.8)
    panel.set_ylabel(label)
