"""The flight recorder may lose records; it may never hold up the control loop or lie about what it lost."""

import itertools
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from mcap.reader import make_reader
from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory

from spillguard_ros import recorder as module
from spillguard_ros.convert import status_values
from spillguard_ros.recorder import FlightRecorder
from spillguard_ros.recording import parts, read_flight, records
from tests.ros.harness import MakeStage, Stage

NAMES = {"config": "{}"}


def values(path: Path) -> int:
    """Number of messages in a recording."""
    return sum(topic == "x" for topic, _ in records(path))


def numbers(path: Path) -> list[int]:
    """Times of the messages, by a reader that needs the index."""
    with path.open("rb") as stream:
        reader = make_reader(stream)
        assert reader.get_summary() is not None
        return [message.log_time for _, _, message in reader.iter_messages()]


def noise(number: int) -> JointTrajectory:
    """About 8 kB that do not compress."""
    words = np.random.default_rng(number).bytes(8000).hex()[:8000]
    return JointTrajectory(joint_names=[words])


def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait for the writer."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fill(recorder: FlightRecorder, count: int, first: int = 0) -> None:
    """Give it records as fast as it takes them."""
    for number in range(first, first + count):
        recorder.add("x", noise(number), number)
        until(lambda: recorder._queue.qsize() < 100)


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
    for number in range(100):
        recorder.add("x", Float64(data=float(number)), number)
    gate.set()
    recorder.close()
    assert recorder.dropped >= 89  # ten in the queue, one in the writer's hand
    assert values(tmp_path / "f.mcap") == 100 - recorder.dropped


def test_disk_that_takes_nothing_more_never_holds_up_the_control_loop(tmp_path: Path) -> None:
    pipe = tmp_path / "f.mcap"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        recorder = FlightRecorder(pipe, {})
        fill(recorder, 60)  # more than a pipe holds: from here on the writer stands still within a write
        message, begun = noise(0), time.monotonic()
        for number in range(3 * module.QUEUE_LENGTH):
            recorder.add("x", message, number)
        assert time.monotonic() - begun < 5.0  # a millisecond of waiting each would make eight seconds
        assert recorder.dropped > module.QUEUE_LENGTH
        begun = time.monotonic()
        recorder.close()
        assert time.monotonic() - begun < 2 * module.CLOSE_TIMEOUT + 0.5
        assert recorder._thread.is_alive()
    finally:
        os.close(reader)  # the writer meets a broken pipe and ends


def test_recording_that_cannot_begin_is_refused() -> None:
    with pytest.raises(OSError, match="No space left"):
        FlightRecorder(Path("/dev/full"), {})


def test_full_disk_loses_nothing_that_was_written_and_counts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 50_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        recorder = FlightRecorder(tmp_path / "f.mcap", NAMES)
        fill(recorder, 200)
        until(lambda: bool(recorder.error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    recorder.add("x", Float64(data=0.0), 0)
    recorder.close()
    assert "File too large" in recorder.error
    kept = [record.log_time for topic, record in records(tmp_path / "f.mcap") if topic == "x"]
    assert kept == list(range(len(kept)))
    assert len(kept) > 20
    assert recorder.dropped == 201 - len(kept)
    assert recorder.written == (tmp_path / "f.mcap").stat().st_size  # no half record behind them


def test_the_newest_flight_is_kept_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 20_000)
    path, limit, most = tmp_path / "f.mcap", 400_000, 0
    (tmp_path / "f-other.mcap").write_text("not ours")
    recorder = FlightRecorder(path, NAMES, limit=limit)
    for number in range(300):
        recorder.add("x", noise(number), number)
        until(lambda: recorder._queue.empty())
        most = max(most, sum(part.stat().st_size for part in tmp_path.glob("f*.mcap") if part.exists()))
    recorder.close()
    found = parts(path)
    assert 0.7 * limit < most < limit + 2 * module.CHUNK_SIZE
    assert len(found) >= 3 and found[-1] == path
    kept = [numbers(part) for part in found]  # each opens by itself
    assert list(itertools.chain.from_iterable(kept)) == list(range(kept[0][0], 300))
    assert recorder.dropped == 0
    assert recorder.written > 2 * limit
    assert [read_flight(part).metadata for part in found] == [NAMES] * len(found)
    assert (tmp_path / "f-other.mcap").read_text() == "not ours"


def test_a_monitor_that_comes_back_keeps_the_flight_before(tmp_path: Path) -> None:
    path = tmp_path / "f.mcap"
    for number in range(3):
        recorder = FlightRecorder(path, NAMES)
        recorder.add("x", Float64(data=0.0), number)
        recorder.close()
    assert [part.name for part in parts(path)] == ["f-0001.mcap", "f-0002.mcap", "f.mcap"]
    assert [numbers(part) for part in parts(path)] == [[0], [1], [2]]


def test_recording_ends_complete_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [1_000_000_000]
    monkeypatch.setattr(module, "CHUNK_SIZE", 20_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    recorder = FlightRecorder(tmp_path / "f.mcap", NAMES, reserve=500_000_000)
    fill(recorder, 50)
    until(lambda: recorder._queue.empty())
    assert not recorder.error
    free[0] = 499_000_000
    fill(recorder, 50, first=50)
    until(lambda: bool(recorder.error))
    recorder.add("x", Float64(data=0.0), 0)
    recorder.close()
    assert "499 MB are free" in recorder.error and "record_reserve" in recorder.error
    kept = numbers(tmp_path / "f.mcap")
    assert kept == list(range(len(kept))) and len(kept) > 50
    assert recorder.dropped == 101 - len(kept) > 0


def test_older_parts_make_room_before_the_recording_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.mcap"
    for number in (1, 2):
        (tmp_path / f"f-000{number}.mcap").write_bytes(bytes(1000))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=9500))
    recorder = FlightRecorder(path, NAMES, reserve=10_000)
    recorder.close()
    assert not recorder.error
    assert [part.name for part in parts(path)] == ["f-0002.mcap", "f.mcap"]
    with pytest.raises(OSError, match="lower record_reserve"):
        FlightRecorder(path, NAMES, reserve=1_000_000)


