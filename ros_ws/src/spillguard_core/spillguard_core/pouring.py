"""Where the held cup may be tilted how far: the spill check that needs no learning.

Granules lie still in a cup that leans less than they need to run out (in the simulated cell above 1.4 rad for
the fullest cup, tilted slowly). What runs out is thrown forwards: it slides down the cup, faster where the
cup leans further, and flies on while it falls, further where the lip stands higher. So a cup may lean where
slow and fast granules alike land inside the target's rim, only so far that the fast ones do, less at the
edge of that zone, and only by the free tilt elsewhere. The same holds for where the lip's velocity carries
the stream while it falls.
"""

import math
from dataclasses import dataclass

from spillguard_core.arm import GRAVITY, Vec


@dataclass(frozen=True)
class PourZone:
    """Lip positions relative to the centre of the target's rim from which a stream lands inside [m].

    Base frame; the cup pours towards -y, so the lip stands on the +y side of where the stream lands. The rim
    has a radius of 0.042, a granule one of up to 0.010. Speeds of the stream are those of granules that leave
    the cup of the good policy in the simulated cell; nearly all of them are between slowest and fastest.
    """

    half_width: float = 0.022  # along x; narrower, and the good policy waits beside it for ever
    landing: float = 0.033  # along y on both sides of the centre: the rim's radius less a granule's
    low: float = 0.0  # along z: no pouring from below the rim
    high: float = 0.090  # further up small jolts throw too far, and the good policy never pours
    edge_tilt: float = 1.3  # [rad] at the surface of the zone, less outside; shaken full cups pour just above
    reach: float = 0.03  # [m] outside the zone at which only the free tilt is left
    slowest: float = 0.2  # [m/s] of the stream over the lip
    fastest: float = 0.43  # [m/s] of it at the edge tilt: in a full cup the granules behind push
    quickening: float = 0.2  # [m/s per rad] by which a further lean makes the fastest faster
    above: float = 0.01  # [m] above the lip at which the middle of a granule leaves


ZONE = PourZone()
FALL_TIME = 0.2  # [s] for which granules keep the lip's velocity: in the cup, then in the air


def flight_time(height: float, zone: PourZone = ZONE) -> float:
    """Time [s] that a granule needs from a lip at `height` [m] over the rim down to the rim."""
    return math.sqrt(2.0 * (max(height, 0.0) + zone.above) / GRAVITY)


def outside(lip: Vec, target: Vec, zone: PourZone = ZONE) -> float:
    """Distance [m] along the worst axis of a lip (3,) [m] from the zone of a target (3,) [m]; 0 inside."""
    x, y, z = map(float, lip - target)
    flight = flight_time(z, zone)
    front, back = flight * zone.fastest - zone.landing, flight * zone.slowest + zone.landing
    return max(0.0, abs(x) - zone.half_width, front - y, y - back, zone.low - z, z - zone.high)


def allowed_tilt(lip: Vec, target: Vec, free_tilt: float, zone: PourZone = ZONE) -> float:
    """Largest lean [rad] towards the lip there; NaN where a position is."""
    away = outside(lip, target, zone)
    if math.isnan(float(lip.sum() + target.sum())):
        return math.nan
    if away == 0.0:  # as far as the fastest granules still land inside the rim
        _, y, z = map(float, lip - target)
        fastest = (y + zone.landing) / flight_time(z, zone)
        return max(free_tilt, zone.edge_tilt + (fastest - zone.fastest) / zone.quickening)
    share = min(away / zone.reach, 1.0)
    return max(free_tilt, free_tilt + (1.0 - share) * (zone.edge_tilt - free_tilt))


def tilt_margin(lip: Vec, tilt: float, target: Vec, free_tilt: float) -> float:
    """How much further [rad] the cup may lean, negative beyond; `tilt` [rad] is positive towards the lip.

    Backwards only the free tilt is allowed: nothing stands there to pour into.
    """
    return (allowed_tilt(lip, target, free_tilt) if tilt > 0.0 else free_tilt) - abs(tilt)
