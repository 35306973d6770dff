"""What varies from one pour to the next: the cell it happens in, and where the cups stand."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.pouring import domain as domains
from sim.pouring.domain import POURS, Domain, Spread
from spillguard_core.robot.arm import POLICY_PERIOD, Vec


@dataclass(frozen=True)
class Scenario:
    """One pour. SI units."""

    domain: Domain
    receiver_position: Vec  # (2,) [m] on the table, base frame
    lip_start: Vec  # (3,) [m] where the lip starts, base frame
    seed: int  # of all that is random during the pour, and of the initial placement of the granules


FULL_GRANULES, FULL_RADIUS = (22, 28), (0.009, 0.010)  # the upper ends: cups that spill soonest
RECEIVER_X, RECEIVER_Y = (0.62, 0.74), (-0.14, 0.10)
START_X, START_Y, START_Z = (0.60, 0.76), (-0.18, 0.18), (0.20, 0.32)
CUP_AXIS = np.array([0.0, 0.035])  # [m] axis of the upright held cup minus its lip
CLEARANCE = 0.02  # [m] the held cup's bottom starts at least this far above or beside the receiving cup


def sample_scenario(rng: np.random.Generator, spread: Spread = POURS, full_share: float = 0.0) -> Scenario:
    """One pour, every quantity uniform in its range; `full_share` of the cups are among the fullest."""
    domain = domains.sample(rng, spread)
    if full_share > 0.0 and rng.random() < full_share:
        domain = replace(
            domain,
            granules=int(rng.integers(FULL_GRANULES[0], FULL_GRANULES[1] + 1)),
            granule_radius=float(rng.uniform(*FULL_RADIUS)),
        )
    receiver = np.array([rng.uniform(*RECEIVER_X), rng.uniform(*RECEIVER_Y)])
    return Scenario(domain, receiver, _start(rng, receiver), int(rng.integers(2**31)))


def oldest(spread: Spread) -> float:
    """[s] age of the oldest measurement that a command in force may answer, if no message is lost."""
    longest = [spread.varied.get(name, (0.0, getattr(spread.base, name)))[1] for name in ("delay", "jitter")]
    return float(sum(longest)) + POLICY_PERIOD


def _start(rng: np.random.Generator, receiver: NDArray[np.float64]) -> Vec:
    """A lip position at which neither cup nor gripper overlaps the receiving cup (rejection sampling)."""
    while True:
        lip = np.array([rng.uniform(*START_X), rng.uniform(*START_Y), rng.uniform(*START_Z)])
        away = lip[:2] + CUP_AXIS - receiver
        under_gripper = away[0] > 0.1 and lip[2] < 0.2215  # its lowest point is 0.0955 below the lip
        beside = np.linalg.norm(away) > 0.12 and not under_gripper
        above = lip[2] > 0.118 + 0.098 + CLEARANCE  # rim height, height of the held cup
        if beside or above:
            return lip
