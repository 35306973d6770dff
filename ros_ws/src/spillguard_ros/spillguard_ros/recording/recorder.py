"""Flight recorder: MCAP files written by a separate thread behind a bounded queue.

The control loop never waits for the disk. Records that do not fit into the queue are dropped and counted.

A flight recorder is read after something went wrong, so the newest data is what to keep: a recording that
simply ended at its limit would miss the event. FILE is therefore always the newest part. When it has grown to
a share of the limit it is closed with its index and renamed FILE-0001, FILE-0002, and so on, and the oldest
parts of this flight are deleted. Each part can be opened by itself. Small parts also bound the index, which
stays in memory while a part grows.

Nothing else is ever deleted or overwritten. A FILE that exists at the start, from the flight before a crash
or from any other source, gets the next number and stays until a person deletes it. Two recorders never share
a FILE.
"""

import atexit
import fcntl
import itertools
import logging
import math
import os
import queue
import shutil
import stat
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from mcap.writer import CompressionType, Writer
from rclpy.serialization import serialize_message

from spillguard_ros.node.intake import Serialized
from spillguard_ros.recording import flight
from spillguard_ros.recording.definitions import definition
from spillguard_ros.recording.mcap_files import CHECKSUM, FLIGHT, METADATA, checksum, numbered, part_number

QUEUE_LENGTH = 4000  # records; about five seconds of flight
GATHERED = 0.02  # [s] for which records gather: to wake up for each costs more than to write it
CHUNK_SIZE = 1 << 18  # [B]; most that is lost on a sudden death of the process
CLOSE_TIMEOUT = 0.5  # [s]
PART_SHARE = 0.25  # of the limit: at least the remaining share is kept when the oldest part is deleted
LARGEST_PART = 64_000_000  # [B]; ten minutes, whose index takes about a megabyte of memory


log = logging.getLogger(__name__)


def _claim(file: IO[bytes], path: Path) -> None:
    """Lock a file until it is closed; OSError if another recorder, in this process or another, holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(f"another recorder writes {path}; give each monitor a file of its own") from None
    except OSError:  # a file system without locks
        log.warning("%s cannot be locked: let nobody else record to it", path)


Identity = tuple[int, ...]


def _identity(path: Path) -> Identity | None:
    """Identifies a file, to detect whether it was replaced; None if it does not exist."""
    try:
        seen = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_size


class _Stream:
    """A file that takes each write completely or not at all: a full disk leaves no partial record."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)  # existing content is never truncated
        try:
            _claim(self._file, path)
            opened = os.fstat(self._file.fileno())
            if stat.S_ISREG(opened.st_mode) and opened.st_size:
                raise OSError(f"somebody else has just written {path}")
        except OSError:
            self._file.close()
            raise
        self._inode = opened.st_dev, opened.st_ino
        self.position = 0

    @property
    def identity(self) -> Identity:
        """`_identity` of the file as it was left."""
        return *self._inode, self.position

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.position)
            raise
        self.position += len(data)

    def tell(self) -> int:
        return self.position

    def close(self) -> None:
        self._file.close()


def _serialized(record: Any) -> Serialized:
    if isinstance(record, Serialized):
        return record
    cycle = isinstance(record, flight.CycleRecord)
    return Serialized(type(record), flight.encode(record) if cycle else serialize_message(record))


