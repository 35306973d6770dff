"""Late and lost commands: the arm stays on the verified path, and within its speed limits."""

import numpy as np
import pytest

from sim.pouring.controller import PERIOD, JointTrajectoryController, PositionServo, bounded
from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec

SPEED = 0.9 * GEN3_LIMITS.velocity * np.eye(7)[0]  # (7,) [rad/s] highest speed of commands
COAST = 0.04  # [s] that commands reach ahead
RAMP = float(SPEED[0] / GEN3_LIMITS.acceleration[0])  # [s] to reach that speed
LAG = 0.02  # [s] of the servos
MESSAGES = 60


def planned(t: float) -> tuple[Vec, Vec]:
    """Position and velocity (7,), `t` [s] after the start: accelerate, then stay at full speed."""
    return (0.5 * min(t, RAMP) ** 2 / RAMP + max(t - RAMP, 0.0)) * SPEED, min(t / RAMP, 1.0) * SPEED


def command(begin: float, stamped: bool) -> Trajectory:
    """The monitor's command of that moment; unstamped without its past, as it was sent before stamps."""
    (start, speed), (q, qd) = planned(begin), planned(begin + MONITOR_PERIOD)
    brake = float(qd[0] / GEN3_LIMITS.acceleration[0])
    times = np.array([0.0, MONITOR_PERIOD, MONITOR_PERIOD + COAST, MONITOR_PERIOD + COAST + brake])
    points = np.stack([start, q, q + COAST * qd, q + (COAST + 0.5 * brake) * qd])
    speeds = np.stack([speed, qd, qd, np.zeros(7)])
    first = 0 if stamped else 2
    return Trajectory(times[first:], points[first:], speeds[first:])


def pushed(latest: float, stamped: bool, enforced: bool = False) -> tuple[float, float, float]:
    """Messages up to `latest` [s] late: highest command and servo speed over the limit; worst lead of the
    command [rad] over the plan, which is where the verified path is.
    """
    rng, controller = np.random.default_rng(0), JointTrajectoryController(np.zeros(7))
    servo, told, seen, lead = PositionServo(np.zeros(7), LAG), np.zeros(7), [], [0.0]
    begins = MONITOR_PERIOD * np.arange(MESSAGES)
    waiting = sorted(
        zip((begins + rng.uniform(0.0, latest, MESSAGES)).tolist(), begins.tolist(), strict=True)
    )
    for step in range(round(MESSAGES * MONITOR_PERIOD / PERIOD)):
        now = step * PERIOD
        while waiting and waiting[0][0] <= now:
            _, begin = waiting.pop(0)
            controller.accept(command(begin, stamped), begin + 1e-9 if stamped else 0.0, now)
        wish = controller.update(now, servo.q, servo.qd)
        sent = bounded(wish, told, GEN3_LIMITS.velocity) if enforced else wish
        servo.update(sent)
        seen.append([np.abs(sent - told).max() / PERIOD, np.abs(servo.qd).max()])
        lead.append(float(wish[0] - planned(now + PERIOD)[0][0]))
        told = sent
    fastest, moved = (np.array(seen) / GEN3_LIMITS.velocity[0]).max(axis=0).tolist()
    return fastest, moved, max(lead)


@pytest.mark.parametrize("latest", [0.0, 0.004, 0.008])
def test_in_time_for_its_period_a_stamped_command_is_the_plan(latest: float) -> None:
    """Each is followed from where the one before has led by then; neither command nor servo is too fast."""
    fastest, moved, lead = pushed(latest, stamped=True)
    assert fastest <= 0.95  # 0.928: steps from the coast of the path before to the ramp of the new one
    assert moved <= 0.9 + 1e-6
    assert lead <= 1e-6


@pytest.mark.parametrize("latest", [0.004, 0.02, COAST])
def test_joined_on_arrival_the_same_commands_drive_the_servos_harder(latest: float) -> None:
    """What stamps are for. A late message that is joined is made up for by more than was asked."""
    stamped, joined = pushed(latest, stamped=True), pushed(latest, stamped=False)
    assert stamped[1] < joined[1]
    if latest >= 0.02:
        assert joined[1] > 1.0


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("latest", [0.02, COAST])
def test_with_enforced_limits_no_servo_is_told_to_exceed_its_speed(latest: float, stamped: bool) -> None:
    fastest, moved, _ = pushed(latest, stamped, enforced=True)
    assert fastest <= 1.0 + 1e-9 and moved <= 1.0 + 1e-9
