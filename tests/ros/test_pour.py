"""A complete pour through three processes, and its flight recording."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from sim.pouring.gen3 import GEN3_LIMITS, JOINT_NAMES
from spillguard.cli import main as spillguard
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.decision import GateConfig, Mode
from spillguard_core.gate.reasons import Verdict
from spillguard_ros.recording import flight
from spillguard_ros.recording import recorder as recorder_module
from spillguard_ros.recording.recorder import FlightRecorder
from spillguard_ros.recording.recording import Flight, read_flight, replay
from tests.ros.harness import PATIENCE, MakeStage
from tests.ros.pours import pour_a_cup

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
    """What remains after all processes have ended."""

    outcome: dict[str, str]
    recording: Path
    bundle: Path


@pytest.fixture(scope="module")
def poured(make_stage: MakeStage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poured]:
    """A cup poured by the scripted controller in the policy's place.

    That every cup is poured, and how fast, is tested in simulated time.
    """
    recording = tmp_path_factory.mktemp("flight") / "flight.mcap"
    with make_stage("sim_arm") as stage:
        stage.start("safety_monitor", record=recording)
        stage.start("policy", module="tests.ros.scripted_policy")
        outcome, bundle = pour_a_cup(stage), stage.bundle
    assert outcome["success"] == "true", outcome
    yield Poured(outcome, recording, bundle)


@pytest.fixture(scope="module")
def flown(poured: Poured) -> Flight:
    return read_flight(poured.recording)


def config_of(flown: Flight) -> GateConfig:
    """The configuration used in the flight."""
    return flight.decode_config(flown.metadata["config"])


def test_a_pour_succeeds_through_the_graph(poured: Poured) -> None:
    assert poured.outcome["landed"] == poured.outcome["total"]
    assert (poured.outcome["contact"], poured.outcome["limit_broken"]) == ("false", "false")


def test_every_cycle_was_recorded(flown: Flight) -> None:
    numbers = [cycle.decision.cycle for cycle in flown.cycles]
    assert numbers == list(range(1, len(numbers) + 1))
    assert flown.cycles[-1].decision.mode is Mode.STOPPED


def test_recorded_flight_replays_to_the_same_decisions(flown: Flight, poured: Poured) -> None:
    bundle = load_bundle(poured.bundle)
    assert len(flown.cycles) > 100
    assert replay(flown, bundle.models(config_of(flown))) == []


def test_changed_recording_does_not_replay(flown: Flight, poured: Poured) -> None:
    """Control: a replay that always agrees would prove nothing."""
    bundle = load_bundle(poured.bundle)
    moving = next(c for c in flown.cycles if c.decision.mode is Mode.FOLLOWING)
    moving.decision.q[0] += 1e-12
    try:
        assert moving.decision.cycle in replay(flown, bundle.models(config_of(flown)))
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
    assert seen["joint_states"] > 100


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
            assert t[0] == 0.0 and message.header.stamp.sec > 0  # nothing to join, whenever it arrives
            assert all(later > earlier for earlier, later in itertools.pairwise(t))
            count += 1
    assert count > 100


def test_recording_of_a_killed_writer_is_still_read(poured: Poured, tmp_path: Path, flown: Flight) -> None:
    whole = poured.recording.read_bytes()
    (tmp_path / "cut.mcap").write_bytes(whole[: len(whole) * 2 // 3])
    rest = read_flight(tmp_path / "cut.mcap")
    assert len(flown.cycles) // 3 < len(rest.cycles) < len(flown.cycles)


def test_replay_command_finds_every_decision_equal(
    poured: Poured, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(read_flight(poured.recording).cycles) - 1
    assert spillguard(["replay", str(poured.recording), "--bundle", str(poured.bundle)]) == 0
    assert f"{count} of {count} decisions equal to the bit" in capsys.readouterr().out


def test_replay_command_finds_a_changed_decision(
    poured: Poured, flown: Flight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moving = next(i for i, c in enumerate(flown.cycles) if c.decision.mode is Mode.FOLLOWING)
    recorder = FlightRecorder(tmp_path / "forged.mcap", flown.metadata)
    for number, cycle in enumerate(flown.cycles[: moving + 20]):
        forged = replace(cycle.decision, twist_sent=np.ones(4)) if number == moving + 10 else cycle.decision
        recorder.add(flight.TOPIC, replace(cycle, decision=forged), number)
    assert recorder.close(PATIENCE)
    assert spillguard(["replay", str(tmp_path / "forged.mcap"), "--bundle", str(poured.bundle)]) == 1
    assert f"different: cycles {flown.cycles[moving + 10].decision.cycle}" in capsys.readouterr().out


def test_explain_command_says_what_was_asked_and_sent_and_draws_it(
    poured: Poured, flown: Flight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moving = next(i for i, c in enumerate(flown.cycles) if c.decision.verdict is Verdict.PASS)
    at, out = flown.elapsed[moving], tmp_path / "moment.png"
    arguments = [str(poured.recording), "--at", str(at), "--out", str(out)]
    assert spillguard(["explain", *arguments]) == 0
    shown = capsys.readouterr().out
    cycle = flown.cycles[moving]
    assert f"cycle {cycle.decision.cycle}" in shown and cycle.decision.reason.value in shown
    assert f"{cycle.inputs.proposal.twist[0]:.4f}" in shown
    assert out.stat().st_size > 10_000


@pytest.mark.parametrize("command", ["replay", "explain"])
def test_a_recording_that_answers_nothing_is_refused_with_the_reason(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spillguard([command, str(tmp_path / "none.mcap")]) == 2
    (tmp_path / "empty.mcap").write_bytes(b"")
    assert spillguard([command, str(tmp_path / "empty.mcap")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is no file" in said and "holds no cycle" in said


def test_replay_with_another_bundle_is_refused(poured: Poured, capsys: pytest.CaptureFixture[str]) -> None:
    assert spillguard(["replay", str(poured.recording), "--bundle", "artifacts/pour_coffee"]) == 2
    assert "not made with the bundle" in " ".join(capsys.readouterr().err.split())


def test_parts_of_a_recording_replay_without_a_seam(
    poured: Poured,
    flown: Flight,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder_module, "LARGEST_PART", 300_000)
    recorder = FlightRecorder(tmp_path / "flight.mcap", flown.metadata)
    for cycle in flown.cycles:
        recorder.add(flight.TOPIC, cycle, cycle.decision.cycle)
        while recorder._queue.qsize() > 100:
            time.sleep(0.01)
    assert recorder.close(PATIENCE) and not recorder.dropped
    files = sorted(tmp_path.glob("*.mcap"))
    assert len(files) > 1
    assert spillguard(["replay", *map(str, files), "--bundle", str(poured.bundle)]) == 0
    count = len(flown.cycles) - 1
    assert f"{count} of {count} decisions equal to the bit" in capsys.readouterr().out


def test_explain_outside_the_flight_tells_its_length(
    poured: Poured, flown: Flight, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spillguard(["explain", str(poured.recording), "--at", "1e6"]) == 2
    assert f"from 0 to {flown.elapsed[-1]:.2f} s" in capsys.readouterr().err
