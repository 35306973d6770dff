"""Small moves, one for each entry of an action, that show whether an arm does what its bundle means.

Each moves the tool by at most 5 mm, or a joint by 0.05 rad where it hardly moves the tool, and back again. A
swapped, reversed or wrongly scaled joint on the way from action to joint state moves something else. An arm
whose task tends to a posture drifts even if nothing is asked: only what an action adds to that is compared,
and where the arm drifts far nothing is moved.

Shapes: J joints, A entries of the action.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.rule import Tool
from spillguard_core.gate.task import Carrier
from spillguard_core.robot.arm import Vec, joint_differences

TOOL, JOINT = 0.0045, 0.05  # [m] of the tool and [rad] of a joint, at most
DRIFT = 0.4  # of both, at most while nothing is asked
SECONDS = 1.0  # [s] there, and again back
SETTLED = 0.4  # [s] after each way, for servos that trail; longer where the monitor slows the arm
STEP = 0.02  # [s] of what is expected
SMALLER, LEAST = 0.8, 1e-3  # each try of a peak to the one before; the last, of the scale
CLOSE, NOISE = 0.15, 1e-3  # share of a motion, and [rad], that it may be off
FACTORS = (
    (math.degrees(1.0), "are its joint states in degrees?"),
    (math.radians(1.0), "is it told degrees?"),
)


class Move(NamedTuple):
    """One entry there and back."""

    entry: int
    name: str
    peak: float  # of a speed: at half time; of a position: how far
    expected: Vec  # (J,) [rad] at the turning point, that the action adds
    drift: Vec  # (J,) [rad] at the turning point, without it


def settled(speed: float) -> float:
    """[s] of rest after each way at this share of the arm's speed."""
    return SETTLED / speed


def move(bundle: Bundle, tool: Tool, q: Vec, entry: int, speed: float = 1.0) -> Move:
    """The move of an entry from q (J,) [rad], at a share `speed` of the arm's. ValueError where the arm
    drifts too far for it."""
    scale, name = float(bundle.scale[entry]), bundle.task.action[entry].name
    if bundle.task.carrier is Carrier.POSITIONS:
        path = np.linspace(0.0, JOINT, 26)[:, None] * np.eye(len(q))[entry]
        inside = [number for number, away in enumerate(path) if _within(tool, q, q + away, 1.0)]
        expected = path[inside[-1]]
        return Move(entry, name, float(expected[entry]), expected, np.zeros_like(q))
    still = _way(bundle, tool, q, entry, 0.0, speed)
    if not all(_within(tool, q, there, DRIFT) for there in still):
        turned = float(np.abs(still[-1] - q).max())
        raise ValueError(
            f"at this posture the task turns joints by {turned:.2f} rad while nothing is asked, towards the "
            "rest posture of robot.yaml; bring the arm there first"
        )
    peak = 0.9 * scale
    while True:
        way = _way(bundle, tool, q, entry, peak, speed)
        if all(_within(tool, one, other, 1.0 - DRIFT) for one, other in zip(still, way, strict=True)):
            return Move(entry, name, peak, way[-1] - still[-1], still[-1] - q)
        if peak < LEAST * scale:
            raise ValueError(
                f"{name}: at this posture even a small action moves the arm too far; choose another"
            )
        peak *= SMALLER


def _within(tool: Tool, one: Vec, other: Vec, share: float) -> bool:
    """Whether two postures (J,) are as near as a move may go, or a share of that."""
    way = math.dist(tool.pose(one).position, tool.pose(other).position)
    return way <= share * TOOL and float(np.abs(other - one).max()) <= share * JOINT


def _way(bundle: Bundle, tool: Tool, q: Vec, entry: int, peak: float, speed: float) -> list[Vec]:
    """Postures (J,) [rad] of the way there, each `STEP`, with this peak of the entry."""
    way, action = [q], np.zeros(len(bundle.task.action))
    for number in range(round((SECONDS + settled(speed)) / STEP)):
        action[entry] = profile(peak, (number + 0.5) * STEP)
        way.append(way[-1] + STEP * speed * tool.joint_velocity(way[-1], action))
    return way


