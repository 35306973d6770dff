"""Recordings that our monitor did not write in this form, and parts that do not belong together."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spillguard.cli import main as spillguard
from spillguard_ros.recording import flight
from spillguard_ros.recording import recorder as module
from spillguard_ros.recording.mcap_files import parts
from spillguard_ros.recording.recorder import FlightRecorder
from spillguard_ros.recording.recording import read_flight
from spillguard_ros.recording.review import opened
from tests.ros.flights import NAMES, cycle, record
from tests.ros.harness import PATIENCE


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A recording of five cycles, the third with content that no monitor writes."""
    with pytest.MonkeyPatch.context() as patch:
        plain = flight.encode

        def encode(entry: flight.CycleRecord) -> bytes:
            raw = json.loads(plain(entry))
            if entry.decision.cycle == 3:
                change(raw)
            return json.dumps(raw).encode()

        patch.setattr(flight, "encode", encode)  # before the writer can start
        recorder = FlightRecorder(path, NAMES)
        for number in range(1, 6):
            recorder.add(flight.TOPIC, cycle(number), number)
        assert recorder.close(PATIENCE)
    return path


def put(*keys: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        for key in keys[:-1]:
            raw = raw[key]
        raw[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("decision", "cycle", value=1e999), put("inputs", "now", value=10**400),
        put("inputs", "now", value="nan"), put("decision", "send", value="false"),
        put("decision", "send", value=1), put("inputs", "measurement", value=7),
    ],
)  # fmt: skip
def test_cycle_that_no_monitor_writes_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]
) -> None:
    read = read_flight(edited(tmp_path / "flight.mcap", change))
    assert [entry.decision.cycle for entry in read.cycles] == [1, 2, 4, 5]
    (loss,) = read.losses
    assert "1 cycles cannot be understood" in loss.why


def test_cycles_numbered_anew_are_a_loss_that_is_said(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path / "flight.mcap", NAMES)
    for number, now in ((1, 1.0), (2, 1.1), (1, 2.0), (2, 2.1), (3, 2.2)):
        entry = cycle(number)
        recorder.add(flight.TOPIC, replace(entry, inputs=replace(entry.inputs, now=now)), number)
    assert recorder.close(PATIENCE)
    read = read_flight(tmp_path / "flight.mcap")
    assert read.steady.tolist() == [1.0, 1.1, 2.2]
    assert [loss.why for loss in read.losses] == ["2 cycles have numbers that others had before"]


@pytest.mark.parametrize("command", ["replay", "explain"])
def test_parts_of_two_flights_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    files = [tmp_path / "a.mcap", tmp_path / "b.mcap"]
    for number, file in enumerate(files):
        record(file, 5 * number + 1, 5)
    if command == "explain":
        with pytest.raises(ValueError, match="parts of 2 flights"):
            opened(*files)
    else:
        assert spillguard([command, *map(str, files)]) == 2
        assert "parts of 2 flights; give those of one" in " ".join(capsys.readouterr().err.split())


def test_parts_of_one_flight_may_be_named_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 1)
    monkeypatch.setattr(module, "LARGEST_PART", 1)
    record(tmp_path / "flight.mcap", 1, 6)
    found = parts(tmp_path / "flight.mcap")
    assert len(found) > 2
    read = read_flight(*reversed(found))
    assert [entry.decision.cycle for entry in read.cycles] == [1, 2, 3, 4, 5, 6]
