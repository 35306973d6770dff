"""The flight recorder may lose records; it may never hold up the control loop or lie about what it lost."""

import threading
import time
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory

from spillguard_ros import recorder as module
from spillguard_ros.recorder import FlightRecorder, definition
from spillguard_ros.recording import records


def values(path: Path) -> int:
    """Number of messages in a recording."""
    return sum(topic == "x" for topic, _ in records(path))


def test_what_does_not_fit_the_queue_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    write_one = FlightRecorder._write_one

    def slow(self: FlightRecorder, *item: object) -> None:
        gate.wait()
        write_one(self, *item)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "QUEUE_LENGTH", 10)
    monkeypatch.setattr(FlightRecorder, "_write_one", slow)
    recorder = FlightRecorder(tmp_path / "f.mcap", {})
    started = time.monotonic()
    for number in range(100):
        recorder.add("x", Float64(data=float(number)), number)
    took = time.monotonic() - started
    gate.set()
    recorder.close()
    assert took < 0.05  # 100 records without waiting for a writer that stands still
    assert recorder.dropped >= 89  # ten in the queue, one in the writer's hand
    assert values(tmp_path / "f.mcap") == 100 - recorder.dropped


def test_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    full = Path("/dev/full")
    recorder = FlightRecorder(full, {})
    for number in range(2000):
        recorder.add("x", JointTrajectory(joint_names=[f"{number} {k}" for k in range(50)]), number)
    deadline = time.monotonic() + 5.0
    while not recorder.error and time.monotonic() < deadline:
        recorder.add("x", Float64(data=0.0), 0)
        time.sleep(0.01)
    recorder.close()
    assert "No space left" in recorder.error
    recorder.add("x", Float64(data=0.0), 0)


def test_recording_cut_at_any_byte_is_read_up_to_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 400)
    recorder = FlightRecorder(tmp_path / "f.mcap", {"config": "{}"})
    for number in range(60):
        recorder.add("x", Float64(data=float(number)), number)
    recorder.close()
    whole = (tmp_path / "f.mcap").read_bytes()
    assert values(tmp_path / "f.mcap") == 60
    counts = []
    for length in range(len(whole)):
        (tmp_path / "cut.mcap").write_bytes(whole[:length])
        counts.append(values(tmp_path / "cut.mcap"))
    assert counts == sorted(counts)
    assert counts[0] == 0 and counts[-1] == 60
    assert len(set(counts)) > 5  # chunk by chunk


def test_folder_of_the_recording_is_made(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path / "a" / "b" / "f.mcap", {"config": "{}"})
    recorder.add("x", Float64(data=1.0), 1)
    recorder.close()
    assert values(tmp_path / "a" / "b" / "f.mcap") == 1


def test_definition_names_every_nested_message_once() -> None:
    text = definition(DiagnosticArray)
    for name in ("std_msgs/Header", "builtin_interfaces/Time", "diagnostic_msgs/KeyValue"):
        assert text.count(f"MSG: {name}\n") == 1
    assert "diagnostic_msgs/DiagnosticStatus[] status" in text
    assert "byte level" in text
