"""The conditions of the transfer report, from nominal cells to such as no training has seen.

Within a condition an episode's cell depends on its seed alone. Between conditions a seed keeps where the cups
stand, and the value of every quantity that varies over the same range.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sim.pouring import domain as domains
from sim.pouring.arms import DrivenArm
from sim.pouring.domain import FIXED, FULL, NOMINAL, POURS, QUANTITIES, Domain, Range, Spread, Value
from sim.pouring.scenario import Scenario, sample_scenario

SEEDS = 6_000_000  # the first; no other part of the project uses these
INSIDE, HELD_OUT, HOPELESS, ENDS = "inside the ranges", "held out", "cannot succeed", "one at a time"
TIERS = (INSIDE, HELD_OUT, HOPELESS, ENDS)


@dataclass(frozen=True)
class TransferCondition:
    """Cells that have something in common."""

    name: str
    tier: str
    spread: Spread
    driven: bool = False  # behind the monitor a trajectory controller moves the arm, told by messages
    fluid: bool = False  # in place of granules


class End(NamedTuple):
    """One quantity at one end of its range."""

    quantity: str
    end: str  # "low" or "high"
    value: Value
    condition: TransferCondition


GROUPS: Mapping[str, tuple[str, ...]] = {
    "arm": ("link_mass", "dry_friction", "viscous_friction", "stiffness", "damping", "lag", "payload"),
    "granules": (
        "granules", "granule_radius", "granule_density", "granule_friction", "granule_rolling",
        "granule_damping", "granule_elongation",
    ),
    "cups": ("held_radius", "held_height", "receiver_radius", "receiver_height"),
    "target": ("target_error",),
    "mass sensors": (
        "load_cell_noise", "load_cell_bias", "load_cell_drift", "load_cell_step", "load_cell_lag",
        "wrist_noise", "wrist_bias", "wrist_drift", "wrist_step", "wrist_lag",
    ),
    "encoders": ("encoder_noise", "encoder_offset", "velocity_noise"),
    "time": ("delay", "jitter", "dropped", "command_delay", "command_jitter", "policy_rate"),
    "solver": ("iterations",),
}  # fmt: skip
"""Every quantity that varies in FULL, by what it belongs to."""
MESSAGES = {"command_delay", "command_jitter"}  # act on an arm that is told by messages alone


def pours_with(**values: Value) -> Spread:
    """What changes from pour to pour, in a cell of which these quantities are known exactly."""
    varied = {name: ends for name, ends in POURS.varied.items() if name not in values}
    return Spread(replace(NOMINAL, **values), varied)


def pours_over(ranges: Mapping[str, Range], **values: Value) -> Spread:
    """The same, with these quantities over these ranges."""
    spread = pours_with(**values)
    return Spread(spread.base, {**spread.varied, **ranges})


def _inside() -> list[TransferCondition]:
    found = [
        TransferCondition("nominal", INSIDE, FIXED), TransferCondition("pours", INSIDE, POURS),
        TransferCondition("full", INSIDE, FULL, driven=True),
    ]  # fmt: skip
    for name, quantities in GROUPS.items():
        ranges = {quantity: FULL.varied[quantity] for quantity in quantities}
        found.append(
            TransferCondition(name, INSIDE, pours_over(ranges), driven=not MESSAGES.isdisjoint(quantities))
        )
    return found


def _held_out() -> list[TransferCondition]:
    spreads = {
        # After the nominal number of iterations its contacts are so far from solved that granules fly.
        "solver CG": pours_with(solver="cg", iterations=50),
        "solver PGS": pours_with(solver="pgs"),
        "elliptic cone": pours_with(cone="elliptic"),
        "time step 2.5 ms": pours_with(timestep=0.0025),
        "time step 2 ms": pours_with(timestep=0.002),
        "integrator implicit": pours_with(integrator="implicit"),
        "integrator Euler": pours_with(integrator="euler"),
        "policy at 10 Hz": pours_with(policy_rate=10.0),
        "policy at 40 Hz": pours_with(policy_rate=40.0),
        "delay 150 ms": pours_with(delay=0.15),
        "jitter 50 ms": pours_with(jitter=0.05),
        "denser": pours_with(granule_density=3000.0),
        "smaller granules": pours_with(granule_radius=0.006),
        "rolling": pours_with(granule_rolling=5e-4),
        # As many as the cup holds: larger ones would lie on its rim.
        "more granules": pours_over({"granules": (32, 36), "granule_radius": (0.008, 0.009)}),
        "taller receiver": pours_with(receiver_height=0.115),
        "narrower receiver": pours_with(receiver_radius=0.036),
        "taller held cup": pours_with(held_height=0.110),
        "narrower held cup": pours_with(held_radius=0.030),
        "load cell 8 g high": pours_with(load_cell_bias=0.008),
        "load cell 8 g low": pours_with(load_cell_bias=-0.008),
        "load cell 10 g high": pours_with(load_cell_bias=0.010),
        "load cell 10 g low": pours_with(load_cell_bias=-0.010),
        "wrist 5 g high": pours_with(wrist_bias=0.005),
        "wrist 5 g low": pours_with(wrist_bias=-0.005),
        "wrist 10 g high": pours_with(wrist_bias=0.010),
        "wrist 10 g low": pours_with(wrist_bias=-0.010),
        "drift 0.3 g/s": pours_with(load_cell_drift=3e-4, wrist_drift=3e-4),
        "masses in steps of 2 g": pours_with(load_cell_step=0.002, wrist_step=0.002),
        "encoder noise 0.4 mrad": pours_with(encoder_noise=4e-4),
        "velocity noise 0.02 rad/s": pours_with(velocity_noise=0.02),
        "target 15 mm off in x": pours_with(target_error=(0.015, 0.0, 0.0)),
        "target 15 mm off in y": pours_with(target_error=(0.0, 0.015, 0.0)),
        "target 15 mm off in -y": pours_with(target_error=(0.0, -0.015, 0.0)),
    }
    found = [TransferCondition(name, HELD_OUT, spread) for name, spread in spreads.items()]
    late = pours_with(command_delay=0.010, command_jitter=0.020)
    return [
        *found,
        TransferCondition("commands 10 to 30 ms late", HELD_OUT, late, driven=True),
        TransferCondition("fluid", HELD_OUT, POURS, fluid=True),
    ]


def _hopeless() -> list[TransferCondition]:
    spreads = {
        "delay 250 ms": pours_with(delay=0.25),
        "target 40 mm off": pours_with(target_error=(0.04, 0.0, 0.0)),
        "no proposals": pours_with(dropped=1.0),
    }
    return [TransferCondition(name, HOPELESS, spread) for name, spread in spreads.items()]


def ends() -> list[End]:
    """Every quantity at either end of its range, all entries of a vector at once, unless that is its nominal
    value and `pours` has it."""
    found = []
    for name, (low, high) in FULL.varied.items():
        for end, value in (("low", low), ("high", high)):
            if name in POURS.varied or value != QUANTITIES[name].nominal:
                condition = TransferCondition(
                    f"{name} {end}", ENDS, pours_with(**{name: value}), driven=name in MESSAGES
                )
                found.append(End(name, end, value, condition))
    return found


def conditions() -> list[TransferCondition]:
    """All of them, by tier."""
    return [*_inside(), *_held_out(), *_hopeless(), *(end.condition for end in ends())]


def chosen(names: tuple[str, ...]) -> list[TransferCondition]:
    """Those of these names, or of the tiers of these names; none means all. ValueError."""
    every = conditions()
    for name in names:
        if name not in {*TIERS, *(condition.name for condition in every)}:
            raise ValueError(f"unknown condition {name!r}; `spillguard transfer --list` tells them")
    return [c for c in every if not names or c.name in names or c.tier in names]


def outside(domain: Domain) -> list[str]:
    """Names of the quantities that lie outside the range of the full spread, in any entry."""
    found = []
    for name, quantity in QUANTITIES.items():
        value = getattr(domain, name)
        if quantity.choices:
            differs = value != quantity.nominal
        else:
            differs = bool(np.any(np.less(value, quantity.low)) or np.any(np.greater(value, quantity.high)))
        if differs:
            found.append(name)
    return found


def scenario(condition: TransferCondition, seed: int) -> Scenario:
    """The pour of this seed, the same for everybody who pours it."""
    place = sample_scenario(np.random.default_rng(seed), FIXED)
    domain, varied = condition.spread
    for number, name in enumerate(QUANTITIES):
        if name in varied:
            rng = np.random.default_rng([seed, number])
            domain = domains.sample(rng, Spread(domain, {name: varied[name]}))
    lip = place.lip_start.copy()
    # A start that is clear of the cups for every height in the ranges is so for taller ones if it is as much
    # higher; the lip is that of the nominal cup, whose middle stays where it is held.
    lip[2] += max(domain.receiver_height - QUANTITIES["receiver_height"].high, 0.0)
    lip[2] += max(domain.held_height - QUANTITIES["held_height"].high, 0.0) / 2.0
    return replace(place, domain=domain, lip_start=lip)


def driven_arm(domain: Domain) -> DrivenArm:
    """An arm whose messages and servos take the domain's times."""
    soonest = domain.command_delay
    return DrivenArm(domain.lag, (soonest, soonest + domain.command_jitter))
