"""A policy that cannot succeed gives up, and the cup ends upright."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillguard_core.gate.patience import QUIET, Patience, watched
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.action import ACTION_SCALE, UPRIGHT, ending
from tests.core.conftest import KINEMATICS

TICK = 0.05
FOURTH = np.eye(7)[3]  # the joint that turns


def run(*parts: tuple[float, float, bool], longest: float = 5.0) -> list[bool]:
    """Parts are (duration [s], speed, ended); whether it has given up, tick by tick."""
    patience, now, said = Patience(), 100.0, []
    for duration, speed, ended in parts:
        for _ in range(round(duration / TICK)):
            now += TICK
            patience = watched(patience, now, speed * FOURTH, ended, longest)
            said.append(patience.gave_up)
    return said


def test_time_counts_from_the_first_motion() -> None:
    said = run((60.0, 0.0, True), (4.9, 0.3, False))
    assert not any(said)
    said = run((60.0, 0.0, True), (5.2, 0.3, False))
    assert said[-1] and not said[-5]


def test_an_arm_that_stands_with_a_tilted_cup_is_still_at_it() -> None:
    """The kind of failure that was most frequent: everything poured, and never upright again."""
    assert run((1.0, 0.3, False), (4.5, 0.0, False))[-1]


def test_it_goes_on_until_the_work_has_ended_and_the_arm_has_paused() -> None:
    said = run((8.0, 0.3, False), (0.9 * QUIET, 0.0, True))
    assert said[-1] is True
    said = run((8.0, 0.3, False), (1.1 * QUIET, 0.0, True))
    assert said[-1] is False


def test_after_a_pause_the_next_work_has_its_whole_time() -> None:
    said = run((4.0, 0.3, False), (0.35, 0.0, True), (4.0, 0.3, False))
    assert not any(said)


def test_a_joint_that_turns_either_way_is_at_it() -> None:
    assert run((5.2, -0.3, False))[-1]


def test_one_that_never_gives_up() -> None:
    assert not any(run((500.0, 0.3, False), longest=0.0))


@given(st.floats(-3.0, 3.0))
def test_the_ending_turns_the_cup_upright_within_the_scale(tilt: float) -> None:
    lip = KINEMATICS.state(np.zeros(7), np.zeros(7))._replace(tilt=tilt)
    twist = ending(lip)
    if abs(tilt) < UPRIGHT:
        assert twist is None
    else:
        assert twist is not None and twist[3] * tilt < 0.0 and (np.abs(twist) <= ACTION_SCALE).all()


def test_the_task_has_it() -> None:
    assert POURING.ending is ending


@pytest.mark.parametrize("speed", [math.nan, math.inf])
def test_an_unknown_speed_is_no_rest(speed: float) -> None:
    assert math.isnan(watched(Patience(), 1.0, np.full(7, speed), True, 5.0).still)


def test_motion_begins_at_5_hundredths_of_a_radian_per_second() -> None:
    assert not any(run((20.0, 0.049, False)))
    assert run((6.0, 0.051, False))[-1]
