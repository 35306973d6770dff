"""A pouring cell whose content is a fluid, of low order: a policy made on granules meets something else.

The surface is level at any moment and the content leaves over the lowest point of the rim: up to the
horizontal as over a sharp-crested weir of parabolic section, which a tilted round rim is to the lowest order,
and beyond it also by sliding down the wall. What has left flies as parcels without drag. Not modelled:
sloshing, surface tension, a film that stays in the cup, a stream that clings to the outside of the wall or
breaks up.

SI units.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pouring.cell import PourCell
from sim.pouring.domain_model import granule_volume
from sim.pouring.outcome import LOST, Outcome
from sim.pouring.scenario import Scenario
from spillguard_core.robot.arm import GRAVITY, Vec

DISCHARGE = 0.6  # [-] coefficient of the weir, as of sharp edges
DROP = 5e-8  # [m^3] in which the content is counted: 20 drops to the millilitre
NODES = 64  # of the integrals over a cup's section
ACROSS, SHARES = np.array([-0.4, 0.0, 0.4]), (0.25, 0.5, 0.25)  # parcels: places in the stream's width, sizes
STEEP = 0.1  # least sine of the tilt in the width of the stream: a level rim overflows everywhere


class Stream(NamedTuple):
    """What leaves a cup at this moment."""

    rate: float  # [m^3/s]
    speed: float  # [m/s] relative to the lip
    width: float  # [m]


def held_volume(tilt: float, radius: float, height: float) -> float:
    """[m^3] that a cup of these inner sizes [m] holds with its axis `tilt` [rad] off the vertical."""
    if tilt >= math.pi / 2.0:
        return 0.0
    along, section = _section(radius)
    depth = np.maximum(height - (radius - along) * math.tan(tilt), 0.0)
    return float(depth.dot(section))


def surface(tilt: float, radius: float, height: float) -> float:
    """[m^2] of the level surface: an ellipse across the cup, at most the cup's lengthwise section."""
    return min(math.pi * radius**2 / max(math.cos(tilt), 1e-9), 2.0 * radius * height)


def _section(radius: float) -> tuple[Vec, Vec]:
    """Of the round section, along the diameter that points at the lip: midpoints (NODES,) [m] and areas
    (NODES,) [m^2] of strips."""
    angle = np.linspace(0.0, math.pi, NODES + 1)
    edges = -radius * np.cos(angle)
    # Area of the circle's segment up to each edge, so that the strips add up to the whole circle.
    segment = radius**2 * (angle - np.sin(angle) * np.cos(angle))
    return 0.5 * (edges[1:] + edges[:-1]), np.diff(segment)


def outflow(volume: float, tilt: float, radius: float, height: float) -> Stream:
    """The stream out of a cup that contains `volume` [m^3].

    Weir of width b(z) = 2 sqrt(2 R z / sin(tilt)) at z over the lip, Torricelli's speed at each depth: at the
    head h Q = C int_0^h b(z) sqrt(2 g (h - z)) dz = pi/4 C sqrt(2 R / sin(tilt)) sqrt(2 g) h^2, through an
    area of 2/3 b(h) h. Beyond the horizontal what is left slides out in the time in which it falls along the
    wall, sqrt(2 H / (-g cos(tilt))).
    """
    excess = volume - held_volume(tilt, radius, height)
    if excess <= 0.0:
        return Stream(0.0, 0.0, 0.0)
    head = excess / surface(tilt, radius, height)
    curve = 2.0 * radius / max(math.sin(tilt), STEEP)
    rate = math.pi / 4.0 * DISCHARGE * math.sqrt(2.0 * GRAVITY * curve) * head**2
    speed = 3.0 * math.pi / 16.0 * DISCHARGE * math.sqrt(2.0 * GRAVITY * head)
    fall = -GRAVITY * math.cos(tilt)
    if fall > 0.0:
        rate = max(rate, volume / math.sqrt(2.0 * height / fall))
        speed = max(speed, math.sqrt(fall * height))
    return Stream(rate, speed, min(2.0 * math.sqrt(curve * head), 2.0 * radius))


