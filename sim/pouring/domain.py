"""What the bench does not know about a pouring cell: every quantity with its nominal value, range and reason.

A `Domain` is one cell. The controller, the guard and the gate know the nominal one only, so that a mismatch
shows. Ranges are those of training and of the shipped policy's promise; what lies outside them is held out.
No range here was measured on a Gen3: `spillguard identify` narrows them for a particular arm.

J = 7 joints. SI units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np

from spillguard_core.robot.arm import MONITOR_PERIOD

Value = Any  # a number, a word, or a number for each joint or axis
Range = tuple[Value, Value]

JOINTS = 7
LARGE, SMALL = 4, 3  # actuators of either size, from the base outwards


class Quantity(NamedTuple):
    """One thing that differs from cell to cell."""

    nominal: Value
    low: Value
    high: Value
    unit: str
    reason: str
    choices: tuple[str, ...] = ()  # of a quantity that is no number


def _quantity(nominal: Value, low: Value, high: Value, unit: str, reason: str) -> Any:
    """A field; the ends of a vector's range may be the same for all its entries."""
    if isinstance(nominal, tuple):
        low, high = (x if isinstance(x, tuple) else (float(x),) * len(nominal) for x in (low, high))
    return field(default=nominal, metadata={"quantity": Quantity(nominal, low, high, unit, reason)})


def _choice(nominal: str, choices: tuple[str, ...], reason: str) -> Any:
    return field(
        default=nominal, metadata={"quantity": Quantity(nominal, nominal, nominal, "", reason, choices)}
    )


def _ones() -> tuple[float, ...]:
    return (1.0,) * JOINTS


def _sized(large: float, small: float) -> tuple[float, ...]:
    """A value for each joint by the size of its actuator."""
    return (large,) * LARGE + (small,) * SMALL


@dataclass(frozen=True)
class Domain:
    """One cell. `QUANTITIES` says of each field its nominal value, range, unit and why it varies."""

    # The arm
    link_mass: tuple[float, ...] = _quantity(_ones(), 0.9, 1.1, "of the published", "cables, mounted tools")
    dry_friction: tuple[float, ...] = _quantity(
        _sized(0.6, 0.3), _sized(0.1, 0.05), _sized(1.5, 0.75), "N m", "strain wave gears: wear, warmth, load"
    )
    viscous_friction: tuple[float, ...] = _quantity(
        _sized(1.0, 0.5), _sized(0.2, 0.1), _sized(3.0, 1.5), "N m s/rad", "grease: temperature"
    )
    stiffness: tuple[float, ...] = _quantity(
        _ones(), 0.85, 1.15, "of the nominal gain", "the servos' gains are not published"
    )
    damping: tuple[float, ...] = _quantity(
        _ones(), 0.85, 1.15, "of the nominal gain", "the servos' gains are not published"
    )
    lag: float = _quantity(0.020, 0.005, 0.040, "s", "servos told positions alone trail their command")
    payload: float = _quantity(0.15, 0.0, 0.3, "kg", "carried beside the cup, unknown to the controller")
    # What is poured
    granules: int = _quantity(20, 12, 28, "", "how full the cup is")
    granule_radius: float = _quantity(0.009, 0.007, 0.0105, "m", "what is poured")
    granule_density: float = _quantity(1000.0, 500.0, 2000.0, "kg/m^3", "what is poured")
    granule_friction: float = _quantity(0.4, 0.2, 0.7, "", "sliding; what is poured")
    granule_rolling: float = _quantity(0.0, 0.0, 2e-4, "m", "rolling; grains are not round")
    granule_damping: float = _quantity(1.0, 0.5, 1.0, "ratio", "restitution: below 1 granules bounce")
    granule_elongation: float = _quantity(1.0, 1.0, 1.2, "length over width", "grains are not round")
    # The cups
    held_radius: float = _quantity(0.035, 0.033, 0.037, "m", "inner; another cup of the same kind")
    held_height: float = _quantity(0.095, 0.090, 0.100, "m", "inner; another cup of the same kind")
    receiver_radius: float = _quantity(0.042, 0.040, 0.044, "m", "inner; another cup of the same kind")
    receiver_height: float = _quantity(0.095, 0.088, 0.100, "m", "inner; another cup of the same kind")
    target_error: tuple[float, ...] = _quantity(
        (0.0,) * 3,
        (-0.008, -0.008, -0.004),
        (0.008, 0.008, 0.004),
        "m",
        "calibration of what sees the target",
    )
    # The sensors
    load_cell_noise: float = _quantity(0.0003, 0.0, 0.001, "kg", "standard deviation")
    load_cell_bias: float = _quantity(
        0.0, -0.005, 0.005, "kg", "tared before the cup was put down, or not at all"
    )
    load_cell_drift: float = _quantity(0.0, -1e-4, 1e-4, "kg/s", "warming up")
    load_cell_step: float = _quantity(0.0, 0.0, 0.001, "kg", "resolution")
    load_cell_lag: float = _quantity(0.1, 0.03, 0.2, "s", "filter of the amplifier")
    wrist_noise: float = _quantity(0.001, 0.0003, 0.002, "kg", "standard deviation")
    wrist_bias: float = _quantity(
        0.0, -0.003, 0.003, "kg",
        "weight of the cup, after a tare where the pour begins: untared, a joint's torque zero of 0.2 N m, "
        "which identification allows for, is some 30 g at 0.7 m",
    )  # fmt: skip
    wrist_drift: float = _quantity(0.0, -1e-4, 1e-4, "kg/s", "warming up")
    wrist_step: float = _quantity(0.0, 0.0, 0.001, "kg", "resolution")
    wrist_lag: float = _quantity(0.1, 0.03, 0.2, "s", "filter of the estimate from joint torques")
    encoder_noise: float = _quantity(0.0, 0.0, 2e-4, "rad", "standard deviation")
    encoder_offset: tuple[float, ...] = _quantity(
        (0.0,) * JOINTS, -0.003, 0.003, "rad", "zero of each joint, on which its servo closes, too"
    )
    velocity_noise: float = _quantity(0.0, 0.0, 0.01, "rad/s", "standard deviation; differences of positions")
    # Time
    delay: float = _quantity(0.02, 0.0, 0.10, "s", "from a measurement to the command that answers it")
    jitter: float = _quantity(0.0, 0.0, 0.03, "s", "added to the delay, from 0 up, anew for each command")
    dropped: float = _quantity(0.0, 0.0, 0.1, "share", "proposals lost on the way")
    command_delay: float = _quantity(0.003, 0.001, 0.005, "s", "from the monitor to the arm's controller")
    command_jitter: float = _quantity(0.002, 0.0, 0.01, "s", "added to it, from 0 up, anew for each message")
    policy_rate: float = _quantity(20.0, 14.0, 20.0, "Hz", "a busy computer falls behind, none runs ahead")
    # The simulator itself: no cell has these, and what depends on them is not to be believed
    timestep: float = _quantity(0.005, 0.005, 0.005, "s", "of the physics")
    iterations: int = _quantity(20, 15, 30, "", "of the contact solver")
    solver: str = _choice("newton", ("newton", "cg", "pgs"), "of contact forces")
    cone: str = _choice("pyramidal", ("pyramidal", "elliptic"), "of friction")
    integrator: str = _choice("implicitfast", ("implicitfast", "implicit", "euler"), "of the physics")