class FlightRecorder:
    """Writes ROS messages and control cycles until it is closed.

    `limit` [B] bounds all parts of this flight together, plus one chunk and an index; `reserve` [B] is left
    free on the disk, and a recording that would use it ends, complete and readable. OSError if it cannot
    start.
    """

    def __init__(
        self, path: Path, metadata: dict[str, str], limit: float = math.inf, reserve: float = 0.0
    ) -> None:
        self.error = ""  # why the recording has ended before it was closed
        self._path, self._limit, self._reserve = path, limit, reserve
        own = {**metadata, FLIGHT: uuid.uuid4().hex}
        self._metadata = {**own, CHECKSUM: checksum(own)}
        self._largest_part = min(PART_SHARE * limit, LARGEST_PART)
        self._refused = 0  # by a full queue; counted by the control loop
        self._lost = 0  # after the end, or in a chunk that could not be written; counted by the writer
        self._pending = 0  # records in a chunk that is not yet in the file
        self._shelved = 0  # [B] written to completed parts
        self._older: list[tuple[Path, Identity]] = []  # parts of this flight, oldest first
        self._queue: queue.SimpleQueue[tuple[str, Any, int] | None] = queue.SimpleQueue()
        self._schema = flight.schema(metadata)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._make_room(0)
            self._shelve()
            self._open_part()
        except OSError as error:
            raise OSError(f"cannot record to {path}: {error}") from error
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # an uncaught exception is exactly what the recording is needed for

    @property
    def dropped(self) -> int:
        """Records that are not, and will not be, in the file."""
        return self._refused + self._lost

    @property
    def written(self) -> int:
        """[B] written to disk since the start, including parts already deleted."""
        return self._shelved + self._stream.position

    def add(self, topic: str, record: Any, time_ns: int) -> None:
        """Queue a ROS message, serialized or not, or a `flight.CycleRecord`. Never blocks. For one thread."""
        if self._queue.qsize() < QUEUE_LENGTH:
            self._queue.put((topic, record, time_ns))
        else:
            self._refused += 1

    def close(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Write what is queued, within a short time [s]; returns whether it was enough."""
        atexit.unregister(self.close)
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _write(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                self._write_one(*item)
                if self._queue.empty():
                    time.sleep(GATHERED)
            self._close_part()
        except Exception as error:  # no error here may reach the control loop
            self.error = f"{type(error).__name__}: {error}"
            log.error("recording ended: %s", self.error)
            self._lost += self._pending
            with suppress(OSError):
                self._stream.close()
            while self._queue.get() is not None:
                self._lost += 1

    def _write_one(self, topic: str, record: Any, time_ns: int) -> None:
        self._pending += 1
        kind, data = _serialized(record)
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._open_channel(topic, kind)
        before = self._stream.position
        self._writer.add_message(channel, log_time=time_ns, data=data, publish_time=time_ns)
        if self._stream.position > before:  # the chunk was full and is now in the file
            self._pending = 0
            self._keep_limits()

    def _keep_limits(self) -> None:
        try:
            self._make_room(self._stream.position)
        except OSError:
            self._close_part()
            raise
        if self._stream.position >= self._largest_part:
            self._close_part()
            self._shelved += self._stream.position
            place = self._shelve()
            if place is not None and _identity(place) == self._stream.identity:
                self._older.append((place, self._stream.identity))
            self._open_part()

    def _open_part(self) -> None:
        self._channels: dict[str, int] = {}
        self._stream = _Stream(self._path)
        self._writer = Writer(self._stream, chunk_size=CHUNK_SIZE, compression=CompressionType.ZSTD)  # type: ignore[arg-type]
        self._writer.start(profile="ros2", library="spillguard")
        self._writer.add_metadata(METADATA, self._metadata)

    def _close_part(self) -> None:
        before = self._stream.position
        try:
            self._writer.finish()
        finally:
            if self._stream.position > before:  # the last chunk is written first, the index after it
                self._pending = 0
        self._stream.close()

    def _shelve(self) -> Path | None:
        """Rename an existing FILE to the next number, unless another recorder writes it; return its path."""
        if not (self._path.is_file() and self._path.stat().st_size):
            return None
        with self._path.open("rb") as file:
            _claim(file, self._path)
            place = self._reserve_number()
            self._path.replace(place)
        return place

    def _reserve_number(self) -> Path:
        """Create an empty file with the first number above all existing ones, which reserves that number."""
        last = max((part_number(self._path, part) for part in numbered(self._path)), default=0)
        for number in itertools.count(last + 1):
            place = self._path.with_name(f"{self._path.stem}-{number:04d}{self._path.suffix}")
            with suppress(FileExistsError):
                place.touch(exist_ok=False)
                return place
        raise AssertionError("counting never ends")

    def _make_room(self, newest: int) -> None:
        """Delete the oldest parts of this flight that exceed the limit together with the `newest` bytes.

        OSError, with nothing deleted, if even deleting all of them would not keep the reserve free.
        """
        self._older = [(part, known) for part, known in self._older if _identity(part) == known]
        sizes = [known[-1] for _, known in self._older]
        free = shutil.disk_usage(self._path.parent).free
        if not free + sum(sizes) >= self._reserve:
            raise OSError(self._full(free))
        while sizes and not (newest + sum(sizes) <= self._limit and free >= self._reserve):
            self._older.pop(0)[0].unlink(missing_ok=True)
            free += sizes.pop(0)

    def _full(self, free: float) -> str:
        own = {part for part, _ in self._older}
        sizes = [known[-1] for part in numbered(self._path) if part not in own and (known := _identity(part))]
        others = f" ({1e-6 * sum(sizes):.0f} MB are in files of earlier flights, which stay)" if sizes else ""
        return (
            f"{1e-6 * free:.0f} MB are free on the disk of {self._path}, {1e-6 * self._reserve:.0f} MB have "
            f"to stay free: free some{others}, lower record_reserve or record elsewhere"
        )

    def _open_channel(self, topic: str, kind: type) -> int:
        if issubclass(kind, flight.CycleRecord):
            schema = self._writer.register_schema("spillguard/Cycle", "jsonschema", self._schema.encode())
            return self._writer.register_channel(topic, "json", schema)
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        schema = self._writer.register_schema(name, "ros2msg", definition(kind).encode())
        return self._writer.register_channel(topic, "cdr", schema)
