"""Commands sent and the arm's motion, from the notes of `noted.py`, and what in them was unsafe."""

import pickle
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate.trajectory import Trajectory, sample
from spillguard_core.robot.arm import MONITOR_PERIOD, ArmLimits, Vec, joint_differences
from spillguard_sim.graph import launch_file

STILL = 0.02  # [rad/s]
SLACK = 1.0 + 1e-6
LEAP, JUMP = 1e-6, 1e-5  # [rad], [rad/s] by which two commands may differ: times are whole nanoseconds
LONGEST = 0.15  # [s] between two commands that must be consistent with each other
FOREIGN = "foreign"  # frame of commands that a test sends bypassing the monitor


def clocks() -> dict[str, float]:
    """Clocks and tolerances of the safety monitor, as launched."""
    (node,) = yaml.safe_load(launch_file("params/safety_monitor.yaml").read_text()).values()
    values: dict[str, float] = node["ros__parameters"]
    return values


@dataclass(frozen=True, eq=False)
class Command:
    """One trajectory."""

    time: float  # [s] steady clock: decision time, or arrival time of one that reached the arm
    times: Vec  # (P,) [s], the first one 0
    positions: Vec  # (P, J) [rad]
    velocities: Vec  # (P, J) [rad/s]

    @property
    def holds(self) -> bool:
        """Whether it brakes at once: one that goes on has a stretch at one speed after its first period."""
        after = pairwise(self.velocities[1:])
        return not any(before.any() and (before == behind).all() for before, behind in after)

    def at(self, t: float) -> tuple[Vec, Vec]:
        """Position (J,) [rad] and velocity (J,) [rad/s] on its path, `t` [s] after its first moment."""
        path = Trajectory(self.times, self.positions, self.velocities)
        return sample(path, t, self.positions[0], self.velocities[0])


@dataclass(frozen=True, eq=False)
class State:
    """The arm in one tick: actual and desired state."""

    time: float  # [s] steady clock
    q: Vec  # (J,) [rad]
    qd: Vec  # (J,) [rad/s]
    desired_q: Vec  # (J,) [rad]
    desired_qd: Vec  # (J,) [rad/s]
    told_qd: Vec  # (J,) [rad/s] largest setpoint of the servos
    inside: bool  # joints and tool within their bounds

    @property
    def speed(self) -> float:
        """Largest joint speed [rad/s]."""
        return float(np.abs(self.qd).max())

    @property
    def rests(self) -> bool:
        """Commanded to rest, and at rest."""
        return float(np.abs(self.desired_qd).max()) < STILL and self.speed < STILL


@dataclass
class Notes:
    """Reads the notes of arm and monitor as they grow, to be judged by the arm's limits."""

    path: Path
    limits: ArmLimits = GEN3_LIMITS
    sent: list[Command] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    foreign: list[Command] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    _at: int = 0

    def read(self) -> None:
        """Read what was added."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._at)
            while True:
                try:
                    entry = pickle.load(stream)
                except (EOFError, pickle.UnpicklingError):
                    return
                self._at = stream.tell()
                self._take(*entry)

    def _take(self, kind: str, time: float, *values: Any) -> None:
        match kind:
            case "state":
                self.states.append(State(time, *values))
            case "sent":
                self.sent.append(Command(time, *values))
            case "command":
                frame, *rest = values
                (self.foreign if frame == FOREIGN else self.commands).append(Command(time, *rest))
            case "refused":
                self.refused.append(values[1])

    def clear(self) -> None:
        """Forget what was read, except the last command sent: the next one continues from it."""
        self.read()
        for kept in (self.foreign, self.commands, self.refused, self.states):
            kept.clear()
        del self.sent[:-1]


def unsafe(command: Command, limits: ArmLimits = GEN3_LIMITS) -> str:
    """What is unsafe in a single command; empty if nothing."""
    q, qd = command.positions, command.velocities
    if not (np.isfinite(q).all() and np.isfinite(qd).all() and np.isfinite(command.times).all()):
        return "not finite"
    if qd[-1].any():
        return f"ends at {qd[-1]} rad/s, not at rest"
    if not ((limits.position_min <= q) & (q <= limits.position_max)).all():
        return f"beyond a position limit: {q}"
    if not (np.abs(qd) <= limits.velocity * SLACK).all():
        return f"beyond a velocity limit: {qd}"
    if command.times[0] != 0.0:
        return f"begins {command.times[0]} s after its stamp, so the arm's controller has to join it"
    spans = np.diff(command.times)[1:, None]  # the first: see `unsafe_step`
    if not (np.abs(np.diff(qd[1:], axis=0)) <= limits.acceleration * spans * SLACK + JUMP).all():
        return f"accelerates or brakes harder than allowed: {qd.tolist()} rad/s in {spans.ravel().tolist()} s"
    return ""


def unsafe_step(before: Command, after: Command, limits: ArmLimits = GEN3_LIMITS) -> str:
    """What is unsafe in the transition from one command to the next; empty if nothing.

    Early or late, a command begins where the path of the one before is by then. One that is early leaves the
    end of that ramp to the first period of its own.
    """
    passed = after.time - before.time
    if before.holds and after.holds and passed > LONGEST:
        return ""  # after a reset: the arm may have been moved by hand
    first = after.times[1] + 2.0 * max(MONITOR_PERIOD - passed, 0.0)
    ramp = np.abs(after.velocities[1] - after.velocities[0])
    if not (ramp <= limits.acceleration * first * SLACK + JUMP).all():
        return f"changes speed by {ramp.max():.4f} rad/s in {1e3 * first:.0f} ms"
    q, qd = before.at(passed)
    change, leap = np.abs(after.velocities[0] - qd), np.abs(after.positions[0] - q)
    if not (change <= JUMP).all():
        return f"changes speed by {change.max():.4f} rad/s at once, {1e3 * passed:.0f} ms later"
    if not (leap <= LEAP).all():
        return f"leaps by {leap.max():.6f} rad, {1e3 * passed:.0f} ms later"
    return ""


def all_unsafe(notes: Notes) -> list[str]:
    """Everything unsafe in the commands sent, the commands received and the arm's motion."""
    found = [unsafe(command, notes.limits) for command in (*notes.sent, *notes.commands)]
    found += [unsafe_step(*pair, notes.limits) for pair in pairwise(notes.sent)]
    found += [f"the arm had to refuse a command: {reason}" for reason in notes.refused]
    for state in notes.states:
        if not state.inside:
            found.append(f"the arm is beyond a position limit or outside the workspace: {state.q}")
        if not (state.told_qd <= notes.limits.velocity * SLACK).all():
            found.append(f"the servos are told to move at {state.told_qd} rad/s")
    return [text for text in found if text]


def hold_after(notes: Notes, fault: float) -> Command | None:
    """The first command after the fault [s] that commands rest."""
    return next((command for command in notes.commands if command.time > fault and command.holds), None)


def rest_after(notes: Notes, fault: float) -> float:
    """Steady time [s] at which the arm came to rest after the fault; NaN if it did not."""
    return next((state.time for state in notes.states if state.time > fault and state.rests), float("nan"))


def off_track_after(notes: Notes, seen: Vec, fault: float) -> float:
    """Steady time [s] at which the desired posture was off `seen` (J,) beyond tolerance; NaN if never."""
    allowed = clocks()
    for state in notes.states:
        beyond = np.abs(joint_differences(state.desired_q, seen, notes.limits.turn)) - allowed[
            "tracking_lag"
        ] * np.abs(state.desired_qd)
        if state.time > fault and beyond.max() > allowed["max_tracking_error"]:
            return state.time
    return float("nan")
