"""`spillguard shadow-report` on recordings whose figures are known beforehand. No processes needed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.pouring.deployed_config import deployed_config
from sim.pouring.gen3 import NOMINAL_POSTURE
from spillguard.cli import main as spillguard
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.gate.decision import GateConfig, Inputs, Proposal, Request
from spillguard_core.gate.gate import decide, initial_decision
from spillguard_core.robot.arm import Vec
from spillguard_ros.recording import flight
from spillguard_ros.recording.recorder import FlightRecorder
from spillguard_ros.recording.recording import read_flight, replay
from spillguard_ros.recording.review import SHIPPED
from spillguard_ros.recording.shadow_report import main
from tests.core.conftest import Rig, at
from tests.ros.flights import record
from tests.ros.harness import PATIENCE

GOOD, FAST, NOTHING = np.array([0.0, 0.0, 0.05, 0.0]), np.array([0.0, 0.0, 0.5, 0.0]), np.full(4, np.nan)
SAYS = 40 * [GOOD] + 20 * [FAST] + 10 * [NOTHING] + 20 * [FAST] + 10 * [GOOD]
LIMIT = 400_000  # [B] of a recording in several parts
TURNING = np.array([0.02, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0])  # [rad/s]: how somebody else moves the arm
AWAY = np.array([0.55, 0.35, 0.12])  # [m]: the receiving cup, beside everything that moves here
LATENCY = 0.03  # [s] of every answer when it comes


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(SHIPPED)


def config_of(bundle: Bundle, **changed: object) -> GateConfig:
    return replace(deployed_config(bundle, None), **changed)  # type: ignore[arg-type]


def written(
    path: Path, bundle: Bundle, config: GateConfig, cycles: list[flight.CycleRecord], **more: int
) -> Path:
    """A finished recording of these cycles; `more` as `FlightRecorder` takes it."""
    recorder = FlightRecorder(path, flight.metadata(bundle, config, bundle.models(config)), **more)
    for cycle in cycles:
        recorder.add(flight.TOPIC, cycle, round(1e9 * cycle.inputs.now))
    assert recorder.close(PATIENCE)
    recorder._thread.join()
    return path


def looked_on(bundle: Bundle, config: GateConfig, says: list[Vec]) -> list[flight.CycleRecord]:
    """The cycles of a shadow: one proposal every 50 ms, and somebody who turns the arm."""
    models, decision, made = bundle.models(config), initial_decision(7, 4), []
    q, now, proposal = NOMINAL_POSTURE.copy(), 100.0, None
    for number in range(5 * len(says)):
        now, q = now + config.period, q + config.period * TURNING
        if number % 5 == 0:
            proposal = Proposal(says[number // 5], now, now - 3.0 - LATENCY)
        inputs = Inputs(
            now, at(q, TURNING, target_position=AWAY), now, now - 3.0, now, proposal, command_writers=2
        )
        decision = decide(inputs, decision, config, models)
        made.append(flight.CycleRecord(inputs, decision, 1e-3, config.period))
    return made


@pytest.fixture(scope="module")
def shadow(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s in which it would have passed, 1 s too fast, 0.5 s of nonsense, 1 s too fast, 0.5 s that passes."""
    config = config_of(bundle, shadow=True)
    log = tmp_path_factory.mktemp("report") / "shadow.mcap"
    return written(log, bundle, config, looked_on(bundle, config, SAYS))


@pytest.fixture(scope="module")
def figures(shadow: Path) -> dict[str, object]:
    out = shadow.with_suffix(".json")
    assert main([str(shadow), "--json", str(out)]) == 0
    found: dict[str, object] = json.loads(out.read_text())
    return found


def test_it_counts_what_would_have_been_changed(figures: dict) -> None:
    assert (figures["shadow"], figures["speed_scale"]) == (True, 1.0)
    assert figures["seconds"] == pytest.approx(5.0) and figures["standing"] == 0.0
    assert (figures["cycles"], figures["proposals"], figures["changed"]) == (500, 100, 50)
    assert figures["changed_share"] == pytest.approx(0.5)
    assert figures["changed_time"] == pytest.approx(0.5)


