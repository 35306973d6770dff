"""Randomised quantities of a pour, with their physical ranges. All are sampled from one generator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillguard_core.robot.arm import MONITOR_PERIOD, POLICY_PERIOD, Vec


@dataclass(frozen=True)
class Scenario:
    """One randomised cell. SI units."""

    granules: int
    granule_radius: float  # [m]
    granule_friction: float  # [-] sliding
    payload: float  # [kg] carried by the gripper beside the cup, unknown to the controller
    receiver_position: Vec  # (2,) [m] on the table, base frame
    lip_start: Vec  # (3,) [m] where the lip starts, base frame
    delay_ticks: int  # monitor periods between a measurement and the command computed from it
    seed: int  # of the sensor noise and of the initial placement of the granules


GRANULES = (12, 28)  # inclusive
GRANULE_RADIUS = (0.008, 0.010)
FULL_GRANULES, FULL_RADIUS = (22, 28), (0.009, 0.010)  # the upper ends: cups that spill soonest
GRANULE_FRICTION = (0.25, 0.55)
PAYLOAD = (0.0, 0.3)
RECEIVER_X, RECEIVER_Y = (0.62, 0.74), (-0.14, 0.10)
START_X, START_Y, START_Z = (0.60, 0.76), (-0.18, 0.18), (0.20, 0.32)
DELAY_TICKS = (0, 4)  # inclusive; about three through the three ROS 2 processes
OLDEST = DELAY_TICKS[1] * MONITOR_PERIOD + POLICY_PERIOD  # [s] measurement that a command in force may answer
CUP_AXIS = np.array([0.0, 0.035])  # [m] axis of the upright held cup minus its lip
CLEARANCE = 0.02  # [m] the held cup's bottom starts at least this far above or beside the receiving cup


def sample_scenario(rng: np.random.Generator, full_share: float = 0.0) -> Scenario:
    """One scenario, every quantity uniform in its range; `full_share` of the cups are among the fullest."""
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
    """A lip position at which neither cup nor gripper overlaps the receiving cup (rejection sampling)."""
    while True:
        lip = np.array([rng.uniform(*START_X), rng.uniform(*START_Y), rng.uniform(*START_Z)])
        away = lip[:2] + CUP_AXIS - receiver
        under_gripper = away[0] > 0.1 and lip[2] < 0.2215  # its lowest point is 0.0955 below the lip
        beside = np.linalg.norm(away) > 0.12 and not under_gripper
        above = lip[2] > 0.118 + 0.098 + CLEARANCE  # rim height, height of the held cup
        if beside or above:
            return lip
