"""Physical plausibility of a measurement, checked before anything computes with it.

Every check states the condition for valid, so NaN counts as a fault.
"""

from spillguard_core.robot.arm import ArmLimits, Vec, all_finite

FARTHEST = 1e4  # [rad] most that a continuous joint may have turned, about 1,600 revolutions
FASTEST = 10.0  # highest plausible measured velocity, as a multiple of the joint's limit


def joint_state_doubt(q: Vec, qd: Vec, limits: ArmLimits) -> str:
    """Fault of positions [rad] and velocities [rad/s] that should be (J,); empty if none."""
    if not (q.shape == qd.shape == limits.velocity.shape):
        return f"shapes {q.shape} and {qd.shape}, need {limits.velocity.shape}"
    if not (all_finite(q) and all_finite(qd)):
        return f"positions {q}, velocities {qd}"
    reached, highest = qd.tolist(), limits.velocity.tolist()
    for joint, (value, speed, limit) in enumerate(zip(q.tolist(), reached, highest, strict=True), start=1):
        if not abs(value) <= FARTHEST:
            return f"joint {joint} at {value:.4g} rad, no arm is farther than {FARTHEST:g}"
        if not abs(speed) <= FASTEST * limit:
            return f"joint {joint} at {speed:.4g} rad/s, no arm is faster than {FASTEST * limit:g}"
    return ""