def test_it_names_every_reason_with_its_share_longest_stretch_and_first_moment(figures: dict) -> None:
    told = {
        cause["reason"]: (cause["verdict"], cause["stretches"], cause["proposals"])
        for cause in figures["causes"]
    }
    assert told == {"TWIST_LIMIT": ("LIMIT", 2, 40), "PROPOSAL_INVALID": ("HOLD", 1, 10)}
    fast, senseless = figures["causes"]  # the largest share first
    assert (fast["share"], senseless["share"]) == (pytest.approx(0.4), pytest.approx(0.1))
    assert (fast["longest"], senseless["longest"]) == (pytest.approx(1.0), pytest.approx(0.5))
    assert (fast["first"], senseless["first"]) == (pytest.approx(2.0), pytest.approx(3.0))


def test_it_says_how_far_the_policy_was_from_the_arm(bundle: Bundle, shadow: Path, figures: dict) -> None:
    """Against the lip's own kinematics, which the report does not use."""
    cycles = read_flight(shadow).cycles[::5]
    tool = bundle.tool()
    away = np.array([
        np.abs(c.inputs.proposal.twist - tool.lip_twist(c.inputs.measurement.joint_position, TURNING))
        for c in cycles if np.isfinite(c.inputs.proposal.twist).all()
    ])  # fmt: skip
    assert away.shape == (90, 4)
    told = {distance["name"]: distance for distance in figures["distances"]}
    assert list(told) == ["vx", "vy", "vz", "tilt rate", "fastest joint"]
    for name, column in zip(told, away.T, strict=False):
        assert told[name]["median"] == pytest.approx(np.median(column), abs=1e-6)
        assert told[name]["p95"] == pytest.approx(np.percentile(column, 95), abs=1e-6)
    assert told["vz"]["unit"] == "m/s" and told["tilt rate"]["unit"] == "rad/s"


def test_it_says_how_old_the_answers_were(figures: dict, bundle: Bundle) -> None:
    """0.03 s when they come, and up to 0.04 s more until the next one does."""
    assert figures["latency"]["p50"] == pytest.approx(LATENCY + 0.02, abs=1e-6)
    assert figures["latency"]["p99"] == pytest.approx(LATENCY + 0.04, abs=1e-6)
    assert figures["latency"]["trained"] == bundle.manifest.trained_latency


def test_each_moment_is_found_by_the_command_that_it_names(
    figures: dict, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    moments = figures["moments"]
    assert [round(moment["at"], 2) for moment in moments[:2]] == [2.0, 3.0]
    for moment in moments:
        program, *words = moment["command"].split()
        assert program == "spillguard"
        assert spillguard([*words, "--out", str(tmp_path / "moment.png")]) == 0
        said = capsys.readouterr().out
        if moment["why"].startswith("first"):
            assert moment["why"].partition(": ")[2] in " ".join(said.split())
        assert "nothing: shadow; it would have been" in " ".join(said.split())


def test_page_and_picture(shadow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(shadow), "-o", str(tmp_path / "folder")]) == 0
    page, picture = tmp_path / "folder/shadow.md", tmp_path / "folder/shadow.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "would have changed 50 of 100 proposals, 50.0 %" in text
    assert "| proposal above the action scale | LIMIT | 2 | 40 | 40.0 % | 1.00 s | 2.00 s |" in text
    assert f"spillguard explain {shadow} --at 2.000" in text and "(shadow.png)" in text
    assert main([str(shadow), "-o", str(tmp_path / "alone.png")]) == 0
    assert (tmp_path / "alone.png").exists() and not (tmp_path / "alone.md").exists()
    assert "in shadow: nothing was sent" in capsys.readouterr().out


