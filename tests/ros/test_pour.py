"""A whole pour through three processes, and what the flight recorder kept of it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from spillguard_core.arm import GEN3_LIMITS, JOINT_NAMES
from spillguard_core.bundle import load_bundle
from spillguard_core.decision import Mode
from spillguard_ros.recording import Flight, read_flight, replay
from tests.ros.harness import MakeStage, Stage

POUR_TIME = 20.0  # [s] allowed; the machine may be busy

TOPICS = [
    "joint_states",
    "joint_trajectory_controller/joint_trajectory",
    "load_cell/wrench",
    "policy/proposal",
    "safety_monitor/q_c",
    "target_pose",
    "wrist/wrench",
]


@dataclass
class Poured:
    """What was left when all processes had ended."""

    outcome: dict[str, str]
    recording: Path
    bundle: Path


@pytest.fixture(scope="module")
def poured(make_stage: MakeStage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poured]:
    """One cup, poured by the scripted controller in the policy's place."""
    recording = tmp_path_factory.mktemp("flight") / "flight.mcap"
    with make_stage("sim_arm") as stage:
        stage.start("safety_monitor", record=recording)
        stage.start("policy", module="tests.ros.scripted_policy")
        stage.witness.open_gate()
        stage.until(lambda: finished(stage), POUR_TIME, "a finished pour")
        stage.witness.bring_to_rest()
        outcome, bundle = stage.witness.outcome, stage.bundle
    yield Poured(outcome, recording, bundle)


def finished(stage: Stage) -> bool:
    """The cell says how it went."""
    seen = stage.witness.outcome
    return bool(seen) and (seen["success"] == "true" or seen["spilled"] != "0" or seen["contact"] == "true")


@pytest.fixture(scope="module")
def flown(poured: Poured) -> Flight:
    return read_flight(poured.recording)


def test_a_pour_succeeds_through_the_graph(poured: Poured) -> None:
    assert poured.outcome["success"] == "true", poured.outcome
    assert poured.outcome["landed"] == poured.outcome["total"]
    assert (poured.outcome["contact"], poured.outcome["limit_broken"]) == ("false", "false")
    assert float(poured.outcome["elapsed"]) < 10.0


def test_every_cycle_was_recorded(flown: Flight) -> None:
    numbers = [cycle.decision.cycle for cycle in flown.cycles]
    assert numbers == list(range(1, len(numbers) + 1))
    assert flown.cycles[-1].decision.mode is Mode.STOPPED


def test_recorded_flight_replays_to_the_same_decisions(flown: Flight, poured: Poured) -> None:
    bundle = load_bundle(poured.bundle, JOINT_NAMES)
    assert len(flown.cycles) > 300
    assert replay(flown, bundle.models(0.005)) == []


def test_changed_recording_does_not_replay(flown: Flight, poured: Poured) -> None:
    """Control: a replay that always agrees would be worth nothing."""
    bundle = load_bundle(poured.bundle, JOINT_NAMES)
    moving = next(c for c in flown.cycles if c.decision.mode is Mode.FOLLOWING)
    moving.decision.q[0] += 1e-12
    try:
        assert moving.decision.cycle in replay(flown, bundle.models(0.005))
    finally:
        moving.decision.q[0] -= 1e-12


def test_recording_opens_in_any_ros_2_reader(poured: Poured) -> None:
    with poured.recording.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        seen: dict[str, int] = {}
        for _, channel, _, message in reader.iter_decoded_messages(topics=TOPICS):
            seen[channel.topic] = seen.get(channel.topic, 0) + 1
            if channel.topic == "joint_states":
                assert list(message.name) == list(JOINT_NAMES)
                assert np.isfinite(message.position).all()
    assert sorted(seen) == TOPICS
    assert seen["joint_states"] > 300


def test_every_command_was_inside_the_limits_and_ended_at_rest(poured: Poured) -> None:
    count = 0
    with poured.recording.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, _, _, message in reader.iter_decoded_messages(
            topics=["joint_trajectory_controller/joint_trajectory"]
        ):
            q = np.array([point.positions for point in message.points])
            qd = np.array([point.velocities for point in message.points])
            t = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in message.points]
            assert not qd[-1].any()
            assert (np.abs(qd) <= GEN3_LIMITS.velocity * (1 + 1e-9)).all()
            assert ((GEN3_LIMITS.position_min <= q) & (q <= GEN3_LIMITS.position_max)).all()
            assert t[0] > 0.0
            assert all(later > earlier for earlier, later in itertools.pairwise(t))
            count += 1
    assert count > 300


def test_recording_of_a_killed_writer_is_still_read(poured: Poured, tmp_path: Path, flown: Flight) -> None:
    whole = poured.recording.read_bytes()
    (tmp_path / "cut.mcap").write_bytes(whole[: len(whole) * 2 // 3])
    rest = read_flight(tmp_path / "cut.mcap")
    assert len(flown.cycles) // 3 < len(rest.cycles) < len(flown.cycles)
