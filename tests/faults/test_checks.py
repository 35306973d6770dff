"""The checks of the fault tests find what they are there to find: no process needed."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spillguard_core.arm import GEN3_LIMITS, MONITOR_PERIOD, Vec
from tests.faults.commands import Command, clocks, unsafe, unsafe_step

COAST = clocks()["coast_time"]
SPEED = np.full(7, 0.4)  # [rad/s]


def going_on(time: float, q: Vec, qd: Vec) -> Command:
    """A command to go on from there, as the monitor sends it."""
    brake = float(np.max(np.abs(qd) / GEN3_LIMITS.acceleration))
    times = np.array([COAST, COAST + brake]) + MONITOR_PERIOD
    positions = np.stack([q + COAST * qd, q + (COAST + 0.5 * brake) * qd])
    return Command(time, times, positions, np.stack([qd, 0.0 * qd]), q, qd)


def rest(time: float, q: Vec, duration: float = COAST + MONITOR_PERIOD) -> Command:
    """A command to rest."""
    return Command(time, np.array([duration]), q[None], np.zeros((1, 7)), q, 0.0 * q)


def stream() -> list[Command]:
    """Steady motion, then a hold: nothing wrong."""
    steps = [going_on(MONITOR_PERIOD * k, MONITOR_PERIOD * k * SPEED, SPEED) for k in range(10)]
    last, brake = 9 * MONITOR_PERIOD, float(SPEED[0] / GEN3_LIMITS.acceleration[0])
    end = last * SPEED + 0.5 * brake * SPEED
    return [*steps, *(rest(last + MONITOR_PERIOD * k, end, MONITOR_PERIOD + brake) for k in range(1, 4))]


def found(commands: list[Command]) -> list[str]:
    """Everything that is unsafe."""
    every = [unsafe(command) for command in commands]
    return [text for text in every + [unsafe_step(*pair) for pair in pairwise(commands)] if text]


def test_nothing_is_wrong_with_good_commands() -> None:
    assert found(stream()) == []
    assert found(stream()[::2]) == []  # every other one lost
    jitter = [replace(command, time=command.time + 0.008 * (k % 2)) for k, command in enumerate(stream())]
    assert found(jitter) == []


def moved(command: Command, by: float) -> Command:
    return replace(command, positions=command.positions + by * np.eye(7)[1])


def not_finite(command: Command) -> Command:
    return moved(command, np.nan)


def outside(command: Command) -> Command:
    return moved(command, 2.3)


def never_at_rest(command: Command) -> Command:
    return replace(command, velocities=np.ones_like(command.velocities))


def too_fast(command: Command) -> Command:
    speeds = command.velocities.copy()
    speeds[0] = 1.5
    return replace(command, velocities=speeds)


def brakes_too_hard(command: Command) -> Command:
    return replace(command, times=np.array([command.times[0], command.times[0] + 0.05]))


@pytest.mark.parametrize(
    "damage",
    [not_finite, outside, never_at_rest, too_fast, brakes_too_hard],
    ids=lambda damage: damage.__name__,
)
def test_an_unsafe_command_is_found(damage: Callable[[Command], Command]) -> None:
    assert unsafe(damage(stream()[0]))


@pytest.mark.parametrize("place", [5, 10, 12])
@pytest.mark.parametrize("by", [0.05, -0.05])
def test_a_leap_from_one_command_to_the_next_is_found(place: int, by: float) -> None:
    commands = stream()
    commands[place] = moved(commands[place], by)
    assert any("leaps" in text for text in found(commands))


def test_a_jump_of_the_speed_is_found() -> None:
    commands = stream()
    commands[5] = going_on(commands[5].time, 5 * MONITOR_PERIOD * SPEED, -SPEED)
    assert any("changes speed" in text for text in found(commands))
