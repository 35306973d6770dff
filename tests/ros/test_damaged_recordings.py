"""A damaged recording is read before and behind the damage; what is lost is reported."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import ChunkIndex
from mcap.stream_reader import StreamReader

from spillguard.cli import main as spillguard
from spillguard_core.gate.reasons import Verdict
from spillguard_ros.recording import flight
from spillguard_ros.recording import recorder as module
from spillguard_ros.recording.mcap_files import parts
from spillguard_ros.recording.recorder import FlightRecorder
from spillguard_ros.recording.recording import Flight, read_flight
from tests.ros.flights import NAMES, cycle, record
from tests.ros.harness import PATIENCE

CYCLES = 40
EACH = 40  # damages of each kind
Damage = Callable[[bytes, int, np.random.Generator], tuple[bytes, int]]
"""Data, position, random generator -> damaged data, and where it is intact again; -1 if offsets shifted."""


@dataclass
class Whole:
    """A recording before damage."""

    data: bytes
    cycles: dict[int, bytes]  # by number, encoded
    chunks: list[tuple[int, int, list[int]]]  # start and end of each, and the cycle numbers in it


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    path = tmp_path_factory.mktemp("whole") / "f.mcap"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_SIZE", 8000)
        record(path, 1, CYCLES)
    with path.open("rb") as stream:
        numbers = [json.loads(m.data)["decision"]["cycle"] for _, _, m in make_reader(stream).iter_messages()]
        stream.seek(0)
        found = [r for r in StreamReader(stream).records if isinstance(r, ChunkIndex)]
    assert numbers == list(range(1, CYCLES + 1)) and len(found) > 5
    chunks = [
        (c.chunk_start_offset, c.chunk_start_offset + c.chunk_length,
         [n for n in numbers if c.message_start_time <= n * 10_000_000 <= c.message_end_time])
        for c in found
    ]  # fmt: skip
    return Whole(path.read_bytes(), {n: flight.encode(cycle(n)) for n in numbers}, chunks)


def flipped(data: bytes, at: int, chance: np.random.Generator) -> tuple[bytes, int]:
    return data[:at] + bytes([data[at] ^ (1 << int(chance.integers(8)))]) + data[at + 1 :], at + 1


def cut(data: bytes, at: int, chance: np.random.Generator) -> tuple[bytes, int]:
    del chance
    return data[:at], -1


def zeroed(data: bytes, at: int, chance: np.random.Generator) -> tuple[bytes, int]:
    end = min(at + int(chance.integers(1, 5000)), len(data))
    return data[:at] + bytes(end - at) + data[end:], end


def overwritten(data: bytes, at: int, chance: np.random.Generator) -> tuple[bytes, int]:
    end = min(at + int(chance.integers(1, 5000)), len(data))
    return data[:at] + chance.bytes(end - at) + data[end:], end


def with_garbage(data: bytes, at: int, chance: np.random.Generator) -> tuple[bytes, int]:
    return data[:at] + chance.bytes(int(chance.integers(1, 5000))) + data[at:], at


def with_a_hole(data: bytes, at: int, chance: np.random.Generator) -> tuple[bytes, int]:
    end = min(at + int(chance.integers(1, 5000)), len(data))
    return data[:at] + data[end:], end


def repeated(data: bytes, at: int, chance: np.random.Generator) -> tuple[bytes, int]:
    start = int(chance.integers(len(data)))
    return data[:at] + data[start : start + int(chance.integers(1, 9000))] + data[at:], at


KINDS: tuple[Damage, ...] = (flipped, cut, zeroed, overwritten, with_garbage, with_a_hole, repeated)


def check(read: Flight, whole: Whole, untouched: list[int]) -> None:
    """Nothing is invented, changed, repeated or reordered, nothing intact is lost, losses are reported."""
    numbers = [c.decision.cycle for c in read.cycles]
    assert numbers == sorted(set(numbers))
    assert all(flight.encode(c) == whole.cycles[c.decision.cycle] for c in read.cycles)
    assert set(untouched) <= set(numbers)
    assert read.losses or len(numbers) == CYCLES
    assert all(read.told(loss) for loss in read.losses)
    assert np.isnan(read.threshold) or read.threshold == 0.25


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_what_is_whole_around_any_damage_is_read(whole: Whole, tmp_path: Path, kind: Damage) -> None:
    path = tmp_path / "f.mcap"
    for seed in range(EACH):
        chance = np.random.default_rng(seed)
        at = int(chance.integers(len(whole.data)))
        damaged, good_again = kind(whole.data, at, chance)
        path.write_bytes(damaged)
        untouched = [
            number
            for start, end, numbers in whole.chunks
            if end <= at or 0 <= good_again <= start
            for number in numbers
        ]
        check(read_flight(path), whole, untouched)


def test_a_chunk_in_the_middle_costs_its_own_cycles_and_the_loss_is_told(
    whole: Whole, tmp_path: Path
) -> None:
    start, end, numbers = whole.chunks[3]
    path = tmp_path / "f.mcap"
    path.write_bytes(whole.data[: start + 100] + b"?" + whole.data[start + 101 :])
    read = read_flight(path)
    assert [c.decision.cycle for c in read.cycles] == [n for n in range(1, CYCLES + 1) if n not in numbers]
    (loss,) = read.losses
    assert loss.offset == start and end - start <= loss.size
    assert read.cycles[loss.cycles_before].decision.cycle == numbers[-1] + 1
    said = read.told(loss)
    assert f"{loss.size} bytes from byte {start} on" in said
    assert f"after {0.01 * (numbers[0] - 2):.2f} s, {len(numbers)} cycles lost" in said


def test_first_chunk_names_the_topics_and_they_are_read_at_the_end_without_it(
    whole: Whole, tmp_path: Path
) -> None:
    _, end, numbers = whole.chunks[0]
    path = tmp_path / "f.mcap"
    path.write_bytes(whole.data[: end - 1] + bytes([whole.data[end - 1] ^ 1]) + whole.data[end:])
    assert len(read_flight(path).cycles) == CYCLES - len(numbers)


def test_changed_metadata_is_never_taken_for_the_recorded_one(whole: Whole, tmp_path: Path) -> None:
    path = tmp_path / "f.mcap"
    path.write_bytes(whole.data.replace(b"0.25", b"0.95", 1))
    read = read_flight(path)
    assert len(read.cycles) == CYCLES and read.metadata == {} and np.isnan(read.threshold)
    assert "checksum" in read.told(read.losses[0])
    with pytest.raises(ValueError, match="does not say how the gate was set"):
        _ = read.config


def test_damaged_middle_part_of_several_leaves_the_others(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.mcap" for name in "abc"]
    for number, file in enumerate(files):
        record(file, 1 + 20 * number, 20)
    for damage in (b"", b"short", bytes(3000), np.random.default_rng(0).bytes(3000)):
        files[1].write_bytes(damage)
        read = read_flight(*files)
        assert [c.decision.cycle for c in read.cycles] == [*range(1, 21), *range(41, 61)]
        (loss,) = read.losses
        assert (loss.file, loss.size, loss.cycles_before) == (files[1], len(damage), 20)
        assert "after 0.19 s, 20 cycles lost" in read.told(loss)
        assert read.metadata == NAMES


def test_a_cycle_of_an_unknown_version_is_a_loss_and_no_end(tmp_path: Path) -> None:
    path, encode = tmp_path / "f.mcap", flight.encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            flight, "encode", lambda c: encode(c).replace(b'"verdict":"STOP"', b'"verdict":"DANCE"')
            if c.decision.cycle == 3 else encode(c)
        )  # fmt: skip
        record(path, 1, 5)
    read = read_flight(path)
    assert [c.decision.cycle for c in read.cycles] == [1, 2, 4, 5]
    assert "1 cycles cannot be understood" in read.told(read.losses[0])


def test_a_reason_that_is_not_installed_here_keeps_its_name_and_means_stop(tmp_path: Path) -> None:
    path, encode = tmp_path / "f.mcap", flight.encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flight, "encode", lambda c: encode(c).replace(b'"NOT_RESET"', b'"OF_SOMEBODY_ELSE"'))
        record(path, 1, 2)
    reasons = {c.decision.reason for c in read_flight(path).cycles}
    assert [(r.name, r.value, r.verdict) for r in reasons] == [
        ("OF_SOMEBODY_ELSE", "of somebody else", Verdict.STOP)
    ]


@pytest.mark.parametrize("command", ["replay", "explain"])
def test_commands_say_what_is_lost(
    whole: Whole, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "f.mcap"
    path.write_bytes(whole.data[: len(whole.data) // 2])
    status = spillguard([command, str(path)])
    said = " ".join("".join(capsys.readouterr()).split())
    assert status == (0 if command == "explain" else 2)  # its metadata names no bundle
    assert "breaks off" in said and "cycles lost" in said


def test_a_clock_that_is_set_back_changes_no_time_in_the_flight(tmp_path: Path) -> None:
    path = tmp_path / "f.mcap"
    recorder = FlightRecorder(path, NAMES)
    for number in range(1, 101):
        recorder.add(flight.TOPIC, cycle(number), (number + (3600 * 100 if number <= 50 else 0)) * 10_000_000)
    assert recorder.close(PATIENCE)
    recorder._thread.join()
    read = read_flight(path)
    assert read.elapsed == pytest.approx(0.01 * np.arange(100))
    inside = read.between(50.25, 50.755)
    assert [c.decision.cycle for c in inside.cycles] == list(range(25, 76))
    assert spillguard(["explain", str(path), "--at", "0.7", "--out", str(tmp_path / "x.png")]) == 0


def test_a_computer_that_was_started_anew_between_two_parts_does_not_turn_time_back() -> None:
    now = [cycle(n) for n in (1, 2, 3)]
    later = [replace(c, inputs=replace(c.inputs, now=c.inputs.now - 40.0)) for c in (cycle(1), cycle(2))]
    flown = Flight(np.array([0.0, 0.01, 0.02, 60.0, 60.01]), (*now, *later), {})
    assert flown.elapsed == pytest.approx([0.0, 0.01, 0.02, 60.0, 60.01])
    assert Flight(np.zeros(0), (), {}).elapsed.shape == (0,)


def test_files_of_another_flight_are_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "f.mcap"
    record(path, 1, 3)
    record(path, 1, 4)  # a second flight with the same name: the first one is renamed
    assert (tmp_path / "f-0001.mcap").exists()
    assert parts(path) == [path]
    with pytest.raises(McapError), (tmp_path / "f-0002.mcap").open("wb+") as foreign:
        foreign.write(b"something of a person's own")
        foreign.seek(0)
        make_reader(foreign)
        next(StreamReader(foreign).records)
    assert parts(path) == [path]
