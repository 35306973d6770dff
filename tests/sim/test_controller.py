"""The simulated controller commands what the real one was recorded to command, in all three forms.

Recorded from the C++ joint_trajectory_controller (5.17, Kilted) at 1 kHz, with the first second of a pour's
messages and a position servo with a lag of 20 ms, stepped as here; the sampling of that class.
"""

from pathlib import Path

import numpy as np
import pytest

from sim.pouring.controller import (
    PERIOD,
    ForwardController,
    JointTrajectoryController,
    PositionServo,
    bounded,
)
from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.gate.trajectory import Trajectory

RECORDED = Path(__file__).parents[1] / "data/jtc_reference.npz"
CONTINUOUS = ~np.isfinite(GEN3_LIMITS.position_max)
LAG = 0.02  # [s] of the recording's servo
FORMS = {"measured": False, "desired": True, "stamped": False}
"""Form of the messages and interpolate_from_desired_state: joined to the measured state, as ros2_kortex ships
it; to the last command; and with a first point at time 0 and a stamp, which needs no joining."""


def replayed(form: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Command and arm (T, 7) [rad] at every millisecond, and the recording."""
    with np.load(RECORDED) as file:
        data = {name.removeprefix(f"{form}_"): file[name] for name in file if name.startswith(form)}
    controller = JointTrajectoryController(data["start"], CONTINUOUS, from_desired=FORMS[form])
    servo, waiting, commands, arm = PositionServo(data["start"], LAG), 0, [], []
    for millisecond in range(len(data["command"])):
        now = millisecond * PERIOD
        while waiting < len(data["stamp"]) and data["arrival_ms"][waiting] <= millisecond:
            given = ~np.isnan(data["time_from_start"][waiting])
            trajectory = Trajectory(
                *(data[name][waiting][given] for name in ("time_from_start", "positions", "velocities"))
            )
            controller.accept(trajectory, float(data["stamp"][waiting]), now)
            waiting += 1
        commands.append(controller.update(now, servo.q, servo.qd))
        servo.update(commands[-1])
        arm.append(servo.q)
    return np.array(commands), np.array(arm), data


@pytest.mark.parametrize("form", FORMS)
def test_it_commands_what_the_real_controller_commanded(form: str) -> None:
    commands, arm, data = replayed(form)
    np.testing.assert_allclose(commands, data["command"], atol=1e-9, rtol=0.0)
    np.testing.assert_allclose(arm, data["arm"], atol=1e-9, rtol=0.0)


def reversals(commands: np.ndarray) -> int:
    """Changes of direction of the fastest joint."""
    steps = np.diff(commands[:, np.abs(np.diff(commands, axis=0)).sum(axis=0).argmax()])
    return int((np.diff(np.sign(steps[np.abs(steps) > 1e-6])) != 0).sum())


def test_joined_to_the_measured_state_it_shakes_and_in_the_other_forms_not() -> None:
    """Why messages are stamped and begin where the period begins."""
    counted = {form: reversals(replayed(form)[0]) for form in FORMS}
    assert counted["measured"] > 100
    assert counted["desired"] == counted["stamped"] == 0


def line(start: float, end: float, seconds: float) -> Trajectory:
    """One joint, from rest to rest."""
    return Trajectory(np.array([0.0, seconds]), np.array([[start], [end]]), np.zeros((2, 1)))


def test_a_stamped_message_is_on_its_path_however_late_it_arrives() -> None:
    early, late = (JointTrajectoryController(np.zeros(1)) for _ in range(2))
    early.accept(line(0.0, 1.0, 1.0), 10.0, 10.0)
    for millisecond in range(300):
        now = 10.0 + millisecond * PERIOD
        if millisecond == 200:
            late.accept(line(0.0, 1.0, 1.0), 10.0, now)
        on_time, delayed = (each.update(now, np.zeros(1), np.zeros(1)) for each in (early, late))
    assert on_time == pytest.approx(3 * 0.3**2 - 2 * 0.3**3)
    assert delayed == pytest.approx(on_time)


def test_a_trajectory_that_is_over_is_refused_and_the_old_one_kept() -> None:
    controller = JointTrajectoryController(np.zeros(1))
    controller.accept(line(0.0, 1.0, 1.0), 10.0, 10.0)
    with pytest.raises(ValueError, match=r"ended 0\.500 s ago: is there one clock"):
        controller.accept(line(5.0, 6.0, 0.1), 9.4, 10.0)
    assert controller.update(10.999, np.zeros(1), np.zeros(1)) == pytest.approx(1.0)


def test_without_a_stamp_it_begins_with_the_update_that_sees_it() -> None:
    controller = JointTrajectoryController(np.zeros(1))
    controller.accept(line(0.0, 1.0, 1.0), 0.0, 3.0)
    assert controller.update(5.0 - PERIOD, np.zeros(1), np.zeros(1)) == pytest.approx(3 * PERIOD**2, rel=1e-2)
    assert controller.update(5.5 - 2 * PERIOD, np.zeros(1), np.zeros(1)) == pytest.approx(0.5)


def test_a_clock_that_is_set_back_makes_no_command_jump() -> None:
    controller, still = JointTrajectoryController(np.zeros(1)), np.zeros(1)
    controller.accept(line(0.0, 1.0, 1.0), 10.0, 10.0)
    before = [controller.update(10.0 + i * PERIOD, still, still) for i in range(60)][-1]
    controller.accept(line(1.0, 1.0, 1.0), 5.05, 5.0)  # begins 50 ms ahead of a clock that was set back
    after = [controller.update(5.0 + i * PERIOD, still, still).item() for i in range(60)]
    assert abs(after[0] - before.item()) < 0.02
    assert after[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("continuous", [False, True])
def test_a_continuous_joint_joins_the_short_way_round(continuous: bool) -> None:
    controller = JointTrajectoryController(np.array([-3.1]), np.array([continuous]), from_desired=False)
    controller.accept(Trajectory(np.array([0.1]), np.array([[3.1]]), np.zeros((1, 1))), 0.0, 0.0)
    commands = [controller.update(i * PERIOD, np.array([-3.1]), np.zeros(1)).item() for i in range(100)]
    way = max(commands) - min(commands)
    assert way == pytest.approx(2 * np.pi - 6.2 if continuous else 6.2, abs=0.01)


def test_the_servo_trails_a_ramp_by_its_lag_and_none_follows_at_once() -> None:
    servo, rigid, speed = PositionServo(np.zeros(1), LAG), PositionServo(np.zeros(1), 0.0), 0.5
    for i in range(1, 501):
        command = np.array([speed * i * PERIOD])
        servo.update(command)
        rigid.update(command)
    assert (command - servo.q).item() == pytest.approx(speed * LAG, rel=0.05)
    assert servo.qd.item() == pytest.approx(speed, rel=1e-6)
    assert rigid.q == command


def test_enforced_limits_let_what_is_within_pass_bit_for_bit_and_make_a_leap_at_full_speed() -> None:
    rng, velocity = np.random.default_rng(1), GEN3_LIMITS.velocity
    for _ in range(100):
        before = rng.uniform(-1.0, 1.0, 7)
        command = before + 0.99 * PERIOD * rng.uniform(-1.0, 1.0, 7) * velocity
        np.testing.assert_array_equal(bounded(command, before, velocity), command)
    np.testing.assert_allclose(bounded(np.ones(7), np.zeros(7), velocity), PERIOD * velocity)


def test_a_forward_controller_holds_the_last_positions_that_came() -> None:
    """Each update takes the newest; a stream that stops leaves the last one for ever."""
    controller, still = ForwardController(np.array([0.1])), np.zeros(1)
    assert controller.update(0.0, still, still) == pytest.approx(0.1)
    for number in range(4):
        controller.accept(np.array([0.2 + 0.01 * number]), 1.0 + 0.0005 * number)
    assert controller.update(0.999, still, still) == pytest.approx(0.1)
    assert controller.update(1.001, still, still) == pytest.approx(0.22)
    assert controller.velocity == pytest.approx(0.12 / PERIOD)
    for number in range(100):
        command = controller.update(1.002 + number * PERIOD, still, still)
        assert command == pytest.approx(0.23)
    assert controller.velocity == pytest.approx(0.0)


@pytest.mark.parametrize("positions", [np.zeros(2), np.zeros(0), np.full(1, np.nan), np.full(1, np.inf)])
def test_a_forward_controller_keeps_what_it_has_for_what_is_no_position(positions: np.ndarray) -> None:
    controller, still = ForwardController(np.array([0.1])), np.zeros(1)
    with pytest.raises(ValueError, match="1 finite positions are needed"):
        controller.accept(positions, 0.0)
    assert controller.update(1.0, still, still) == pytest.approx(0.1)
