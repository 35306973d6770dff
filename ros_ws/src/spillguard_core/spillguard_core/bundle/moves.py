"""Small moves, one for each entry of an action, that show whether an arm does what its bundle means.

Each moves the tool by at most 5 mm, or a joint by 0.05 rad where it hardly moves the tool, and back again. A
swapped, reversed or wrongly scaled joint on the way from action to joint state moves something else.

Shapes: J joints, A entries of the action.
"""

import math
from typing import NamedTuple

import numpy as np

from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.rule import Tool
from spillguard_core.gate.task import Carrier
from spillguard_core.robot.arm import Vec

TOOL, JOINT = 0.0045, 0.05  # [m] of the tool and [rad] of a joint, at most
SECONDS = 1.0  # [s] there, and again back
SETTLED = 0.4  # [s] after each way, for servos that trail
STEP = 0.01  # [s] of what is expected
CLOSE, NOISE = 0.35, 0.002  # share of a motion, and [rad], that it may be off
FACTORS = (
    (math.degrees(1.0), "are its joint states in degrees?"),
    (math.radians(1.0), "is it told degrees?"),
)


class Move(NamedTuple):
    """One entry there and back."""

    entry: int
    name: str
    peak: float  # of a speed: at half time; of a position: how far
    expected: Vec  # (J,) [rad] at the turning point


def moves(bundle: Bundle, tool: Tool, q: Vec) -> list[Move]:
    """One for each entry of the bundle's action, from q (J,) [rad]."""
    return [_move(bundle, tool, q, entry) for entry in range(len(bundle.task.action))]


def _move(bundle: Bundle, tool: Tool, q: Vec, entry: int) -> Move:
    scale, name = float(bundle.scale[entry]), bundle.task.action[entry].name
    small = 1e-3 * scale
    shown = _way(bundle, tool, q, entry, small)
    travelled = math.dist(tool.pose(q + shown).position, tool.pose(q).position)
    turned = float(np.abs(shown).max())
    share = min(TOOL / max(travelled, 1e-9), JOINT / max(turned, 1e-9), 0.9 * scale / small)
    return Move(entry, name, share * small, _way(bundle, tool, q, entry, share * small))


def _way(bundle: Bundle, tool: Tool, q: Vec, entry: int, peak: float) -> Vec:
    """Change (J,) [rad] that this peak of the entry means."""
    if bundle.task.carrier is Carrier.POSITIONS:
        to = np.zeros(len(q))
        to[entry] = peak
        return to
    there = q.copy()
    for number in range(round(SECONDS / STEP)):
        action = np.zeros(len(bundle.task.action))
        action[entry] = speed(peak, (number + 0.5) * STEP)
        there = there + STEP * tool.joint_velocity(there, action)
    return there - q


def speed(peak: float, time: float) -> float:
    """Of the entry at `time` [s] since the way began: up and down again smoothly, then rest."""
    return peak * math.sin(math.pi * min(time, SECONDS) / SECONDS) if 0.0 <= time < SECONDS else 0.0


def asked(move: Move, bundle: Bundle, start: Vec, time: float) -> Vec:
    """The action (A,) at `time` [s] since the move began at `start` (J,) [rad]: there in `SECONDS`, rest for
    `SETTLED`, and back in the same time."""
    leg, since = divmod(time, SECONDS + SETTLED)
    back = leg >= 1.0
    action = np.zeros(len(bundle.task.action))
    if bundle.task.carrier is Carrier.POSITIONS:
        part = 0.5 - 0.5 * math.cos(math.pi * min(since, SECONDS) / SECONDS)
        action[:] = start
        action[move.entry] += move.peak * (1.0 - part if back else part)
    else:
        action[move.entry] = speed(-move.peak if back else move.peak, since)
    return action


def fault(move: Move, seen: Vec, names: tuple[str, ...]) -> str:
    """What a measured change (J,) [rad] at the turning point shows to be wrong; empty if nothing."""
    wanted = move.expected
    size = float(np.linalg.norm(wanted))
    if not np.isfinite(seen).all():
        return f"{move.name}: the joint states are not finite"

    def like(other: Vec) -> bool:
        return float(np.linalg.norm(seen - other)) <= CLOSE * float(np.linalg.norm(other)) + NOISE

    if like(wanted):
        return ""
    expected = f"expected was {_told(wanted, names)}"
    if float(np.linalg.norm(seen)) <= NOISE:
        return f"{move.name}: nothing moved, {expected}"
    if like(-wanted):
        return f"{move.name}: moved the other way, {_told(seen, names)}; {expected}"
    for factor, words in FACTORS:
        if like(factor * wanted) and float(np.linalg.norm(seen)) > 5.0 * NOISE:
            return f"{move.name}: moved {factor:.3g} times as far, {_told(seen, names)}; {words}"
    ratio = float(np.linalg.norm(seen)) / size
    return f"{move.name}: moved {_told(seen, names)} ({ratio:.2f} times as far as asked); {expected}"


def _told(motion: Vec, names: tuple[str, ...]) -> str:
    """The joints that matter most."""
    most = float(np.abs(motion).max())
    every = zip(names, motion.tolist(), strict=True)
    return ", ".join(f"{name} {value:+.4f} rad" for name, value in every if abs(value) >= 0.5 * most)


def posture_fault(shown: Vec, measured: Vec, names: tuple[str, ...], tolerance: float = 0.02) -> str:
    """Where the posture that the arm's own pendant shows (J,) [rad] differs from the joint states (J,) [rad];
    empty if nowhere. Whole turns count: an arm knows them."""
    away = measured - shown
    wrong = np.flatnonzero(~(np.abs(away) <= tolerance))
    pairs = [(names[j], *np.degrees([measured[j], shown[j]]).tolist()) for j in wrong]
    return "; ".join(f"{name} {here:.2f} deg, the pendant shows {there:.2f}" for name, here, there in pairs)
