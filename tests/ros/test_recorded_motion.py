"""Recordings with messages that no monitor and no driver should send: each is lost by itself, and said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap_ros2.writer import Writer

from sim.pouring.gen3 import GEN3, NOMINAL_POSTURE
from spillguard_ros.recording.motion import RecordedMotion, read_motion

COUNT, PERIOD, START = 100, 0.01, 1000.0
BAR = "\n" + "=" * 80 + "\nMSG: "
HEADER = (
    f"{BAR}std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id"
    f"{BAR}builtin_interfaces/Time\nint32 sec\nuint32 nanosec"
)
STATE = (
    f"std_msgs/Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort{HEADER}"
)
COMMAND = (
    "std_msgs/Header header\nstring[] joint_names\ntrajectory_msgs/JointTrajectoryPoint[] points"
    f"{HEADER}{BAR}builtin_interfaces/Duration\nint32 sec\nuint32 nanosec"
    f"{BAR}trajectory_msgs/JointTrajectoryPoint\nfloat64[] positions\nfloat64[] velocities\n"
    "float64[] accelerations\nfloat64[] effort\nbuiltin_interfaces/Duration time_from_start"
)
NAMES = list(GEN3.joint_names)
Change = Callable[[int, dict[str, Any]], Any]


FEW = "1 commands with fewer than two points"
PARTIAL = "1 commands without a position and a velocity of every joint"
HUGE = "1 commands whose positions or velocities are not finite or too large"


def at(seconds: float) -> dict[str, int]:
    return {"sec": int(seconds // 1), "nanosec": round(seconds % 1 * 1e9)}


def stamped(seconds: float) -> dict[str, Any]:
    return {"stamp": at(seconds), "frame_id": ""}


def same(number: int, message: dict[str, Any]) -> dict[str, Any]:
    del number
    return message


def read(path: Path, *, state: Change = same, command: Change = same) -> tuple[RecordedMotion, list[str]]:
    """A recording with these changes of its messages, read: the motion, and why something is lost. A change
    may answer with a text, which is sent in the message's place."""
    with path.open("wb") as file:
        writer = Writer(file)
        kinds = {
            "joint_states": writer.register_msgdef("sensor_msgs/msg/JointState", STATE),
            GEN3.command_topic: writer.register_msgdef("trajectory_msgs/msg/JointTrajectory", COMMAND),
        }
        text = writer.register_msgdef("std_msgs/msg/String", "string data")
        for number in range(COUNT):
            now = START + PERIOD * number
            q = NOMINAL_POSTURE + 0.01 * np.sin(0.1 * number)
            points = [
                {"positions": q.tolist(), "velocities": [0.1] * 7, "time_from_start": at(0.0)},
                {"positions": q.tolist(), "velocities": [0.0] * 7, "time_from_start": at(0.1)},
            ]
            points = [point | {"accelerations": [], "effort": []} for point in points]
            sent = {
                "joint_states": state(number, {
                    "header": stamped(now), "name": NAMES, "position": q.tolist(), "velocity": [0.1] * 7,
                    "effort": [1.0] * 7,
                }),
                GEN3.command_topic: command(
                    number, {"header": stamped(now), "joint_names": NAMES, "points": points}
                ),
            }  # fmt: skip
            for topic, message in sent.items():
                told = {"data": message} if isinstance(message, str) else message
                kind = text if isinstance(message, str) else kinds[topic]
                writer.write_message(topic, kind, told, round(now * 1e9), round(now * 1e9))
        writer.finish()
    motion, losses = read_motion([path], GEN3)
    return motion, [loss.why for loss in losses]


def point(**other: Any) -> Change:
    """The first point of the seventh command has these values."""

    def change(number: int, message: dict[str, Any]) -> dict[str, Any]:
        if number == 7:
            message["points"][0] |= other
        return message

    return change


def seventh(**other: Any) -> Change:
    return lambda number, message: message | other if number == 7 else message


def test_a_good_recording_loses_nothing(tmp_path: Path) -> None:
    motion, lost = read(tmp_path / "log.mcap")
    assert (len(motion.paths), len(motion.times), lost) == (COUNT, COUNT, [])
    assert motion.effort is not None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (seventh(points=[]), FEW),
        (lambda n, m: m | {"points": m["points"][:1]} if n == 7 else m, FEW),
        (point(velocities=[]), PARTIAL),
        (point(positions=[0.0] * 6), PARTIAL),
        (point(positions=[np.nan] * 7), HUGE),
        (point(positions=[1e308] * 7), HUGE),
        (
            lambda n, m: m | {"points": m["points"][:1] * 2} if n == 7 else m,
            "1 commands whose times do not increase",
        ),
        (
            seventh(header=stamped(START - 500.0)),
            "1 commands whose stamp is more than 1 s from their arrival",
        ),
        (seventh(header=stamped(0.0)), "1 commands without a stamp, or that do not begin at it"),
        (
            lambda n, m: "x" if n == 7 else m,
            f"a message on {GEN3.command_topic} does not fit its definition (error)",
        ),
    ],
)
def test_one_bad_command_is_lost_alone(tmp_path: Path, change: Change, why: str) -> None:
    motion, lost = read(tmp_path / "log.mcap", command=change)
    assert lost == [why]
    assert (len(motion.paths), len(motion.times)) == (COUNT - 1, COUNT)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (seventh(position=[np.nan] * 7), "1 joint states without usable positions and velocities"),
        (seventh(position=[1e308] * 7), "1 joint states without usable positions and velocities"),
        (seventh(velocity=[]), "1 joint states without usable positions and velocities"),
        (seventh(effort=[]), "1 joint states without the torques that the others have"),
        (seventh(header=stamped(START + 900.0)), "1 joint states out of order"),
        (seventh(header=stamped(START - 900.0)), "1 joint states out of order"),
        (lambda n, m: "x" if n == 7 else m, "a message on joint_states does not fit its definition (error)"),
    ],
)
def test_one_bad_state_is_lost_alone(tmp_path: Path, change: Change, why: str) -> None:
    motion, lost = read(tmp_path / "log.mcap", state=change)
    assert lost == [why]
    assert (len(motion.paths), len(motion.times)) == (COUNT, COUNT - 1)
    assert motion.effort is not None and (np.diff(motion.times) > 0.0).all()


def test_a_topic_of_another_type_holds_no_states(tmp_path: Path) -> None:
    motion, lost = read(tmp_path / "log.mcap", state=lambda number, message: "x")
    assert len(motion.times) == 0 and lost == [f"{COUNT} messages on joint_states that are of another type"]


def test_a_recording_is_cut_where_the_clock_of_the_states_was_set_back(tmp_path: Path) -> None:
    def change(number: int, message: dict[str, Any]) -> dict[str, Any]:
        early = 0.5 if number >= 60 else 0.0
        return message | {"header": stamped(START + PERIOD * number - early)}

    motion, lost = read(tmp_path / "log.mcap", state=change)
    assert lost == ["1 cut where stamps of joint states go back by 0.49 s; the longest part is used"]
    assert (len(motion.times), len(motion.paths)) == (60, 60)
    assert motion.times[-1] == pytest.approx(START + 0.59)


def test_a_recording_of_commands_without_stamps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="have no stamp"):
        read(
            tmp_path / "log.mcap",
            command=lambda n, m: m | {"header": stamped(0.0), "points": m["points"][1:]},
        )
