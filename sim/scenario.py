"""What varies from one pour to the next, with its physical range. All of it is sampled from one generator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillguard_core.arm import Vec


@dataclass(frozen=True)
class Scenario:
    """One randomised cell. SI units."""

    granules: int
    granule_radius: float  # [m]
    granule_friction: float  # [-] sliding
    payload: float  # [kg] carried by the gripper beside the cup, unknown to the controller
    receiver_position: Vec  # (2,) [m] on the table, base frame
    lip_start: Vec  # (3,) [m] where the lip starts, base frame
    delay_ticks: int  # monitor periods between a measurement and the command that answers it
    seed: int  # of the sensor noise and of how the granules lie


GRANULES = (12, 28)  # both included
GRANULE_RADIUS = (0.008, 0.010)
FULL_GRANULES, FULL_RADIUS = (22, 28), (0.009, 0.010)  # the upper ends: cups that spill soonest
GRANULE_FRICTION = (0.25, 0.55)
PAYLOAD = (0.0, 0.3)
RECEIVER_X, RECEIVER_Y = (0.62, 0.74), (-0.14, 0.10)
START_X, START_Y, START_Z = (0.60, 0.76), (-0.18, 0.18), (0.20, 0.32)
DELAY_TICKS = (0, 4)  # both included; through the three ROS 2 processes it is about three
CUP_AXIS = np.array([0.0, 0.035])  # [m] axis of the upright held cup minus its lip
CLEARANCE = 0.02  # [m] the held cup's bottom starts at least this far above or beside the receiving cup


def sample_scenario(rng: np.random.Generator, full_share: float = 0.0) -> Scenario:
    """One scenario, every quantity uniform in its range; a share of the cups may be among the fullest."""
    full = full_share > 0.0 and rng.random() < full_share
    granules, radius = (FULL_GRANULES, FULL_RADIUS) if full else (GRANULES, GRANULE_RADIUS)
    receiver = np.array([rng.uniform(*RECEIVER_X), rng.uniform(*RECEIVER_Y)])
    return Scenario(
        granules=int(rng.integers(granules[0], granules[1] + 1)),
        granule_radius=float(rng.uniform(*radius)),
        granule_friction=float(rng.uniform(*GRANULE_FRICTION)),
        payload=float(rng.uniform(*PAYLOAD)),
        receiver_position=receiver,
        lip_start=_start(rng, receiver),
        delay_ticks=int(rng.integers(DELAY_TICKS[0], DELAY_TICKS[1] + 1)),
        seed=int(rng.integers(2**31)),
    )


def _start(rng: np.random.Generator, receiver: NDArray[np.float64]) -> Vec:
    """A lip position from which neither cup nor fingers overlap the receiving cup (rejection sampling)."""
    while True:
        lip = np.array([rng.uniform(*START_X), rng.uniform(*START_Y), rng.uniform(*START_Z)])
        beside = np.linalg.norm(lip[:2] + CUP_AXIS - receiver) > 0.12
        above = lip[2] > 0.118 + 0.098 + CLEARANCE  # rim height, height of the held cup
        if beside or above:
            return lip
