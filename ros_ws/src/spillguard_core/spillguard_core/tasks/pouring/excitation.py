"""A motion of the empty cup that shows what an arm is like: friction, gains, lag, payload.

It is proposed as tool twists, like any policy's, so that every command passes the gate. Three parts: to the
middle of the workspace; a sum of sines along every axis at once (inertia, gains, lag, viscous friction); slow
back and forth at constant speed (dry friction, apart from viscous). The lines of the sines are no multiples
of each other, so that no two joints move in step. Identification of a robot by periodic excitation: Swevers
et al., IEEE Trans. Robotics and Automation 13 (1997) 730.
"""

import numpy as np

from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.action import ACTION_SCALE
from spillguard_core.tasks.pouring.lip import LipPose

CENTRE = np.array([0.68, 0.0, 0.34, 0.0])
"""Lip [m] and tilt [rad] around which it moves, base frame: above any receiving cup."""
FREQUENCIES = np.array([[0.21, 0.53, 1.10], [0.17, 0.47, 1.00], [0.19, 0.59, 1.15], [0.23, 0.61, 1.25]])
"""(4, 3) [Hz] lines of vx, vy, vz and the tilt."""
AMPLITUDES = np.array(
    [[0.035, 0.018, 0.008], [0.070, 0.025, 0.010], [0.040, 0.018, 0.008], [0.30, 0.08, 0.03]]
)
"""(4, 3) [m, rad] of the lines."""
PHASES = np.array([[0.0, 1.9, 3.7], [0.8, 2.9, 5.1], [1.6, 4.1, 0.4], [2.5, 5.3, 1.2]])  # (4, 3) [rad]
SLOW = np.array([0.025, 0.030, 0.025, 0.12])  # [m/s, rad/s] of the back and forth
TURNS = np.array([1.5, 1.8, 1.3, 1.6])  # [s] between two reversals
SINES, REVERSALS, FADE = 14.0, 7.0, 1.0  # [s] of the parts, and over which each comes and goes
APPROACH, SOONEST = 0.06, 2.0  # [m/s] mean speed to the middle, [s] at least
GAIN = 1.0  # [1/s] towards the path: a proposal may get lost or be limited
EXCURSION = AMPLITUDES.sum(axis=1)
"""(4,) [m, rad] at most, from `CENTRE`."""
DESCRIPTION = (
    f"moves the lip to x {CENTRE[0]:g}, y {CENTRE[1]:g}, z {CENTRE[2]:g} m, then around it by at most "
    f"{', '.join(f'{100 * x:.0f}' for x in EXCURSION[:3])} cm along x, y, z, tilting by at most "
    f"{EXCURSION[3]:.1f} rad"
)


class Excitation:
    """One motion from where the lip is."""

    def __init__(self, start: LipPose) -> None:
        self._start = np.append(start.position, start.tilt)
        away = float(np.abs(CENTRE[:3] - start.position).max())
        self._approach = max(away / APPROACH, SOONEST)
        self.duration = self._approach + SINES + REVERSALS
        """[s]"""

    def place(self, t: float) -> Vec:
        """Lip [m] and tilt [rad], (4,), at `t` [s] from the start; it stays where it ends."""
        share = float(np.clip(t / self._approach, 0.0, 1.0))
        smooth = share * share * (3.0 - 2.0 * share)
        at: Vec = self._start + smooth * (CENTRE - self._start)
        since = t - self._approach
        if 0.0 < since < SINES:
            lines = AMPLITUDES * np.sin(2.0 * np.pi * FREQUENCIES * since + PHASES)
            at = at + _faded(since, SINES) * lines.sum(axis=1)
        since -= SINES
        if 0.0 < since < REVERSALS:
            phase = since / (2.0 * TURNS) + 0.25
            triangle = 4.0 * np.abs(phase - np.floor(phase + 0.5)) - 1.0  # from 0, by 1 in half of a turn
            at = at + _faded(since, REVERSALS) * 0.5 * SLOW * TURNS * triangle
        return at

    def twist(self, t: float, pose: LipPose) -> Vec:
        """(4,) [m/s, rad/s] to propose at `t` [s] from the start, with the lip measured at `pose`."""
        ahead = 0.025  # [s] half of a policy's period
        rate = (self.place(t + ahead) - self.place(t - ahead)) / (2.0 * ahead)
        error = self.place(t) - np.append(pose.position, pose.tilt)
        wanted: Vec = np.clip(rate + GAIN * error, -ACTION_SCALE, ACTION_SCALE)
        return wanted


def _faded(since: float, whole: float) -> float:
    """0 at both ends of a part, 1 in between."""
    edge = float(np.clip(min(since, whole - since) / FADE, 0.0, 1.0))
    return edge * edge * (3.0 - 2.0 * edge)