class FluidCell(PourCell):
    """As much fluid as the scenario's granules would fill, of their density. Outcomes count whole drops."""

    def reset(self, scenario: Scenario) -> None:
        """See `PourCell`."""
        domain = scenario.domain
        self.volume = domain.granules * granule_volume(domain)  # [m^3] in all
        self.remaining, self.poured, self.spilled = self.volume, 0.0, 0.0  # [m^3]
        self.flying: list[tuple[float, float, bool]] = []  # arrival [s], volume [m^3], whether into the cup
        self._clock = 0.0
        self._pose: tuple[Vec, NDArray[np.float64]] | None = None
        super().reset(replace(scenario, domain=replace(domain, granules=0)))

    def _content(self) -> float:
        return self.domain.granule_density * self.volume

    def _weigh(self, poured: NDArray[np.float64], remaining: NDArray[np.float64]) -> None:
        """The stream of the physics steps that have just been made; the cups weigh what is in them."""
        self._flow(len(poured) * self.domain.timestep)
        weight = self.domain.granule_density * GRAVITY
        full = np.ones(len(poured))
        self._sensors.weigh(weight * self.poured * full, weight * self.remaining * full)
        # The arm carries it beside the unknown payload.
        self.model.body_mass[self.model.body("payload").id] = (
            max(self.domain.payload, 1e-3) + self.domain.granule_density * self.remaining
        )

    def _flow(self, period: float) -> None:
        """What leaves and what arrives in `period` [s]."""
        self._clock += period
        position, rotation = self._cup_position.copy(), self._cup_rotation.copy()
        before, self._pose = self._pose or (position, rotation), (position, rotation)
        radius, height = self.domain.held_radius, self.domain.held_height
        tilt = math.acos(min(max(rotation[2, 2], -1.0), 1.0))
        stream = outflow(self.remaining, tilt, radius, height)
        left = min(stream.rate * period, self.remaining)
        if 0.0 < self.remaining - left < 0.1 * DROP and tilt > math.pi / 2.0:
            left = self.remaining  # the end of an exponential
        if left > 0.0:
            self.remaining -= left
            lip, sideways, out = _lip(rotation, radius, height)
            velocity = (position + rotation @ lip - before[0] - before[1] @ lip) / period + stream.speed * out
            for place, share in zip(ACROSS, SHARES, strict=True):
                start = position + rotation @ lip + place * stream.width * sideways
                self._fly(start, velocity, share * left)
        for parcel in [p for p in self.flying if p[0] <= self._clock]:
            self.flying.remove(parcel)
            _, volume, hit = parcel
            if hit:
                self.poured += volume
            else:
                self.spilled += volume

    def _fly(self, start: Vec, velocity: Vec, volume: float) -> None:
        """Follow a parcel down to the plane of the receiving cup's rim, where it is in or beside."""
        above = float(start[2] - self.target[2])
        down = float(velocity[2])
        time = (down + math.sqrt(down**2 + 2.0 * GRAVITY * above)) / GRAVITY if above > 0.0 else 0.0
        place = start[:2] + time * velocity[:2]
        hit = math.dist(place, self.target[:2]) < self.domain.receiver_radius and above > LOST
        self.flying.append((self._clock + time, volume, hit))

    def outcome(self) -> Outcome:
        """See `PourCell`; in whole drops."""
        return Outcome(
            total=round(self.volume / DROP),
            landed=round(self.poured / DROP),
            spilled=int(self.spilled / DROP),
            contact=self.contact,
            limit_broken=self.limit_broken or not self._inside(),
            upright=self.upright,
        )


def _lip(rotation: NDArray[np.float64], radius: float, height: float) -> tuple[Vec, Vec, Vec]:
    """The rim's lowest point (3,) [m] in the cup's frame; unit vectors (3,) in the base frame along the rim
    there, and in which the content leaves: level up to the horizontal, then along the wall."""
    axis = rotation[:, 2]
    level = math.hypot(axis[0], axis[1])
    ahead = np.array([axis[0], axis[1], 0.0]) / level if level > 1e-9 else rotation[:, 0]
    sideways = np.array([-ahead[1], ahead[0], 0.0])
    downhill = axis[2] * ahead - np.array([0.0, 0.0, level])
    lip = radius * (rotation.T @ downhill) + np.array([0.0, 0.0, height / 2.0])
    return lip, sideways, ahead if axis[2] > 0.0 else axis
