"""Whether the arm is at rest, judged from measurements over a window: a single velocity may be noise."""

import numpy as np

from spillguard_core.gate.decision import GateConfig, Inputs, Stillness
from spillguard_core.robot.arm import joint_differences

ON_TIME = 1e-6  # [s]
DOUBT = 2.0  # factor by which integrated velocities may exceed the allowed travel: noise adds up


def observed(
    inputs: Inputs, before: Stillness, advanced: float, gap: float, config: GateConfig, usable: bool
) -> Stillness:
    """Update the rest estimate with the newest measurement.

    Positions decide: within a window of `still_time` no joint may move further than `still_speed` takes it.
    Integrated velocity noise stays near zero; velocities that integrate to more contradict the positions, and
    an arm with contradictory measurements does not count as at rest. `usable`: the measured joint state
    passed `joint_state_doubt`.
    """
    seen, now = inputs.measurement, inputs.now
    if seen is None or not usable:
        return Stillness(before.q, before.gone, now, now)
    q, qd = seen.joint_position, seen.joint_velocity
    ages = (gap, now - inputs.state_received, now - advanced)
    watched = all(0.0 <= age <= config.state_timeout for age in ages) and before.moved <= now
    if not (before.begun <= now and q.shape == qd.shape == before.q.shape) or not watched:
        return Stillness(q, np.zeros_like(qd), now, now)
    gone, allowed = before.gone + gap * qd, config.still_speed * config.still_time
    farthest, claimed = (
        max(map(abs, joint_differences(q, before.q, config.limits.turn))),
        max(map(abs, gone.tolist())),
    )
    if not (farthest <= allowed and claimed <= DOUBT * allowed):
        return Stillness(q, np.zeros_like(qd), now, now)
    if now - before.begun >= config.still_time:
        return Stillness(q, np.zeros_like(qd), now, before.moved)
    return Stillness(before.q, gone, before.begun, before.moved)


def unrest(stillness: Stillness, now: float, config: GateConfig) -> str:
    """Why the arm does not count as at rest; empty if it does."""
    needed, rested = config.still_time, now - stillness.moved
    if rested >= needed - ON_TIME:
        return ""
    return f"the arm has to be seen at rest for {needed} s, so far {max(rested, 0.0):.2f} s"
