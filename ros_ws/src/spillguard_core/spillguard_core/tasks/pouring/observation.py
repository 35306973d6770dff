"""Sensors of the pouring task, and the terms of its observation."""

import math

import numpy as np

from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.task import Curve, Kind, Sensor, Term
from spillguard_core.robot.arm import Vec
from spillguard_core.tasks.pouring.lip import LipState

POURED, REMAINING, TARGET = "poured_mass", "remaining_mass", "target_position"
SENSORS = (
    Sensor(POURED, "poured", Kind.MASS, "load_cell/wrench", "load_cell"),  # tared with the empty cup on it
    Sensor(REMAINING, "in the held cup", Kind.MASS, "wrist/wrench", "wrist"),  # tared with the cup empty
    Sensor(TARGET, "target", Kind.POINT, "target_pose"),  # centre of the receiving cup's rim
)
MOST_MASS = 10.0  # [kg] largest plausible reading of a scale or the wrist, either sign


def measured(
    joint_position: Vec, joint_velocity: Vec, poured_mass: float, remaining_mass: float, target_position: Vec
) -> Measurement:
    """Joint positions and velocities (J,) [rad, rad/s], masses [kg], target (3,) [m] in the base frame."""
    sensed = {POURED: np.array([poured_mass]), REMAINING: np.array([remaining_mass]), TARGET: target_position}
    return Measurement(joint_position, joint_velocity, sensed)


def doubt(measurement: Measurement) -> str:
    """Readings that no scale can give; empty if none."""
    for name, words in ((POURED, "poured"), (REMAINING, "remaining")):
        mass = measurement.sensed[name].item()
        if not abs(mass) <= MOST_MASS:
            return f"{words} mass {mass:.4g} kg, possible are {MOST_MASS:g} either way"
    return ""


def lip_to_target(measurement: Measurement, lip: LipState) -> list[float]:
    """Lip minus rim centre of the receiving cup (3,) [m], base frame."""
    offset: list[float] = (lip.position - measurement.sensed[TARGET]).tolist()
    return offset


def lip_position(measurement: Measurement, lip: LipState) -> list[float]:
    """Lip (3,) [m], base frame."""
    del measurement
    position: list[float] = lip.position.tolist()
    return position


def cup_tilt(measurement: Measurement, lip: LipState) -> list[float]:
    """Sine and cosine of the tilt (2,) [-]: continuous on the whole circle."""
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
    return [measurement.sensed[POURED].item()]


def remaining_mass(measurement: Measurement, lip: LipState) -> list[float]:
    """Mass left in the held cup (1,) [kg]."""
    del lip
    return [measurement.sensed[REMAINING].item()]


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

MASS = "mass [g]"
CURVES = (
    Curve("cup tilt [deg]", "tilt", lambda measurement, lip: math.degrees(lip.tilt)),
    Curve(MASS, "in the receiving cup", lambda measurement, lip: 1e3 * measurement.sensed[POURED].item()),
    Curve(MASS, "in the held cup", lambda measurement, lip: 1e3 * measurement.sensed[REMAINING].item()),
)
