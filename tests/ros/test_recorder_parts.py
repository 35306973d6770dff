"""What the recorder may delete: parts it wrote itself in this flight, and only if that frees enough space."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from std_msgs.msg import Float64

from spillguard_ros.recording import mcap_files
from spillguard_ros.recording import recorder as module
from spillguard_ros.recording.mcap_files import parts
from spillguard_ros.recording.recorder import FlightRecorder
from tests.ros.harness import PATIENCE
from tests.ros.recordings import NAMES, fill, numbers, until


def finish(recorder: FlightRecorder) -> None:
    """Close it, and wait as long as the disk takes."""
    assert recorder.close(PATIENCE)
    recorder._thread.join()


FOREIGN = (
    "f-1.mcap",
    "f-0007.mcap",
    "f-2026.mcap",
    "f-20261127.mcap",
    "f-000001.mcap",
    "f-٠٠٠١.mcap",
    "g-0001.mcap",
)


def lay(folder: Path, *names: str) -> dict[str, bytes]:
    """Create files that the recorder did not write in this flight."""
    for name in names:
        (folder / name).write_bytes(name.encode() * 1000)
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("limit", [100_000.0, 400_000.0])
def test_nothing_but_the_own_parts_of_this_flight_is_ever_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 20_000)
    before = lay(tmp_path, *FOREIGN)
    path = tmp_path / "f.mcap"
    recorder = FlightRecorder(path, NAMES)  # an earlier flight
    fill(recorder, 40)
    finish(recorder)
    before["f-2027.mcap"] = path.read_bytes()
    recorder = FlightRecorder(path, NAMES, limit=limit)
    fill(recorder, 150)
    finish(recorder)
    assert not recorder.error
    own = parts(path)
    assert len(own) >= 3 and sum(part.stat().st_size for part in own) < 1.5 * limit
    assert numbers(own[0])[0] > 0  # its oldest parts were deleted
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_part_that_somebody_put_in_place_of_an_own_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_SIZE", 20_000)
    path, part = tmp_path / "f.mcap", tmp_path / "f-0001.mcap"
    recorder = FlightRecorder(path, NAMES, limit=400_000)
    fill(recorder, 40)
    until(lambda: part.exists() and recorder._queue.empty())
    part.unlink()
    part.write_text("a person's own")
    fill(recorder, 200, first=40)
    finish(recorder)
    assert not recorder.error and not (tmp_path / "f-0002.mcap").exists()
    assert part.read_text() == "a person's own"


def test_own_older_parts_make_room_where_that_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.mcap"
    at_start: list[Path] = []  # the parts when the disk became tight, and when it became full
    at_end: list[Path] = []

    def disk_usage(_: Path) -> SimpleNamespace:
        """Asked by the writer, before it deletes anything: meanwhile nothing is."""
        now = parts(path)
        if len(now) < 4 and not at_start:
            return SimpleNamespace(free=10_000_000_000)
        at_start[:] = at_start or now
        if at_start[0].exists():  # one more part, and there is enough space
            return SimpleNamespace(free=1_000_000 - at_start[0].stat().st_size // 2)
        at_end[:] = at_end or now
        return SimpleNamespace(free=100_000)  # all parts together would not be enough

    monkeypatch.setattr(module, "CHUNK_SIZE", 20_000)
    monkeypatch.setattr(module.shutil, "disk_usage", disk_usage)
    recorder = FlightRecorder(path, NAMES, limit=800_000, reserve=1_000_000)
    fill(recorder, 200)
    until(lambda: bool(recorder.error))
    finish(recorder)
    assert "lower record_reserve" in recorder.error
    assert len(at_start) == 4 and at_start[1:] == at_end[:3]  # the oldest alone was deleted
    assert set(at_end) <= {*parts(path)}  # and then none in vain


def test_a_reserve_above_the_free_space_deletes_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lay(tmp_path, "f-0001.mcap", "f-0002.mcap", "f.mcap")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=9_500_000))
    with pytest.raises(
        OSError, match=r"cannot record to .* 9 MB|10 MB are free.*earlier flights, which stay"
    ):
        FlightRecorder(tmp_path / "f.mcap", NAMES, reserve=10_000_000)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_two_recorders_never_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f.mcap"
    first = FlightRecorder(path, NAMES)
    with pytest.raises(OSError, match="another recorder writes"):
        FlightRecorder(path, NAMES)
    first.add("x", Float64(data=0.0), 1)
    finish(first)
    assert list(tmp_path.iterdir()) == [path] and numbers(path) == [1]
    second = FlightRecorder(path, NAMES)  # the first is closed: this is the next flight
    finish(second)
    assert numbers(tmp_path / "f-0001.mcap") == [1]


@pytest.mark.parametrize("where", ["/sys/f.mcap", "{tmp}/file/f.mcap", "{tmp}"])
def test_a_folder_that_takes_no_file_is_refused_by_name(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("no folder")
    path = Path(where.format(tmp=tmp_path))
    with pytest.raises(OSError, match=f"cannot record to {path}: "):
        FlightRecorder(path, NAMES)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_parts_that_are_renamed_or_deleted_while_they_are_listed_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a recorder does when it goes on to its next part."""
    path = tmp_path / "f.mcap"
    recorder = FlightRecorder(path, NAMES)
    recorder.add("q_c", Float64(data=1.0), 1)
    assert recorder.close(PATIENCE)
    monkeypatch.setattr(mcap_files, "numbered", lambda newest: [tmp_path / "f-0001.mcap"])  # deleted since
    assert parts(path) == [path]
    path.unlink()
    answers = iter([True, False])
    monkeypatch.setattr(Path, "exists", lambda self: next(answers))  # renamed since
    assert parts(path) == []