def profile(peak: float, time: float) -> float:
    """Speed of the entry at `time` [s] since the way began: up and down again smoothly, then rest."""
    return peak * math.sin(math.pi * time / SECONDS) if 0.0 <= time < SECONDS else 0.0


def lasts(speed: float = 1.0) -> float:
    """[s] of a move, there and back."""
    return 2.0 * (SECONDS + settled(speed))


def asked(one: Move, bundle: Bundle, start: Vec, time: float, speed: float = 1.0) -> Vec:
    """The action (A,) at `time` [s] since the move began at `start` (J,) [rad]."""
    leg, since = divmod(time, SECONDS + settled(speed))
    back = leg >= 1.0
    action = np.zeros(len(bundle.task.action))
    if bundle.task.carrier is Carrier.POSITIONS:
        part = 0.5 - 0.5 * math.cos(math.pi * min(since, SECONDS) / SECONDS)
        action[:] = start
        action[one.entry] += one.peak * (1.0 - part if back else part)
    else:
        action[one.entry] = profile(-one.peak if back else one.peak, since)
    return action


def turned(there: Vec, start: Vec, turn: Sequence[float]) -> Vec:
    """Change (J,) [rad] between two measured postures, joints without end stops the short way round."""
    return np.array(joint_differences(there, start, turn))


def fault(one: Move, seen: Vec, names: tuple[str, ...]) -> str:
    """What a measured change (J,) [rad] at the turning point shows to be wrong; empty if nothing."""
    if not np.isfinite(seen).all():
        return f"{one.name}: the joint states are not finite"
    wanted, did = one.expected, seen - one.drift
    if float(np.abs(wanted).max()) < 3.0 * NOISE:
        return f"{one.name}: at this posture it moves too little to be seen; choose another"

    def like(other: Vec) -> bool:
        return float(np.linalg.norm(did - other)) <= CLOSE * float(np.linalg.norm(other)) + NOISE

    if like(wanted):
        return ""
    expected = f"expected was {_told(wanted, names)}"
    if float(np.linalg.norm(did)) <= NOISE:
        return f"{one.name}: nothing moved, {expected}"
    if like(-wanted):
        return f"{one.name}: moved the other way, {_told(did, names)}; {expected}"
    for factor, words in FACTORS:
        if like(factor * wanted) and float(np.linalg.norm(did)) > 5.0 * NOISE:
            return f"{one.name}: moved {factor:.3g} times as far, {_told(did, names)}; {words}"
    ratio = float(np.linalg.norm(did)) / float(np.linalg.norm(wanted))
    return f"{one.name}: moved {_told(did, names)} ({ratio:.2f} times as far as asked); {expected}"


def _told(motion: Vec, names: tuple[str, ...]) -> str:
    """The joints that matter most."""
    most = float(np.abs(motion).max())
    every = zip(names, motion.tolist(), strict=True)
    return ", ".join(f"{name} {value:+.4f} rad" for name, value in every if abs(value) >= 0.5 * most)


def posture_fault(
    shown: Vec, measured: Vec, names: tuple[str, ...], span: Vec, tolerance: float = 0.02
) -> str:
    """Where the posture that the arm's own pendant shows (J,) [rad] differs from the joint states (J,) [rad];
    empty if nowhere. A pendant may count from 0 to 360 degrees: a whole turn makes no difference to a joint
    whose limits span (J,) [rad] less than one, or none."""
    away = measured - shown
    same = (span < 2.0 * math.pi) | np.isinf(span)
    away = np.where(same, away - 2.0 * math.pi * np.round(away / (2.0 * math.pi)), away)
    wrong = np.flatnonzero(~(np.abs(away) <= tolerance))
    pairs = [(names[j], *np.degrees([measured[j], shown[j]]).tolist()) for j in wrong]
    return "; ".join(f"{name} {here:.2f} deg, the pendant shows {there:.2f}" for name, here, there in pairs)
