"""Screening by the safety critic: the proposal, else the closest candidates that it accepts.

Shapes: A entries of an action, C candidates, O observation. One batch of fixed size, one call of the critic,
so that danger does not lengthen the cycle. The critic ranks; the gate takes the first candidate that the hard
limits pass unchanged (`gate.py`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillguard_core.gate import reasons
from spillguard_core.gate.reasons import Reason
from spillguard_core.robot.arm import Vec

Critic = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""obs (B, O), action (B, A) -> q_c (B,)."""


class Scene(NamedTuple):
    """Input of one evaluation of the critic."""

    obs: NDArray[np.float32]  # (O,)
    twist: Vec  # (A,) proposed, within the action scale
    scale: Vec  # (A,) physical units at an action of 1
    candidates: Callable[[], Vec]  # (C, A) the proposal first, the recovery last
    last: int  # candidate chosen by the previous decision; 0 is the proposal


class Choice(NamedTuple):
    """An action that the critic accepts."""

    twist: Vec  # (A,)
    q_c: float
    reason: Reason
    candidate: int  # row of the candidates


Screen = Callable[[Critic, Scene, float | None, float], list[Choice]]
"""(critic, scene, threshold, release) -> choices, best first; what `screened` does."""


def ranked(
    rows: Vec, scale: Vec, q_c: NDArray[np.float32], threshold: float, release: float, last: int
) -> list[int]:
    """Rows (C, A) whose q_c (C,) is low enough, closest to the first row first.

    Once the critic has intervened, a candidate closer to the proposal than the `last` one must come down to
    `release`, which is below the threshold. Without this hysteresis, noise in Q_c makes the arm stutter.
    """
    gap = (rows - rows[0]) / scale
    distance = np.sqrt(np.einsum("ij,ij->i", gap, gap))
    bound = np.where(distance < distance[last], release, threshold)
    accepted = q_c <= bound  # NaN is rejected
    return [int(row) for row in np.argsort(distance, kind="stable") if accepted[row]]


def evaluated(critic: Critic, scene: Scene, rows: Vec) -> NDArray[np.float32] | None:
    """Q_c (C,) of the actions `rows` (C, A) in one call; None unless every value is finite."""
    every = np.empty((len(rows), len(scene.obs)), dtype=np.float32)
    every[:] = scene.obs
    q_c = critic(every, (rows / scene.scale).astype(np.float32))
    return q_c if q_c.shape == (len(rows),) and all(map(math.isfinite, q_c.tolist())) else None


def screened(critic: Critic, scene: Scene, threshold: float | None, release: float) -> list[Choice]:
    """The proposal if it is accepted, else the accepted alternatives, closest first, never empty.

    Without a threshold the critic only evaluates the proposal and does not act.
    """
    rows = scene.twist[None] if threshold is None else scene.candidates()
    recovery = len(rows) - 1
    q_c = evaluated(critic, scene, rows)
    if q_c is None:
        return [Choice(np.zeros_like(scene.twist), math.nan, reasons.CRITIC_INVALID, recovery)]
    if threshold is None or q_c[0] <= (release if scene.last else threshold):
        return [Choice(scene.twist, float(q_c[0]), reasons.OK, 0)]
    found = ranked(rows, scene.scale, q_c, threshold, release, scene.last)
    if not found:
        return [Choice(rows[recovery], float(q_c[recovery]), reasons.CRITIC_RECOVERY, recovery)]
    if found[0] == 0:  # the proposal was also followed before
        return [Choice(scene.twist, float(q_c[0]), reasons.OK, 0)]
    return [Choice(rows[row], float(q_c[row]), reasons.CRITIC, row) for row in found]
