"""A slower arm on the same path: every motion is made at a share of its speed.

The tool asks for a share of the joint velocities that the full action would need, corrections of posture and
orientation included, so joints and tool keep their directions and the path stays what it was. Acceleration,
and so braking, is not touched.

Shapes: J joints, A entries of an action.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spillguard_core.gate.rule import Tool
from spillguard_core.robot.arm import Vec


@dataclass(frozen=True)
class SlowTool:
    """A tool whose joint velocities are a `share` in (0, 1] of the inner one's."""

    inner: Tool
    share: float

    def pose(self, q: Vec) -> Any:
        """See `Tool`."""
        return self.inner.pose(q)

    def state(self, q: Vec, qd: Vec) -> Any:
        """See `Tool`."""
        return self.inner.state(q, qd)

    def joint_velocity(self, q: Vec, action: Vec) -> Vec:
        """Joint velocities (J,) [rad/s] at q (J,) [rad] for an action (A,) that is slowed already."""
        return self.share * self.inner.joint_velocity(q, action / self.share)


def within(action: Vec, scale: Vec) -> Vec:
    """The action (A,), as a whole no larger than `scale` (A,): rules name ways out at full speed."""
    excess = max((np.abs(action) / scale).tolist())
    return action if excess <= 1.0 else action / excess