QUANTITIES: Mapping[str, Quantity] = {f.name: f.metadata["quantity"] for f in fields(Domain)}
NOMINAL = Domain()
# What a file may say, held-out values included: of cups and granules what the geometry of the cell allows,
# otherwise far more than any arm, sensor or network of this kind has. A time step is one of `TIMESTEPS`.
POSSIBLE: Mapping[str, tuple[float, float]] = {
    "link_mass": (0.1, 10.0), "dry_friction": (0.0, 50.0), "viscous_friction": (0.0, 100.0),
    "stiffness": (0.1, 10.0), "damping": (0.0, 10.0), "lag": (0.0, 0.2), "payload": (0.0, 4.0),
    "granules": (1, 40), "granule_radius": (0.004, 0.012), "granule_density": (10.0, 20_000.0),
    "granule_friction": (0.0, 10.0), "granule_rolling": (0.0, 0.01), "granule_damping": (0.05, 5.0),
    "granule_elongation": (1.0, 2.0), "held_radius": (0.025, 0.04), "held_height": (0.07, 0.12),
    "receiver_radius": (0.03, 0.055), "receiver_height": (0.07, 0.12), "target_error": (-1.0, 1.0),
    "load_cell_noise": (0.0, 1.0), "load_cell_bias": (-5.0, 5.0), "load_cell_drift": (-0.1, 0.1),
    "load_cell_step": (0.0, 1.0), "load_cell_lag": (1e-3, 5.0), "wrist_noise": (0.0, 1.0),
    "wrist_bias": (-5.0, 5.0), "wrist_drift": (-0.1, 0.1), "wrist_step": (0.0, 1.0),
    "wrist_lag": (1e-3, 5.0), "encoder_noise": (0.0, 0.1), "encoder_offset": (-0.2, 0.2),
    "velocity_noise": (0.0, 1.0), "delay": (0.0, 2.0), "jitter": (0.0, 2.0), "dropped": (0.0, 1.0),
    "command_delay": (0.0, 1.0), "command_jitter": (0.0, 1.0), "policy_rate": (1.0, 100.0),
    "timestep": (0.0, MONITOR_PERIOD), "iterations": (1, 1000),
}  # fmt: skip
TIMESTEPS = tuple(MONITOR_PERIOD / steps for steps in (2, 4, 5, 10))


class Spread(NamedTuple):
    """A cell of which some quantities are known only to lie in a range."""

    base: Domain
    varied: Mapping[str, Range]


FULL = Spread(
    NOMINAL,
    {name: (q.low, q.high) for name, q in QUANTITIES.items() if not q.choices and q.low != q.high},
)
"""Every quantity over its whole range."""

POURS = Spread(
    NOMINAL,
    {
        "granules": (12, 28),
        "granule_radius": (0.008, 0.010),
        "granule_friction": (0.25, 0.55),
        "payload": (0.0, 0.3),
        "delay": (0.0, 0.04),
    },
)
"""What changes from one pour to the next in a cell that is otherwise nominal."""

FIXED = Spread(NOMINAL, {})
SPREADS = {"nominal": FIXED, "pours": POURS, "full": FULL}


def sample(rng: np.random.Generator, spread: Spread) -> Domain:
    """One cell: every quantity that varies is drawn uniformly from its range, in the order of the fields."""
    drawn = {name: _draw(rng, *spread.varied[name]) for name in QUANTITIES if name in spread.varied}
    return replace(spread.base, **drawn)


def _draw(rng: np.random.Generator, low: Value, high: Value) -> Value:
    if isinstance(low, tuple):
        return tuple(rng.uniform(low, high).tolist())
    if isinstance(low, int) and isinstance(high, int):
        return int(rng.integers(low, high + 1))
    return float(rng.uniform(low, high))
