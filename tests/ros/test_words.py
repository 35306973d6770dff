"""Invalid messages: which are ignored, and what an operator is told. No processes needed."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from sim.pouring.gen3 import GEN3, JOINT_NAMES
from spillguard_core.gate import reasons
from spillguard_core.robot.arm import GRAVITY
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.monitor.status import ABOUT, About, in_words, refusal_in_words
from spillguard_ros.node import convert
from spillguard_ros.node.actions import ActionMessages
from spillguard_ros.node.intake import LARGEST, reader
from spillguard_ros.node.sensors import Frame, Sensors
from tests.ros.private_graph import private_ros

FRAMES = {"load_cell": Frame("load_cell", (0.0, 0.0, 1.0)), "wrist": Frame("wrist", (0.0, -1.0, 0.0))}
MESSAGES = ActionMessages(POURING, GEN3)
NEEDED = "needed is each of joint_1, joint_2, joint_3, joint_4, joint_5, joint_6, joint_7 once"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with private_ros():
        node = Node("listener")
        yield node
        node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def sensors(node: Node) -> Iterator[Sensors]:
    sensors = Sensors(node, GEN3, POURING, FRAMES)
    yield sensors
    for subscription in sensors.subscriptions:
        node.destroy_subscription(subscription)


def hear(sensors: Sensors, topic: str, msg: Any) -> None:
    """Deliver a message on that topic, through the whole receive path."""
    (subscription,) = (s for s in sensors.subscriptions if s.topic_name.endswith(topic))
    subscription.callback(serialize_message(msg))


def joints(names: list[str] | None = None, at: float = 1.0) -> JointState:
    names = list(JOINT_NAMES) if names is None else names
    values = [0.1] * len(names)
    msg = JointState(name=names, position=values, velocity=values)
    msg.header.stamp = convert.stamp_of(at)
    return msg


def test_a_grippers_own_joint_state_is_passed_over(sensors: Sensors) -> None:
    hear(sensors, "joint_states", joints())
    received, stamp = sensors.state_received, sensors.state_stamp
    hear(sensors, "joint_states", joints(["finger"], at=2.0))
    assert (sensors.state_received, sensors.state_stamp) == (received, stamp)
    seen = sensors.measurement()
    assert seen is not None
    np.testing.assert_array_equal(seen.joint_position, np.full(7, 0.1))


def test_a_gripper_alone_is_no_state_and_the_words_say_whose_names_came(sensors: Sensors) -> None:
    hear(sensors, "joint_states", joints([f"gen3_{name}" for name in JOINT_NAMES]))
    assert sensors.measurement() is None
    assert sensors.state_words.startswith("joint_states: got the names gen3_joint_1, gen3_joint_2")
    assert sensors.state_words.endswith(NEEDED)


def test_parts_of_the_arm_are_never_put_together(sensors: Sensors) -> None:
    """The first four joints of one moment and the last three of another do not form a posture."""
    hear(sensors, "joint_states", joints(list(JOINT_NAMES[:4]), at=1.0))
    hear(sensors, "joint_states", joints(list(JOINT_NAMES[4:]), at=2.0))
    seen = sensors.measurement()
    assert seen is not None
    assert np.isnan(seen.joint_position).all()
    assert sensors.state_words == f"joint_states: got the names joint_5, joint_6, joint_7; {NEEDED}"


def without_velocities(msg: JointState) -> None:
    msg.velocity = []


def short(msg: JointState) -> None:
    msg.position = msg.position[:6]


def not_a_number(msg: JointState) -> None:
    msg.velocity[3] = math.nan


def twice(msg: JointState) -> None:
    msg.name = ["joint_2", *JOINT_NAMES[1:]]


def no_stamp(msg: JointState) -> None:
    msg.header.stamp = Time()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_velocities, "got 7 names, 7 positions, 0 velocities; needed are a position and a velocity"),
        (short, "got 7 names, 6 positions, 7 velocities; needed are a position and a velocity"),
        (not_a_number, "got velocity nan of joint_4; needed is a finite number"),
        (twice, "got joint_2 more than once in joint_2, joint_2, joint_3"),
        (no_stamp, "got header.stamp 0; needed is the time of the measurement, which has to advance"),
    ],
)
def test_words_about_a_joint_state(
    sensors: Sensors, damage: Callable[[JointState], None], words: str
) -> None:
    msg = joints()
    damage(msg)
    hear(sensors, "joint_states", msg)
    assert words in sensors.state_words


def wrench(frame: str, force: tuple[float, float, float], at: float = 1.0) -> WrenchStamped:
    msg = convert.to_wrench(0.0, frame, convert.stamp_of(at))
    msg.wrench.force.x, msg.wrench.force.y, msg.wrench.force.z = force
    return msg


def test_a_wrench_is_weighed_along_what_is_up_in_its_frame(sensors: Sensors) -> None:
    hear(sensors, "joint_states", joints())
    hear(sensors, "load_cell/wrench", wrench("load_cell", (3.0, 4.0, 0.2 * GRAVITY)))
    hear(sensors, "wrist/wrench", wrench("wrist", (3.0, -0.1 * GRAVITY, 4.0)))
    seen = sensors.measurement()
    assert seen is not None
    masses = seen.sensed["poured_mass"].item(), seen.sensed["remaining_mass"].item()
    assert masses == (pytest.approx(0.2), pytest.approx(0.1))
    assert sensors.sensor_words == "target_pose: got nothing yet"


@pytest.mark.parametrize("topic", ["load_cell/wrench", "wrist/wrench"])
@pytest.mark.parametrize("frame", ["tool0", "", "load_cell "])
def test_a_wrench_in_an_unknown_frame_is_no_number(sensors: Sensors, topic: str, frame: str) -> None:
    hear(sensors, "joint_states", joints())
    hear(sensors, topic, wrench(frame, (0.0, 0.0, 1.0)))
    seen, own = sensors.measurement(), topic.partition("/")[0]
    assert seen is not None
    assert math.isnan(seen.sensed["poured_mass" if own == "load_cell" else "remaining_mass"].item())
    wanted = f"{topic}: got header.frame_id '{frame}'; needed is '{own}'"
    assert wanted in sensors.sensor_words


@pytest.mark.parametrize("up", [(0.0, 0.0, 0.0), (0.0, 0.0, 2.0), (0.0, 1.0), (math.nan, 0.0, 1.0)])
def test_what_is_no_direction_is_refused(up: Any) -> None:
    with pytest.raises(ValueError, match=r"wrist_up is .* it has to be three numbers of length 1"):
        Frame.of("wrist", "wrist", up)


def test_words_about_the_other_sensors(sensors: Sensors) -> None:
    for at in (1.0, 1.0):
        hear(sensors, "load_cell/wrench", wrench("load_cell", (0.0, 0.0, 1.0), at))
    hear(sensors, "wrist/wrench", wrench("wrist", (math.nan, 0.0, 1.0)))
    hear(sensors, "target_pose", PoseStamped())
    assert sensors.sensor_words == (
        "load_cell/wrench: got the same header.stamp again; needed is the time of each measurement, which "
        "has to advance; wrist/wrench: got force.x nan; needed is a finite number; "
        "target_pose: got header.frame_id ''; needed is 'base_link'"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda msg: setattr(msg.header, "frame_id", "tool"),
            "got header.frame_id 'tool'; needed is 'base_link'",
        ),
        (lambda msg: setattr(msg.twist.linear, "z", math.nan), "got linear.z nan; needed is a finite number"),
        (
            lambda msg: setattr(msg.twist.angular, "z", 0.1),
            "got angular.z 0.1; needed is 0",
        ),
    ],
)
def test_words_about_a_twist(change: Callable[[TwistStamped], None], words: str) -> None:
    msg = MESSAGES.message(np.zeros(4), convert.stamp_of(1.0))
    assert MESSAGES.fault(msg) == ""
    change(msg)
    assert words in MESSAGES.fault(msg)
    assert np.isnan(MESSAGES.action(msg)).any()


def test_a_huge_joint_state_is_not_unpacked_and_leaves_the_last_one(sensors: Sensors) -> None:
    hear(sensors, "joint_states", joints())
    received = sensors.state_received
    hear(sensors, "joint_states", joints([f"joint_{number}" for number in range(1, 1000)], at=2.0))
    assert sensors.state_received == received
    assert f"at most {LARGEST} are read" in sensors.state_words


def test_what_is_passed_over_refused_or_no_message_is_not_taken() -> None:
    taken: list[JointState] = []
    refused: list[str] = []
    read = reader(JointState, taken.append, refused.append, mark="joint_7")
    read(serialize_message(joints(["finger"])))
    assert (taken, refused) == ([], [])
    read(serialize_message(joints())[:150] + b"joint_7")
    assert "are no JointState" in refused.pop()
    read(serialize_message(joints(["joint_7" * LARGEST])))
    assert f"at most {LARGEST} are read" in refused.pop()
    read(serialize_message(joints()))
    assert [msg.name for msg in taken] == [list(JOINT_NAMES)]


def heard(about: About) -> str:
    return f"said of {about.value}"


def test_a_refusal_tells_the_message_in_place_of_its_nan() -> None:
    told = refusal_in_words(f"{reasons.STATE_INVALID.value}: positions [nan nan], velocities [nan]", heard)
    assert told == f"{reasons.STATE_INVALID.value}: said of joint state"


def test_a_refusal_keeps_figures_that_are_some() -> None:
    told = refusal_in_words(f"{reasons.STATE_STALE.value}: received 0.5 s ago, allowed 0.1 s", heard)
    assert told == f"{reasons.STATE_STALE.value}: received 0.5 s ago, allowed 0.1 s; said of joint state"
    assert refusal_in_words(reasons.STATE_MISSING.value, heard).endswith(": said of joint state")


@pytest.mark.parametrize("text", ["", "the arm still moves at 0.100 rad/s", reasons.TRACKING_ERROR.value])
def test_other_refusals_stay_as_they_are(text: str) -> None:
    assert refusal_in_words(text, heard) == text


def test_a_decision_says_which_message_it_is_about() -> None:
    for reason, about in ABOUT.items():
        assert heard(about) in in_words(reason, "figures", heard)
        assert in_words(reason, "figures", lambda about: "") == "figures"
    assert in_words(reasons.COLLISION, "figures", heard) == "figures"


@pytest.mark.parametrize("force", [1.7e308, -1.7e308, 1001.0])
def test_force_that_no_scale_can_feel_is_refused_in_words(force: float) -> None:
    said = convert.wrench_fault(wrench("load_cell", (0.0, force, 0.0)), "load_cell")
    assert said == f"got force.y {force:.4g}; needed are at most 1000 N"
