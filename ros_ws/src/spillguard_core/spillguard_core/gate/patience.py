"""How long a policy may be at it before it gives up: pure, for whoever lets the policy speak.

A policy that cannot succeed does not say so: it waits over the cup that it tilts, or pours for ever. Who runs
it counts the time since the arm began to move. Once that is over the task's own ending takes the policy's
place, behind the same gate, and then nobody proposes anything: the monitor holds, and an operator decides
what is next. An arm at rest that needs no ending is not at work: it may wait for as long as it likes.
"""

import math
from typing import NamedTuple

import numpy as np

from spillguard_core.robot.arm import Vec

MOVING = 0.05  # [rad/s] of the fastest joint
PAUSE = 0.25  # [s] at rest, with nothing left to end, after which the next work may begin
QUIET = 3.0  # [s] the same after a work was given up: longer than the monitor waits before it needs a resume


class Patience(NamedTuple):
    """What is remembered from one tick to the next. Times in seconds on the caller's clock."""

    begun: float = math.nan  # when the arm began to move; NaN between two works
    still: float = math.nan  # since when it has been at rest with nothing to end; NaN: it is not
    gave_up: bool = False


def watched(last: Patience, now: float, speeds: Vec, ended: bool, longest: float) -> Patience:
    """The next state.

    `speeds` (J,) [rad/s] of the joints; `ended`: where the arm is the task needs no ending; `longest` [s] a
    work may take, 0 for a policy that never gives up.
    """
    moving = not np.abs(speeds).max() <= MOVING  # an unknown speed is no rest
    still = math.nan if moving or not ended else now if math.isnan(last.still) else last.still
    if now - still >= (QUIET if last.gave_up else PAUSE):
        return Patience(still=still)
    begun = now if math.isnan(last.begun) and moving else last.begun
    return Patience(begun, still, last.gave_up or now - begun > (longest or math.inf))
