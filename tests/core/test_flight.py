"""A recorded cycle is the cycle, to the last bit, and the gate decides the same when it is asked again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from spillguard_core.decision import Mode, Proposal, Request, SuspensionRequest
from spillguard_ros import flight
from spillguard_ros.recording import Flight, overrides, replay

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
BACKWARD = np.array([-0.1, 0.0, 0.0, 0.2])
NEW_IN_INPUTS, NEW_IN_DECISION = ("teleop", "suspend", "driver_fault"), ("suspension",)
NEW_IN_CONFIG = ("teleop_timeout", "max_suspension", "critic_release")


def flown(rig, script):
    """Cycles of a flight as they come out of a file: `script` says twist, requests and other inputs."""
    data = []
    for twist, requests, other in script:
        spoken = other.pop("says", None)
        if spoken is not None:
            other["teleop"] = Proposal(spoken, rig.now + rig.config.period, float("nan"))
        decision = rig.tick(twist, *requests, **other)
        data.append(flight.encode(flight.Cycle(rig.last_inputs, decision, 0.001, 0.01)))
    return data


def recording(rig, data):
    cycles = tuple(flight.decode(entry) for entry in data)
    return Flight(np.arange(len(cycles)) * 0.01, cycles, {"config": flight.encode_config(rig.config)})


@pytest.fixture
def data(rig):
    """Policy, then a teleoperator who falls silent, then the policy with the critic suspended twice."""
    rig.models = replace(
        rig.models, critic=lambda obs, action: np.where(action[:, 2] > 0.3, 0.9, 0.1).astype(np.float32)
    )
    wish = SuspensionRequest("the cup is empty", 0.1)
    script = [(FORWARD, (Request.RESET, Request.RESUME), {})]
    script += [(FORWARD, (), {}) for _ in range(9)]
    script += [(FORWARD, (), {"says": BACKWARD}) for _ in range(10)]
    script += [(FORWARD, (), {"teleop": Proposal(BACKWARD, 100.2, float("nan"))}) for _ in range(30)]
    script += [(FORWARD, (Request.RESUME,), {"suspend": wish})]
    script += [(FORWARD, (), {}) for _ in range(20)]
    script += [(FORWARD, (), {"suspend": wish}), (FORWARD, (Request.RESTORE_CRITIC,), {})]
    return flown(rig, script)


def test_flight_with_teleoperator_and_suspension_is_replayed_bit_for_bit(rig, data):
    recorded = recording(rig, data)
    assert {cycle.decision.mode for cycle in recorded.cycles} >= {Mode.TELEOP, Mode.HELD, Mode.FOLLOWING}
    assert sum(cycle.decision.suspension is not None for cycle in recorded.cycles) == pytest.approx(11, abs=1)
    assert replay(recorded, rig.models) == []


def test_replay_notices_a_suspension_that_was_not_granted(rig, data):
    recorded = recording(rig, data)
    without = [replace(c, inputs=replace(c.inputs, suspend=None)) for c in recorded.cycles]
    assert replay(replace(recorded, cycles=tuple(without)), rig.models)


@pytest.mark.parametrize("entry", ["teleop", "suspend", "requests", "proposal"])
def test_what_was_asked_is_read_as_it_was_written(rig, data, entry):
    for encoded in data:
        cycle = flight.decode(encoded)
        assert flight.encode(cycle) == encoded
        assert getattr(cycle.inputs, entry) is not None or json.loads(encoded)["inputs"][entry] is None


def test_silence_of_a_teleoperator_is_no_override(rig, data):
    assert set(overrides(recording(rig, data))) == {"CRITIC"}


def test_recording_made_before_teleoperation_and_suspension_is_read_and_replayed(rig):
    script = [(FORWARD, (Request.RESET, Request.RESUME), {}), *((FORWARD, (), {}) for _ in range(20))]
    script += [(FORWARD, (Request.HOLD,), {}), *((FORWARD, (), {}) for _ in range(20))]
    old = []
    for encoded in flown(rig, script):
        raw = json.loads(encoded)
        for name in NEW_IN_INPUTS:
            del raw["inputs"][name]
        for name in NEW_IN_DECISION:
            del raw["decision"][name]
        old.append(json.dumps(raw).encode())
    config = json.loads(flight.encode_config(rig.config))
    for name in NEW_IN_CONFIG:
        del config[name]
    recorded = replace(recording(rig, old), metadata={"config": json.dumps(config)})
    assert len(recorded.cycles) == 42
    assert replay(recorded, rig.models) == []
