"""Where the held cup may be tilted how far: the spill check that needs no learning.

Granules lie still in a cup that leans less than they need to run out (in the simulated cell above 1.4 rad for
the fullest cup, tilted slowly), and what runs out over the target lands in it. So a cup may lean as far as
it likes where its lip is placed to pour into the target, less at the edge of that zone, and only by the free
tilt elsewhere. The same holds for where the lip's velocity carries the stream while it falls.
"""

import math
from dataclasses import dataclass

from spillguard_core.arm import Vec


@dataclass(frozen=True)
class PourZone:
    """Box of lip positions, relative to the centre of the target's rim, that pour into the target [m].

    Base frame; the cup pours towards -y, so the lip stands on the +y side of where the stream lands. Ours,
    chosen on episodes of the policy under heavy noise: wider boxes let streams land beside the target,
    narrower ones keep the good policy from pouring as it likes.
    """

    half_width: float = 0.020  # along x
    front: float = 0.0  # along y
    back: float = 0.060
    low: float = 0.0  # along z: no pouring from below the rim
    high: float = 0.100
    edge_tilt: float = 1.3  # [rad] at the surface of the box, less outside
    reach: float = 0.03  # [m] outside the box at which only the free tilt is left


ZONE = PourZone()
FALL_TIME = 0.2  # [s] for which granules keep the lip's velocity: in the cup, then in the air


def outside(lip: Vec, target: Vec, zone: PourZone = ZONE) -> float:
    """Distance [m] along the worst axis of a lip (3,) [m] from the zone of a target (3,) [m]; 0 inside."""
    x, y, z = map(float, lip - target)
    return max(0.0, abs(x) - zone.half_width, zone.front - y, y - zone.back, zone.low - z, z - zone.high)


def allowed_tilt(lip: Vec, target: Vec, free_tilt: float, zone: PourZone = ZONE) -> float:
    """Largest lean [rad] towards the lip there; infinite inside the zone, NaN where a position is."""
    away = outside(lip, target, zone)
    if math.isnan(float(lip.sum() + target.sum())):
        return math.nan
    if away == 0.0:
        return math.inf
    share = min(away / zone.reach, 1.0)
    return max(free_tilt, free_tilt + (1.0 - share) * (zone.edge_tilt - free_tilt))


def tilt_margin(lip: Vec, tilt: float, target: Vec, free_tilt: float) -> float:
    """How much further [rad] the cup may lean, negative beyond; `tilt` [rad] is positive towards the lip.

    Backwards only the free tilt is allowed: nothing stands there to pour into.
    """
    return (allowed_tilt(lip, target, free_tilt) if tilt > 0.0 else free_tilt) - abs(tilt)
