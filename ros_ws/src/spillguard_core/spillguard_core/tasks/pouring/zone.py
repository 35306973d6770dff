"""Tilt allowed for the held cup at each position: the spill check that needs no learning.

Granules lie still in a cup that leans less than they need to run out (in the simulated cell above 1.4 rad for
the fullest cup, tilted slowly). Granules that run out are thrown forwards: they slide down the cup, faster at
a larger tilt, and fly on while they fall, further from a higher lip. So the tilt is limited to where slow and
fast granules alike land inside the target's rim, to less at the edge of that zone, and to the free tilt
elsewhere. The same check is made at the point to which the lip's velocity carries the stream as it falls.
Where the target may stand before or behind where it is sensed, the stream has to land inside its rim wherever
it does.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.rule import (
    SHARES,
    Motion,
    Parts,
    Refused,
    Rule,
    Setting,
    Surroundings,
    Way,
    Ways,
    least,
)
from spillguard_core.robot.arm import GRAVITY, Vec
from spillguard_core.tasks.pouring.action import back, level, slower
from spillguard_core.tasks.pouring.observation import TARGET


@dataclass(frozen=True)
class PourZone:
    """Lip positions relative to the centre of the target's rim from which a stream lands inside [m].

    Base frame; the cup pours towards -y, so the lip is on the +y side of where the stream lands. The rim has
    a radius of 0.042, a granule one of up to 0.010. The stream's speeds are those of granules leaving the cup
    of the good policy in the simulated cell; nearly all of them are between slowest and fastest.
    """

    half_width: float = 0.022  # along x; if narrower, the good policy waits beside it for ever
    landing: float = 0.033  # along y on both sides of the centre: the rim's radius minus a granule's
    low: float = 0.0  # along z: no pouring from below the rim
    high: float = 0.090  # if higher, small jolts throw too far, and the good policy never pours
    edge_tilt: float = 1.3  # [rad] at the zone's surface, less outside; shaken full cups spill just above
    reach: float = 0.03  # [m] outside the zone beyond which only the free tilt is allowed
    slowest: float = 0.2  # [m/s] of the stream over the lip
    fastest: float = 0.43  # [m/s] at the edge tilt: in a full cup the granules behind push
    quickening: float = 0.2  # [m/s per rad] increase of the fastest speed with tilt
    above: float = 0.01  # [m] height above the lip at which a granule's centre leaves


ZONE = PourZone()


@cache
def unsure_zone(tolerance: float) -> PourZone:
    """The zone of a target that may stand up to `tolerance` [m] before or behind where it is sensed; empty
    for one that is not sensed that well. Sideways and in height it is the same: a lip at the middle of the
    zone has room for some 10 mm sideways, one at its side has none."""
    if not 0.0 <= tolerance < math.inf:
        raise ValueError(f"a tolerance must be finite and at least 0 m, got {tolerance}")
    return replace(ZONE, landing=ZONE.landing - tolerance)


FALL_TIME = 0.2  # [s] for which granules keep the lip's velocity: in the cup, then in the air


def flight_time(height: float, zone: PourZone = ZONE) -> float:
    """Time [s] that a granule takes to fall from a lip at `height` [m] above the rim down to the rim."""
    return math.sqrt(2.0 * (max(height, 0.0) + zone.above) / GRAVITY)


def outside(lip: Vec, target: Vec, zone: PourZone = ZONE) -> float:
    """Distance [m] along the worst axis of a lip (3,) [m] from the zone of a target (3,) [m]; 0 inside."""
    x, y, z = (lip - target).tolist()
    return _outside(x, y, z, zone)


def _outside(x: float, y: float, z: float, zone: PourZone) -> float:
    flight = flight_time(z, zone)
    front, back = flight * zone.fastest - zone.landing, flight * zone.slowest + zone.landing
    return max(0.0, abs(x) - zone.half_width, front - y, y - back, zone.low - z, z - zone.high)


def allowed_tilt(lip: Vec, target: Vec, free_tilt: float, zone: PourZone = ZONE) -> float:
    """Largest tilt [rad] towards the lip at this position; NaN if a position is NaN."""
    x, y, z = map(float, (lip - target).tolist())
    if math.isnan(x + y + z):
        return math.nan
    away = _outside(x, y, z, zone)
    if away == 0.0:  # up to where the fastest granules still land inside the rim
        fastest = (y + zone.landing) / flight_time(z, zone)
        return max(free_tilt, zone.edge_tilt + (fastest - zone.fastest) / zone.quickening)
    share = min(away / zone.reach, 1.0)
    return max(free_tilt, free_tilt + (1.0 - share) * (zone.edge_tilt - free_tilt))


def tilt_margin(lip: Vec, tilt: float, target: Vec, free_tilt: float, zone: PourZone = ZONE) -> float:
    """Remaining tilt [rad] of the cup, negative beyond; `tilt` [rad] is positive towards the lip.

    Backwards only the free tilt is allowed: there is no target on that side.
    """
    return (allowed_tilt(lip, target, free_tilt, zone) if tilt > 0.0 else free_tilt) - abs(tilt)


FREE_TILT = Setting("free_tilt", "[rad] the cup may lean beside the target", 0.0, 3.2, stricter=-1)
TILT_LIMIT = Reason("TILT_LIMIT", "cup tilted too far beside the target", Verdict.LIMIT)
LEVEL = np.array([1.0, 1.0, 0.0])  # the horizontal part


def _margin(way: Way) -> Parts:
    """(2,) [rad] at the cup, and where the lip's velocity carries the stream."""
    around = way.around
    target, free = around.measurement.sensed[TARGET], around.config.settings[FREE_TILT.name]
    zone = unsure_zone(around.config.target_tolerance)
    leans = [tilt_margin(pose.position, pose.tilt, target, free, zone) for pose in way.poses]
    streams = [_stream(way.motion, offset, around, target, free, zone) for offset in way.offsets]
    return Parts(np.array([least(leans), least(streams)]))


def _stream(
    motion: Motion, strayed: Vec, around: Surroundings, target: Vec, free: float, zone: PourZone
) -> float:
    """Tilt margin [rad] where the lip's velocity carries a stream that leaves at the end of the period."""
    soon = around.tool.state(motion.q + strayed, motion.qd)
    led = soon.position + FALL_TIME * soon.velocity * LEVEL
    return tilt_margin(led, soon.tilt, target, free, zone)


def _ways(refused: Refused) -> Ways:
    tilt, action = refused.pose.tilt, refused.action
    ways = [(back(tilt), SHARES)]
    if action[3] * tilt < 0.0:  # already turning upright: slow the translation, not the tilt
        ways.insert(0, (slower(action), SHARES[:1]))
    elif refused.kept_now:  # a cup that already leans too far must not stay so
        ways.insert(0, (level(action), SHARES))
    return ways


TILT = Rule("tilt", "rad", TILT_LIMIT, _margin, _ways, FREE_TILT)