def test_uncaught_exception_leaves_a_complete_recording(tmp_path: Path) -> None:
    code = (
        "import time\nfrom pathlib import Path\nfrom std_msgs.msg import Float64\n"
        "from spillguard_ros.recorder import FlightRecorder\n"
        f"recorder = FlightRecorder(Path({str(tmp_path / 'f.mcap')!r}), {{}})\n"
        "for number in range(1000):\n    recorder.add('x', Float64(data=0.0), number)\n"
        "while recorder._queue.qsize():\n    time.sleep(0.01)\n"
        "raise RuntimeError('this is the flight that will be asked for')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "will be asked for" in ended.stderr
    assert numbers(tmp_path / "f.mcap") == list(range(1000))


def test_recording_cut_at_any_byte_is_read_up_to_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 400)
    recorder = FlightRecorder(tmp_path / "f.mcap", NAMES)
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
    recorder = FlightRecorder(tmp_path / "a" / "b" / "f.mcap", NAMES)
    recorder.add("x", Float64(data=1.0), 1)
    recorder.close()
    assert values(tmp_path / "a" / "b" / "f.mcap") == 1


def figures(stage: Stage) -> dict[str, str]:
    """Newest status of the monitor."""
    return status_values(stage.witness.heard.status[-1].status[0])


def test_arm_keeps_moving_when_the_disk_is_full(make_stage: MakeStage, tmp_path: Path) -> None:
    path, limit = tmp_path / "f.mcap", 100_000
    with make_stage("sim_arm", "policy") as stage:
        stage.start("safety_monitor", record=path, record_limit=1)
        stage.witness.open_gate()
        stage.until(stage.witness.moving, 5.0, "motion")
        stage.until(lambda: len(parts(path)) > 1, 20.0, "a second part of the recording")
        assert figures(stage)["recorder"] == "on"
        resource.prlimit(stage.graph.pid("safety_monitor"), resource.RLIMIT_FSIZE, (limit, limit))
        stage.until(lambda: "File too large" in figures(stage)["recorder"], 15.0, "the end of the recording")
        stage.witness.heard.clear()
        stage.witness.spin(1.5)
        heard = stage.witness.heard
        assert len(heard.commands) > 100 and stage.witness.travel() > 0.01
        assert figures(stage)["verdict"] in ("PASS", "LIMIT")
        dropped = [int(status_values(msg.status[0])["recorder_dropped"]) for msg in heard.status]
        assert dropped[-1] > dropped[0] + 100  # what is not recorded any more is counted
        (told,) = [s for s in heard.diagnostics[-1].status if s.name == "safety_monitor: recorder"]
        assert told.level == DiagnosticStatus.ERROR and "File too large" in told.message
        size = sum(part.stat().st_size for part in parts(path))
        assert float(figures(stage)["recorder_written [MB]"]) == pytest.approx(1e-6 * size, abs=1e-3)
        stage.witness.bring_to_rest()
    cycles = [cycle.decision.cycle for cycle in read_flight(*parts(path)).cycles]
    assert len(cycles) > 100 and cycles == list(range(1, len(cycles) + 1))
