"""The checks of the fault tests detect what they should: no process needed."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults import late
from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.robot.arm import MONITOR_PERIOD, Vec
from tests.faults import arms
from tests.faults.arms import ARMS, FEW, POURING, ROOT, FaultArm, reason_left_out
from tests.faults.commands import Command, Notes, State, all_unsafe, clocks, unsafe, unsafe_step

COAST = clocks()["coast_time"]
SPEED = np.full(7, 0.4)  # [rad/s]


def going_on(time: float, q: Vec, qd: Vec) -> Command:
    """A command that goes on from there, in the monitor's form."""
    brake = float(np.max(np.abs(qd) / GEN3_LIMITS.acceleration))
    times = np.array([0.0, MONITOR_PERIOD, MONITOR_PERIOD + COAST, MONITOR_PERIOD + COAST + brake])
    way = np.array([0.0, MONITOR_PERIOD, MONITOR_PERIOD + COAST, MONITOR_PERIOD + COAST + 0.5 * brake])
    return Command(time, times, q + np.outer(way, qd), np.stack([qd, qd, qd, 0.0 * qd]))


def braking(time: float, q: Vec, qd: Vec) -> Command:
    """A command that brakes at once."""
    brake, still = float(np.max(np.abs(qd) / GEN3_LIMITS.acceleration)), 0.0 * qd
    rest = q + 0.5 * brake * qd
    if brake == 0.0:
        return Command(time, np.array([0.0, COAST]), np.stack([q, q]), np.stack([still, still]))
    return Command(
        time, np.array([0.0, brake, brake + COAST]), np.stack([q, rest, rest]), np.stack([qd, still, still])
    )


def stream() -> list[Command]:
    """Steady motion, then a hold: no fault."""
    commands = [going_on(MONITOR_PERIOD * k, MONITOR_PERIOD * k * SPEED, SPEED) for k in range(10)]
    for k in range(10, 20):
        commands.append(braking(MONITOR_PERIOD * k, *commands[-1].at(MONITOR_PERIOD)))
    return commands


def found(commands: list[Command]) -> list[str]:
    """Everything that is unsafe."""
    every = [unsafe(command) for command in commands]
    return [text for text in every + [unsafe_step(*pair) for pair in pairwise(commands)] if text]


def test_nothing_is_wrong_with_good_commands() -> None:
    assert found(stream()) == []
    assert found(stream()[::2]) == []  # every other decision late by a period
    soon = 4 * MONITOR_PERIOD + 0.002
    assert found([*stream()[:5], going_on(soon, soon * SPEED, SPEED), *stream()[5:]]) == []


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
    speeds[:3] = 1.5
    return replace(command, velocities=speeds)


def brakes_too_hard(command: Command) -> Command:
    return replace(command, times=np.array([*command.times[:3], command.times[2] + 0.05]))


def begins_later(command: Command) -> Command:
    return replace(command, times=command.times + MONITOR_PERIOD)


@pytest.mark.parametrize(
    "damage",
    [not_finite, outside, never_at_rest, too_fast, brakes_too_hard, begins_later],
    ids=lambda damage: damage.__name__,
)
def test_an_unsafe_command_is_found(damage: Callable[[Command], Command]) -> None:
    assert unsafe(damage(stream()[0]))


@pytest.mark.parametrize("place", [5, 10, 12])
@pytest.mark.parametrize("by", [0.05, -1e-5])
def test_a_leap_from_one_command_to_the_next_is_found(place: int, by: float) -> None:
    commands = stream()
    commands[place] = moved(commands[place], by)
    assert any("leaps" in text for text in found(commands))


def test_only_a_command_that_brakes_at_once_counts_as_a_hold() -> None:
    assert [command.holds for command in stream()] == [False] * 10 + [True] * 10
    assert stream()[-1].velocities[0].any() is np.False_


def test_a_jump_of_the_speed_is_found() -> None:
    commands = stream()
    commands[5] = going_on(commands[5].time, 5 * MONITOR_PERIOD * SPEED, -SPEED)
    assert any("changes speed" in text for text in found(commands))


@pytest.mark.parametrize(
    ("answer", "figures", "too_late"),
    [
        ("holds", {"to_hold": [130.0, 229.9], "bound": [130.0, 130.0]}, False),
        ("holds", {"to_hold": [130.0, 230.1], "bound": [130.0, 130.0]}, True),
        ("holds", {"to_hold": [None], "bound": [130.0]}, True),
        ("comes to rest by itself", {"to_rest": [600.0], "bound": [450.0]}, True),
        ("goes on", {"followed": [100.0, 90.0]}, False),
        ("goes on", {"followed": [100.0, 89.9]}, True),
    ],
)
def test_the_benchmark_holds_to_its_bounds(
    answer: str, figures: dict[str, list[float | None]], too_late: bool
) -> None:
    assert late({"answer": answer, **figures}) is too_late


@pytest.mark.parametrize("one_of", ARMS.values(), ids=ARMS)
def test_every_arm_is_judged_by_its_own_limits(one_of: FaultArm) -> None:
    limits, q = one_of.robot.limits, one_of.robot.rest
    for joint in range(one_of.joints):
        one = np.eye(one_of.joints)[joint]
        for share, wrong in ((0.99, False), (1.01, True)):
            told = share * limits.velocity[joint] * one
            state = State(0.0, q, 0.0 * q, q, 0.0 * q, told, inside=True)
            assert bool(all_unsafe(Notes(Path("none"), limits, states=[state]))) is wrong
            still = np.stack([0.0 * q, 0.0 * q])
            fast = Command(0.0, np.array([0.0, 0.1, 0.2]), np.stack([q] * 3), np.stack([told, told, 0.0 * q]))
            assert ("velocity limit" in unsafe(fast, limits)) is wrong
            if not one_of.turns(joint):
                beyond = limits.position_max[joint] - q[joint] + (0.01 if wrong else -0.01)
                nowhere = np.stack([q + beyond * one] * 2)
                assert (
                    "position limit" in unsafe(Command(0.0, np.array([0.0, 1.0]), nowhere, still), limits)
                ) is wrong


def collected() -> list[str]:
    """Tests that would run on a graph if no arm is chosen, without their files' folder."""
    command = [sys.executable, "-m", "pytest", "tests/faults", "--collect-only", "-q"]
    environment = {**os.environ, "SPILLGUARD_FAULT_ARM": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    lines = [line.removeprefix("tests/faults/") for line in done.stdout.splitlines() if "::" in line]
    return [line for line in lines if not line.startswith(Path(__file__).name)]


def test_the_arms_run_what_is_listed_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in a list that no test has would run nothing, and nobody would know."""
    together, others = collected(), [name for name in ARMS if name != POURING.name]
    gen3 = [test for test in together if "[gen3" in test]
    assert len(together) == len(gen3) + len(others) * len(FEW)
    left_out = [test for test in gen3 if reason_left_out(test, "ur5e")]
    assert 0 < len(left_out) < len(gen3) - len(FEW)
    assert not any(reason_left_out(test, POURING.name) for test in gen3)
    monkeypatch.setattr(arms, "CHOSEN", "ur5e")
    assert arms.chosen() == ["ur5e"] and all(arms.wanted(test, "ur5e") for test in gen3)
    monkeypatch.setattr(arms, "CHOSEN", "kr5")
    with pytest.raises(ValueError, match="known are gen3, ur5e, fr3"):
        arms.chosen()
