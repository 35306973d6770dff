"""The self-description of a recording, read with the public libraries."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from spillguard_core.gate.decision import MARGINS, Inputs, Mode, Proposal, Request
from spillguard_core.gate.gate import initial_decision
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.observation import measured
from spillguard_ros.recording import flight
from spillguard_ros.recording.definitions import definition
from spillguard_ros.recording.recorder import FlightRecorder
from tests.ros.harness import PATIENCE

UNITS = {"clearance": "m", **MARGINS}
SENSORS = [sensor.name for sensor in POURING.sensors]
NAMES = {"config": "{}", "margins": json.dumps(UNITS), "sensors": json.dumps(SENSORS)}
SCALARS = {"number": float, "integer": int, "string": str, "boolean": bool}


def some_cycle(number: int) -> flight.CycleRecord:
    """Every field filled, non-finite numbers included."""
    measurement = measured(np.arange(7.0), np.full(7, math.nan), 0.1, -math.inf, np.ones(3))
    twist = np.array([0.1, -0.2, math.nan, 1e-300])
    inputs = Inputs(
        now=1.0 / 3.0,
        measurement=measurement,
        state_received=0.3,
        state_stamp=0.2,
        sensors_received=-math.inf,
        proposal=Proposal(twist, 0.25, 0.2),
        requests=(Request.RESET,),
    )
    margins = dict.fromkeys(UNITS, math.nan)
    return flight.CycleRecord(
        inputs, replace(initial_decision(7, 4), cycle=number, margins=margins), 1e-3, math.nan
    )


def test_definition_names_every_nested_message_once() -> None:
    text = definition(DiagnosticArray)
    for name in ("std_msgs/Header", "builtin_interfaces/Time", "diagnostic_msgs/KeyValue"):
        assert text.count(f"MSG: {name}\n") == 1
    assert "diagnostic_msgs/DiagnosticStatus[] status" in text
    assert "byte level" in text


def fits(value: object, schema: dict[str, object]) -> bool:
    """What readers rely on: an object lists all its fields, an array its items, everything has one type.

    Null may stand for an object and the strings nan, inf and -inf for a number.
    """
    kind = schema["type"]
    if kind == "object":
        listed = schema["properties"]
        assert isinstance(listed, dict)
        if value is None:
            return True
        assert isinstance(value, dict)
        return set(value) == set(listed) and all(fits(value[name], listed[name]) for name in value)
    if kind == "array":
        items = schema["items"]
        assert isinstance(value, list) and isinstance(items, dict)
        return all(fits(item, items) for item in value)
    assert isinstance(kind, str)
    odd = kind == "number" and value in ("nan", "inf", "-inf")
    named = schema.get("enum", [value])
    assert isinstance(named, list)
    return odd or (type(value) is SCALARS[kind] and value in named)


def test_every_channel_decodes_with_public_readers_by_its_schema(tmp_path: Path) -> None:
    path, point = tmp_path / "f.mcap", JointTrajectoryPoint(positions=[0.1] * 7, velocities=[0.0] * 7)
    wrench, pose, twist = WrenchStamped(), PoseStamped(), TwistStamped()
    wrench.wrench.force.z, pose.pose.position.x, twist.twist.angular.x = 1.5, 0.6, -0.2
    sent = {
        "joint_states": JointState(name=["a", "b"], position=[1.0, math.nan], velocity=[0.5, 0.0]),
        "load_cell/wrench": wrench,
        "target_pose": pose,
        "policy/proposal": twist,
        "command": JointTrajectory(joint_names=["a"], points=[point, point]),
        "q_c": Float64(data=1.0 / 3.0),
        "status": DiagnosticArray(status=[DiagnosticStatus(level=b"\x02", message="grüß")]),
        flight.TOPIC: some_cycle(7),
    }
    recorder = FlightRecorder(path, NAMES)
    for number, (topic, record) in enumerate(sent.items()):
        recorder.add(topic, record, number)
    assert recorder.close(PATIENCE)
    got: dict[str, object] = {}
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for schema, channel, message in reader.iter_messages():
            assert schema is not None and schema.data
            if channel.message_encoding == "json":
                assert fits(json.loads(message.data), json.loads(schema.data))
                assert flight.equal(flight.decode(message.data).decision, sent[flight.TOPIC].decision)  # type: ignore[attr-defined]
        ros = [topic for topic in sent if topic != flight.TOPIC]
        for _, channel, _, decoded in reader.iter_decoded_messages(topics=ros):
            got[channel.topic] = decoded
    assert list(got) == ros
    assert got["joint_states"].position == pytest.approx([1.0, math.nan], nan_ok=True)  # type: ignore[attr-defined]
    assert got["load_cell/wrench"].wrench.force.z == 1.5  # type: ignore[attr-defined]
    assert got["target_pose"].pose.position.x == 0.6  # type: ignore[attr-defined]
    assert got["policy/proposal"].twist.angular.x == -0.2  # type: ignore[attr-defined]
    assert [list(p.positions) for p in got["command"].points] == [[0.1] * 7] * 2  # type: ignore[attr-defined]
    assert got["q_c"].data == 1.0 / 3.0  # type: ignore[attr-defined]
    assert got["status"].status[0].message == "grüß"  # type: ignore[attr-defined]


def test_cycle_schema_tells_units_and_names() -> None:
    decision = json.loads(flight.schema(NAMES))["properties"]["decision"]["properties"]
    assert decision["margins"]["properties"]["clearance"]["description"].startswith("[m]")
    assert decision["qd"]["description"].startswith("(J,) [rad/s]")
    assert decision["verdict"]["enum"] == [verdict.name for verdict in Verdict]
    assert decision["reason"]["enum"] == list(Reason.known)
    assert decision["mode"]["enum"] == [mode.name for mode in Mode]
