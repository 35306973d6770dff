"""The commands that an arm got and the states that it reported, from a flight recording, as arrays."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spillguard_core.gate.trajectory import Trajectory
from spillguard_core.robot.arm import Robot, Vec
from spillguard_ros.recording.mcap_files import LOST, Loss, messages

STATES, PROPOSALS = "joint_states", "policy/proposal"
OFF = 1.0  # [s] from its arrival that the stamp of a command may be
LARGEST = 1e4  # [rad, rad/s, N m] that is believed


class RecordedMotion(NamedTuple):
    """K commands, T states of J joints, P proposals. Times [s] on the one clock of driver and monitor."""

    stamps: Vec  # (K,) when each command's time begins
    paths: tuple[Trajectory, ...]
    times: Vec  # (T,)
    q: Vec  # (T, J) [rad]
    qd: Vec  # (T, J) [rad/s]
    effort: Vec | None  # (T, J) [N m]; None if the driver reports none
    latencies: Vec  # (P,) [s] from a measurement to the arrival of the proposal that answers it


def read_motion(paths: Sequence[Path], robot: Robot) -> tuple[RecordedMotion, list[Loss]]:
    """Commands and states of this arm, and what could not be read or used.

    ValueError if the recording is of another arm, or of commands that are not stamped. OSError.
    """
    commands: dict[float, Trajectory] = {}
    states: dict[float, tuple[Vec, Vec, Vec]] = {}
    latencies: list[float] = []
    losses: list[Loss] = []
    strange: set[str] = set()
    unstamped = 0
    for path in paths:
        reader = _Reader(robot)
        for topic, content in messages(path, {STATES, PROPOSALS, robot.command_topic}):
            if topic == LOST:
                losses.append(content)
            else:
                reader.take(topic, *content)
        states |= dict(reader.in_order())
        begin, end = reader.stretch
        commands |= {stamp: one for place, stamp, one in reader.commands if begin <= place < end}
        latencies += reader.latencies
        strange |= reader.strange
        unstamped += reader.unstamped
        losses += [Loss(path, 0, 0, f"{count} {why}") for why, count in reader.lost.items()]
    if strange and not commands:
        raise ValueError(
            f"the commands are to the joints {strange.pop()}; {robot.name} has "
            f"{', '.join(robot.message_joints)}: name the robot of the recording with --robot, "
            "what stands before the names of its joints with --joint-prefix"
        )
    if unstamped > len(commands):
        raise ValueError(
            "the commands have no stamp, or do not begin at it: they are from a version that left it to the "
            "controller to join them; record anew"
        )
    sent, seen = sorted(commands), sorted(states)
    efforts = [bool(np.isfinite(states[at][2]).all()) for at in seen]
    if 0 < efforts.count(False) < len(seen) / 2:
        why = f"{efforts.count(False)} joint states without the torques that the others have"
        losses.append(Loss(paths[-1], 0, 0, why))
        seen = [at for at, has in zip(seen, efforts, strict=True) if has]
    width = len(robot.message_joints)
    columns = [np.array([states[at][column] for at in seen]).reshape(-1, width) for column in range(3)]
    motion = RecordedMotion(
        np.array(sent), tuple(commands[at] for at in sent), np.array(seen), columns[0], columns[1],
        columns[2] if np.isfinite(columns[2]).all() and columns[2].any() else None, np.array(latencies),
    )  # fmt: skip
    return motion, losses


class _Reader:
    """What one file holds, message by message, each checked on its own: a bad one is lost, not the rest."""

    def __init__(self, robot: Robot) -> None:
        self._robot, self._place = robot, 0
        self.commands: list[tuple[int, float, Trajectory]] = []
        self._states: list[tuple[int, float, tuple[Vec, Vec, Vec]]] = []
        self.latencies: list[float] = []
        self.lost: Counter[str] = Counter()
        self.strange: set[str] = set()
        self.unstamped = 0
        self.stretch = 0.0, np.inf
        """Places of the messages that are used."""

    def take(self, topic: str, logged: int, msg: Any) -> None:
        """One message that arrived at `logged` [ns]."""
        self._place += 1
        try:
            self._take(topic, 1e-9 * logged, msg)
        except (AttributeError, TypeError, LookupError, ArithmeticError):
            self.lost[f"messages on {topic} that are of another type"] += 1
        except ValueError as error:
            self.lost[str(error)] += 1

    def _take(self, topic: str, arrived: float, msg: Any) -> None:
        stamp = _seconds(msg.header.stamp)
        if topic == PROPOSALS:
            self.latencies.append(arrived - stamp)
            return
        of_command = topic == self._robot.command_topic
        names = list(msg.joint_names if of_command else msg.name)
        if not set(self._robot.message_joints) <= set(names):
            if of_command or set(names) & set(self._robot.message_joints):
                self.strange.add(", ".join(names))
            return  # a gripper's own states
        order = [names.index(name) for name in self._robot.message_joints]
        if not of_command:
            self._states.append((self._place, stamp, _state(msg, order)))
            return
        if stamp == 0.0 or any(_seconds(point.time_from_start) > 0.0 for point in msg.points[:1]):
            self.unstamped += 1
            raise ValueError("commands without a stamp, or that do not begin at it")
        path = _path(msg, order)
        if not abs(arrived - stamp) <= OFF:
            raise ValueError(f"commands whose stamp is more than {OFF:g} s from their arrival")
        self.commands.append((self._place, stamp, path))

    def in_order(self) -> list[tuple[float, tuple[Vec, Vec, Vec]]]:
        """States with increasing stamps: without single ones that are out of order, and where the clock was
        set back the longest stretch before, between or after."""
        stretches: list[list[int]] = [[]]
        stamps = [stamp for _, stamp, _ in self._states]
        for number, stamp in enumerate(stamps):
            kept = stretches[-1]
            if not kept or stamp >= stamps[kept[-1]]:
                kept.append(number)
            elif len(kept) < 2 or stamp >= stamps[kept[-2]]:  # the one before is ahead
                kept[-1] = number
                self.lost["joint states out of order"] += 1
            elif number + 1 < len(stamps) and stamps[number + 1] >= stamps[kept[-1]]:
                self.lost["joint states out of order"] += 1
            else:
                stretches.append([number])
        longest = max(range(len(stretches)), key=lambda one: len(stretches[one]))
        for before, after in pairwise(stretches):
            back = f"{stamps[before[-1]] - stamps[after[0]]:.3g} s"
            self.lost[f"cut where stamps of joint states go back by {back}; the longest part is used"] += 1
        begins = [0.0, *(float(self._states[stretch[0]][0]) for stretch in stretches[1:]), np.inf]
        self.stretch = begins[longest], begins[longest + 1]
        return [self._states[number][1:] for number in stretches[longest]]


def _seconds(stamp: Any) -> float:
    return float(stamp.sec + 1e-9 * stamp.nanosec)


def _state(msg: Any, order: list[int]) -> tuple[Vec, Vec, Vec]:
    """Positions, velocities, efforts, each (J,); NaN where the message has no efforts. ValueError."""
    count, absent = len(msg.name), np.full(len(order), np.nan)
    q, qd, effort = (
        np.array(list(values), dtype=float)[order] if len(values) == count else absent
        for values in (msg.position, msg.velocity, msg.effort)
    )
    if not _believed(q) or not _believed(qd):
        raise ValueError("joint states without usable positions and velocities")
    return q, qd, effort if _believed(effort) else absent


def _path(msg: Any, order: list[int]) -> Trajectory:
    """A trajectory that can be followed. ValueError."""
    count, points = len(msg.joint_names), msg.points
    if len(points) < 2:
        raise ValueError("commands with fewer than two points")
    if any(len(point.positions) != count or len(point.velocities) != count for point in points):
        raise ValueError("commands without a position and a velocity of every joint")
    path = Trajectory(
        np.array([_seconds(point.time_from_start) for point in points]),
        np.array([list(point.positions) for point in points], dtype=float)[:, order],
        np.array([list(point.velocities) for point in points], dtype=float)[:, order],
    )
    if not (np.diff(path.times) > 0.0).all():
        raise ValueError("commands whose times do not increase")
    if not _believed(path.positions) or not _believed(path.velocities):
        raise ValueError("commands whose positions or velocities are not finite or too large")
    return path


def _believed(values: Vec) -> bool:
    return bool((np.abs(values) <= LARGEST).all())
