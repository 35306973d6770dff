"""The observation, term by term. Simulation and robot call the same functions; there is no second one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillguard_core.arm import Vec
from spillguard_core.kinematics import ArmKinematics, LipState


@dataclass(frozen=True)
class Measurement:
    """What the cell can sense at one instant."""

    joint_position: Vec  # (7,) [rad]
    joint_velocity: Vec  # (7,) [rad/s]
    poured_mass: float  # [kg] on the load cell under the receiving cup, tared with the empty cup
    remaining_mass: float  # [kg] content of the held cup, felt at the wrist, tared with the empty cup
    target_position: Vec  # (3,) [m] centre of the receiving cup's rim, base frame

    def is_finite(self) -> bool:
        """False as soon as one value is NaN or infinite."""
        arrays = (self.joint_position, self.joint_velocity, self.target_position)
        return all(bool(np.isfinite(a).all()) for a in arrays) and bool(
            np.isfinite(self.poured_mass) and np.isfinite(self.remaining_mass)
        )


Function = Callable[[Measurement, LipState], list[float]]


@dataclass(frozen=True)
class Term:
    """One part of the observation. `shift` and `scale` bring it to about [-1, 1] inside the networks."""

    width: int
    unit: str
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    function: Function


def lip_to_target(measurement: Measurement, lip: LipState) -> list[float]:
    """Lip minus rim centre of the receiving cup (3,) [m], base frame."""
    offset: list[float] = (lip.position - measurement.target_position).tolist()
    return offset


def lip_position(measurement: Measurement, lip: LipState) -> list[float]:
    """Lip (3,) [m], base frame."""
    del measurement
    position: list[float] = lip.position.tolist()
    return position


def cup_tilt(measurement: Measurement, lip: LipState) -> list[float]:
    """Sine and cosine of the tilt (2,) [-]: no jump anywhere on the circle."""
    del measurement
    return [math.sin(lip.tilt), math.cos(lip.tilt)]


def lip_velocity(measurement: Measurement, lip: LipState) -> list[float]:
    """Velocity of the lip (3,) [m/s], base frame."""
    del measurement
    velocity: list[float] = lip.velocity.tolist()
    return velocity


def tilt_rate(measurement: Measurement, lip: LipState) -> list[float]:
    """Tilt rate (1,) [rad/s]."""
    del measurement
    return [lip.tilt_rate]


def poured_mass(measurement: Measurement, lip: LipState) -> list[float]:
    """Mass in the receiving cup (1,) [kg]."""
    del lip
    return [measurement.poured_mass]


def remaining_mass(measurement: Measurement, lip: LipState) -> list[float]:
    """Mass left in the held cup (1,) [kg]."""
    del lip
    return [measurement.remaining_mass]


TERMS: dict[str, Term] = {
    "lip_to_target": Term(3, "m", (0.0, 0.0, 0.1), (0.1, 0.1, 0.1), lip_to_target),
    "lip_position": Term(3, "m", (0.5, 0.0, 0.25), (0.2, 0.2, 0.2), lip_position),
    "cup_tilt": Term(2, "-", (0.0, 0.0), (1.0, 1.0), cup_tilt),
    "lip_velocity": Term(3, "m/s", (0.0, 0.0, 0.0), (0.25, 0.25, 0.25), lip_velocity),
    "tilt_rate": Term(1, "rad/s", (0.0,), (1.2,), tilt_rate),
    "poured_mass": Term(1, "kg", (0.05,), (0.05,), poured_mass),
    "remaining_mass": Term(1, "kg", (0.05,), (0.05,), remaining_mass),
}

POUR_TERMS = tuple(TERMS)


def observation_width(terms: Sequence[str]) -> int:
    """Length O of the observation made of these terms."""
    return sum(TERMS[name].width for name in terms)


def observation_scaling(terms: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shift and scale, each (O,), that a network applies first: (obs - shift) / scale."""
    shift = np.array([x for name in terms for x in TERMS[name].shift], dtype=np.float32)
    scale = np.array([x for name in terms for x in TERMS[name].scale], dtype=np.float32)
    return shift, scale


def observe(terms: Sequence[str], measurement: Measurement, kinematics: ArmKinematics) -> NDArray[np.float32]:
    """Observation (O,) in physical units, in the order of `terms`."""
    return observe_from(
        terms, measurement, kinematics.lip(measurement.joint_position, measurement.joint_velocity)
    )


def observe_from(terms: Sequence[str], measurement: Measurement, lip: LipState) -> NDArray[np.float32]:
    """`observe` for a lip that is known already."""
    values: list[float] = []  # faster than filling an array term by term
    for name in terms:
        values += TERMS[name].function(measurement, lip)
    return np.array(values, dtype=np.float32)
