"""The flight recorder may lose records; it may never delay the control loop or misreport what it lost."""

import itertools
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from mcap.records import Message
from rclpy.serialization import serialize_message
from std_msgs.msg import Float64

from spillguard_ros.node.convert import status_values
from spillguard_ros.node.intake import Serialized
from spillguard_ros.recording import recorder as module
from spillguard_ros.recording.mcap_files import parts, records
from spillguard_ros.recording.recorder import FlightRecorder
from spillguard_ros.recording.recording import read_flight
from tests.ros.harness import PATIENCE, MakeStage, Stage
from tests.ros.recordings import NAMES, fill, noise, numbers, until, values, waits


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
    assert recorder.close(PATIENCE)
    assert recorder.dropped >= 89  # ten in the queue, one being written
    assert values(tmp_path / "f.mcap") == 100 - recorder.dropped


def test_disk_that_takes_nothing_more_never_holds_up_the_control_loop(tmp_path: Path) -> None:
    pipe = tmp_path / "f.mcap"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        recorder = FlightRecorder(pipe, {})
        fill(recorder, 60)  # more than a pipe holds: from here on the writer is blocked in a write
        message, waited = noise(0), waits()
        for number in range(3 * module.QUEUE_LENGTH):
            recorder.add("x", message, number)
        assert waits() - waited < 0.1 * module.QUEUE_LENGTH  # one wait per record would be more
        assert recorder.dropped > module.QUEUE_LENGTH
        recorder.close()  # returns, although the writer never will
        assert recorder._thread.is_alive()
    finally:
        os.close(reader)  # the writer gets a broken pipe and ends


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
    assert recorder.close(PATIENCE)
    assert "File too large" in recorder.error
    kept = [r.log_time for _, r in records(tmp_path / "f.mcap") if isinstance(r, Message)]
    assert kept == list(range(len(kept)))
    assert len(kept) > 20
    assert recorder.dropped == 201 - len(kept)
    assert recorder.written == (tmp_path / "f.mcap").stat().st_size  # no partial record at its end


def test_the_newest_flight_is_kept_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 20_000)
    path, limit, most = tmp_path / "f.mcap", 400_000, 0
    (tmp_path / "f-other.mcap").write_text("not ours")
    recorder = FlightRecorder(path, NAMES, limit=limit)
    for number in range(300):
        recorder.add("x", noise(number), number)
        until(lambda: recorder._queue.empty())
        most = max(most, sum(part.stat().st_size for part in tmp_path.glob("f*.mcap") if part.exists()))
    assert recorder.close(PATIENCE)
    found = parts(path)
    assert 0.7 * limit < most < limit + 2 * module.CHUNK_SIZE
    assert len(found) >= 3 and found[-1] == path
    kept = [numbers(part) for part in found]  # each can be opened by itself
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
        assert recorder.close(PATIENCE)
    files = [tmp_path / name for name in ("f-0001.mcap", "f-0002.mcap", "f.mcap")]
    assert sorted(tmp_path.iterdir()) == files
    assert [numbers(file) for file in files] == [[0], [1], [2]]
    assert parts(path) == [path]  # each was a separate flight


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
    assert recorder.close(PATIENCE)
    assert "499 MB are free" in recorder.error and "record_reserve" in recorder.error
    kept = numbers(tmp_path / "f.mcap")
    assert kept == list(range(len(kept))) and len(kept) > 50
    assert recorder.dropped == 101 - len(kept) > 0


def test_uncaught_exception_leaves_a_complete_recording(tmp_path: Path) -> None:
    code = (
        "import time\nfrom pathlib import Path\nfrom std_msgs.msg import Float64\n"
        "from spillguard_ros.recording.recorder import FlightRecorder\n"
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
    assert recorder.close(PATIENCE)
    whole = (tmp_path / "f.mcap").read_bytes()
    assert values(tmp_path / "f.mcap") == 60
    counts = []
    for length in range(len(whole)):
        (tmp_path / "cut.mcap").write_bytes(whole[:length])
        counts.append(values(tmp_path / "cut.mcap"))
    assert counts == sorted(counts)
    assert counts[0] == 0 and counts[-1] == 60
    assert len(set(counts)) > 5  # one chunk after the other


def test_a_message_is_recorded_as_it_came(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path / "f.mcap", NAMES)
    data = serialize_message(Float64(data=3.0))
    recorder.add("x", Serialized(Float64, data), 1)
    recorder.add("x", Float64(data=3.0), 2)
    assert recorder.close(PATIENCE)
    kept = [r.data for _, r in records(tmp_path / "f.mcap") if isinstance(r, Message)]
    assert kept == [data, data]


def test_folder_of_the_recording_is_made(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path / "a" / "b" / "f.mcap", NAMES)
    recorder.add("x", Float64(data=1.0), 1)
    assert recorder.close(PATIENCE)
    assert values(tmp_path / "a" / "b" / "f.mcap") == 1


def figures(stage: Stage) -> dict[str, str]:
    """Newest status of the monitor."""
    return status_values(stage.witness.heard.status[-1].status[0])


def test_arm_keeps_moving_when_the_disk_is_full(make_stage: MakeStage, tmp_path: Path) -> None:
    path, limit = tmp_path / "f.mcap", 100_000
    with make_stage("sim_arm", "policy") as stage:
        stage.start("safety_monitor", record=path, record_limit=1)
        stage.drive()
        stage.until(lambda: len(parts(path)) > 1, PATIENCE, "a second part of the recording")
        assert figures(stage)["recorder"] == "on"
        resource.prlimit(stage.graph.pid("safety_monitor"), resource.RLIMIT_FSIZE, (limit, limit))
        stage.until(
            lambda: "File too large" in figures(stage)["recorder"], PATIENCE, "the end of the recording"
        )
        heard = stage.witness.heard
        before = int(stage.news()["recorder_dropped"])
        stage.goes_on()
        stage.until(lambda: stage.witness.travel() > 0.01, PATIENCE, "motion without a recording")
        gone = lambda: int(figures(stage)["recorder_dropped"]) > before + 100  # noqa: E731
        stage.until(gone, PATIENCE, "a count of what is not recorded any more")
        heard.diagnostics.clear()
        stage.until(lambda: bool(heard.diagnostics), PATIENCE, "diagnostics")
        (told,) = [s for s in heard.diagnostics[-1].status if s.name == "safety_monitor: recorder"]
        assert told.level == DiagnosticStatus.ERROR and "File too large" in told.message
        size = sum(part.stat().st_size for part in parts(path))
        assert float(figures(stage)["recorder_written [MB]"]) == pytest.approx(1e-6 * size, abs=1e-3)
        stage.witness.bring_to_rest()
    cycles = [cycle.decision.cycle for cycle in read_flight(*parts(path)).cycles]
    assert len(cycles) > 100 and cycles == list(range(1, len(cycles) + 1))
