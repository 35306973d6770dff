"""State of a pour: granules landed, granules lost, and whether a rule was broken."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pouring import cell_model as geometry
from sim.pouring.domain import NOMINAL, Domain
from spillguard_core.robot.arm import Vec

SUCCESS_SHARE = 0.95
UPRIGHT = math.cos(0.2)  # vertical component of the held cup's axis at 0.2 rad of tilt
LOST = -0.02  # [m] relative to the receiving rim


class Outcome(NamedTuple):
    """Where the granules are and whether a rule was broken."""

    total: int
    landed: int  # inside the receiving cup
    spilled: int  # outside both cups, no longer in flight
    contact: bool  # arm, gripper or held cup touched the table, a fixture or itself
    limit_broken: bool  # joint position, joint speed or workspace
    upright: bool

    @property
    def violated(self) -> bool:
        """Cost 1."""
        return self.spilled > 0 or self.contact or self.limit_broken

    @property
    def success(self) -> bool:
        """At least 95 % in the receiving cup, no spill or contact, held cup upright again."""
        return self.landed >= SUCCESS_SHARE * self.total and self.upright and not self.violated


def landed_and_lost(
    granules: NDArray[np.float64],
    rim: Vec,
    cup: Vec,
    rotation: NDArray[np.float64],
    domain: Domain = NOMINAL,
) -> tuple[int, int]:
    """Numbers of granules (N, 3) [m] that landed in the receiving cup, and that are lost.

    rim: centre (3,) [m] of the receiving cup's rim. cup, rotation: the held cup's centre (3,) [m] and axes
    (3, 3). The sizes of the cups are the domain's. Loops over the granules in plain Python: for so few that
    takes half the time of arrays.
    """
    landed, lost = 0, []
    inside = domain.receiver_radius**2
    for number, (x, y, height) in enumerate((granules - rim).tolist()):
        if height < 0.0 and x * x + y * y < inside:
            landed += 1
        elif height < LOST:
            lost.append(number)
    # Granules still in the held cup may be that low.
    return landed, int(np.count_nonzero(~_held(granules[lost], cup, rotation, domain))) if lost else 0


def loose(
    granules: NDArray[np.float64], rim: Vec, cup: Vec, rotation: NDArray[np.float64], domain: Domain
) -> int:
    """Number of granules (N, 3) [m] in neither cup; arguments as of `landed_and_lost`."""
    x, y, height = (granules - rim).T
    landed = (height < 0.0) & (x * x + y * y < domain.receiver_radius**2)
    return int(np.count_nonzero(~(landed | _held(granules, cup, rotation, domain))))


def _held(
    granules: NDArray[np.float64], cup: Vec, rotation: NDArray[np.float64], domain: Domain
) -> NDArray[np.bool_]:
    """Granules (N,) inside the held cup."""
    x, y, height = (granules - cup).dot(rotation).T
    beside = x * x + y * y < (domain.held_radius + geometry.WALL) ** 2
    inside: NDArray[np.bool_] = beside & (np.abs(height) < domain.held_height / 2 + 0.02)
    return inside