def test_parts_of_one_flight_are_one_report(
    bundle: Bundle, figures: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A long recording is written in parts; together they say what one file would."""
    config, log = config_of(bundle, shadow=True), tmp_path / "shadow.mcap"
    written(log, bundle, config, looked_on(bundle, config, SAYS), limit=LIMIT)
    parts = [*sorted(tmp_path.glob("shadow-*.mcap")), log]
    assert len(parts) > 1
    assert main([*map(str, parts), "--json", str(tmp_path / "all.json")]) == 0
    found = json.loads((tmp_path / "all.json").read_text())
    assert {k: v for k, v in found.items() if k != "moments"} == {
        k: v for k, v in figures.items() if k != "moments"
    }
    *_, last = found["moments"]
    assert spillguard([*last["command"].split()[1:], "--out", str(tmp_path / "moment.png")]) == 0
    assert "nothing: shadow" in capsys.readouterr().out


def test_a_shadow_at_a_share_of_the_speed_replays_to_equal_decisions(bundle: Bundle, tmp_path: Path) -> None:
    config = config_of(bundle, shadow=True, speed_scale=0.1)
    log = written(tmp_path / "slow.mcap", bundle, config, looked_on(bundle, config, 10 * [GOOD]))
    recorded = read_flight(log)
    assert (recorded.config.shadow, recorded.config.speed_scale) == (True, 0.1)
    assert replay(recorded, bundle.models(recorded.config)) == []
    assert spillguard(["replay", str(log)]) == 0


class Beside(Rig):
    """Its receiving cup stands aside."""

    def inputs(self, twist: Vec | None = None, *requests: Request, **changed: object) -> Inputs:
        measurement = at(self.q, self.qd, target_position=AWAY)
        return replace(super().inputs(twist, *requests), **({"measurement": measurement} | changed))  # type: ignore[arg-type]


def guarded(
    bundle: Bundle, config: GateConfig, says: Callable[[int], Vec], ticks: int
) -> list[flight.CycleRecord]:
    """The cycles of a guarded gate whose arm follows: held for 2 cycles, then the policy, then a stop."""
    rig = Beside(config=config, models=bundle.models(config))
    made = []
    for number in range(ticks):
        asked = {0: (Request.RESET,), 2: (Request.RESUME,), ticks - 10: (Request.STOP,)}.get(number, ())
        decision = rig.tick(says(number), *asked)
        assert rig.last_inputs is not None
        made.append(flight.CycleRecord(rig.last_inputs, decision, 1e-3, config.period))
    return made


def test_a_guarded_flight_is_judged_while_the_policy_drives(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(bundle, speed_scale=0.5)
    cycles = guarded(bundle, config, lambda number: FAST if 50 <= number < 60 else GOOD, 112)
    log = written(tmp_path / "guarded.mcap", bundle, config, cycles)
    assert main([str(log), "--json", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["shadow"], found["speed_scale"], found["cycles"]) == (False, 0.5, 100)
    assert (found["proposals"], found["changed"]) == (100, 10)
    assert found["standing"] == pytest.approx(0.12)
    assert [cause["reason"] for cause in found["causes"]] == ["TWIST_LIMIT"]
    # An arm that follows does what is asked at that speed: hardly anything is left between the two.
    assert {d["name"]: d["median"] for d in found["distances"]}["vz"] < 2e-3
    assert "guarded, at 50 % speed" in capsys.readouterr().out


def refused(log: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one sentence that says why there is no report."""
    assert main([str(log), *more]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_what_cannot_be_reported_is_said_in_one_sentence(
    bundle: Bundle, shadow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(tmp_path / "absent.mcap", capsys).endswith("absent.mcap is no file")

    config = config_of(bundle, shadow=True)
    empty = written(tmp_path / "empty.mcap", bundle, config, [])
    assert "empty.mcap holds no cycle of a safety monitor" in refused(empty, capsys)

    noise = tmp_path / "noise.mcap"
    noise.write_bytes(b"this is no recording" * 100)
    assert "noise.mcap is damaged, and no cycle of it can be read: " in refused(noise, capsys)

    stopped = written(tmp_path / "stopped.mcap", bundle, config_of(bundle),
                      guarded(bundle, config_of(bundle), lambda number: GOOD, 12)[:2])  # fmt: skip
    assert "the policy was never judged" in refused(stopped, capsys)

    record(tmp_path / "unsaid.mcap", 0, 5)
    assert "the recorded configuration is damaged" in refused(tmp_path / "unsaid.mcap", capsys)

    assert "absent" in refused(shadow, capsys, "--bundle", str(tmp_path / "absent"))


def test_a_recording_of_another_version_is_said_to_be_one(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(bundle, shadow=True)
    encode = flight.encode
    monkeypatch.setattr(flight, "encode", lambda cycle: encode(cycle).replace(b'"SHADOW"', b'"DREAMING"'))
    log = written(tmp_path / "later.mcap", bundle, config, looked_on(bundle, config, 4 * [GOOD]))
    said = refused(log, capsys)
    assert "later.mcap is from another version: 20 cycles cannot be understood (KeyError: 'DREAMING')" in said


def test_the_intact_rest_of_a_damaged_recording_is_reported_and_the_loss_said(
    shadow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.mcap"
    data = shadow.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    assert main([str(cut), "--json", str(tmp_path / "cut.json")]) == 0
    assert "lost: cut.mcap" in capsys.readouterr().out
    found = json.loads((tmp_path / "cut.json").read_text())
    assert 0 < found["cycles"] < 500 and found["lost"]
