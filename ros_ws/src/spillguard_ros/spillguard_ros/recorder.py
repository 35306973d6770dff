"""Flight recorder: MCAP files written by a thread of its own behind a bounded queue.

The control loop never waits for the disk. What does not fit into the queue is dropped and counted.

A flight recorder is read after something went wrong, so the newest flight is the one to keep: a recording
that simply ended at its limit would miss what it was made for. FILE is therefore always the newest part. When
it has grown to a share of the limit it is closed with its index and renamed FILE-0001, FILE-0002, and so on,
and the oldest parts are deleted. A monitor that is started again after a crash does the same with the FILE it
finds. Each part opens by itself. Small parts also bound the index, which stays in memory while a part grows.
"""

import atexit
import importlib
import logging
import math
import queue
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer
from rclpy.serialization import serialize_message

from spillguard_ros import flight
from spillguard_ros.recording import part_number, parts

QUEUE_LENGTH = 4000  # records; about five seconds of flight
CHUNK_SIZE = 1 << 18  # [B]; what a sudden death may cost
CLOSE_TIMEOUT = 0.5  # [s]
PART_SHARE = 0.25  # of the limit: at least the rest of it is there after the oldest part was deleted
LARGEST_PART = 64_000_000  # [B]; ten minutes, whose index takes about a megabyte of memory

_SCALARS = {"double": "float64", "float": "float32", "octet": "byte", "boolean": "bool"}

log = logging.getLogger(__name__)


def _field_type(spelled: str) -> tuple[str, str]:
    """Type and array suffix of a definition line."""
    if spelled.startswith("sequence<"):
        return spelled[len("sequence<") :].rstrip(">").split(",")[0], "[]"
    base, bracket, rest = spelled.partition("[")
    return base, bracket + rest


def definition(message: Any) -> str:
    """A generated message class and all it is made of, as text that MCAP readers parse ("ros2msg")."""
    sections: dict[str, str] = {}
    pending: list[tuple[str, Any]] = [("", message)]
    while pending:
        name, cls = pending.pop()
        if name in sections:
            continue
        lines = []
        for field, spelled in cls.get_fields_and_field_types().items():
            base, suffix = _field_type(spelled)
            if "/" in base:
                pending.append((base, _message_class(base)))
            lines.append(f"{_SCALARS.get(base, base)}{suffix} {field}")
        sections[name] = "\n".join(lines) + "\n"
    first = sections.pop("")
    rule = "=" * 80
    return first + "".join(f"{rule}\nMSG: {name}\n{text}" for name, text in sections.items())


def _message_class(name: str) -> Any:
    package, _, kind = name.partition("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)


class _Stream:
    """A file that takes each write whole or not at all: a full disk leaves no half record behind."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.position = 0

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


class FlightRecorder:
    """Writes ROS messages and control cycles until it is closed.

    `limit` [B] bounds all parts together, but for a chunk and an index; `reserve` [B] is left free on the
    disk, and a recording that cannot leave it ends, complete and readable. OSError where it cannot begin.
    """

    def __init__(
        self, path: Path, metadata: dict[str, str], limit: float = math.inf, reserve: float = 0.0
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.error = ""  # why the recording has ended, while it should go on
        self._path, self._metadata, self._limit, self._reserve = path, metadata, limit, reserve
        self._largest_part = min(PART_SHARE * limit, LARGEST_PART)
        self._refused = 0  # by a full queue; counted by the control loop
        self._lost = 0  # after an end or in a chunk that could not be written; counted by the writer
        self._pending = 0  # records in a chunk that is not in the file yet
        self._shelved = 0  # [B] written to parts that are complete
        self._queue: queue.Queue[tuple[str, Any, int] | None] = queue.Queue(QUEUE_LENGTH)
        self._schema = flight.schema()
        self._shelve()
        self._make_room(0)
        self._open_part()
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # an uncaught exception is what the recording will be read for

    @property
    def dropped(self) -> int:
        """Records that are not and will not be in the file."""
        return self._refused + self._lost

    @property
    def written(self) -> int:
        """[B] that went to the disk since the start, in parts that are deleted by now as well."""
        return self._shelved + self._stream.position

    def add(self, topic: str, record: Any, time_ns: int) -> None:
        """Queue a ROS message or a `flight.Cycle`. Never waits."""
        try:
            self._queue.put_nowait((topic, record, time_ns))
        except queue.Full:
            self._refused += 1

    def close(self) -> None:
        """Write what is queued, as far as a short time allows."""
        atexit.unregister(self.close)
        with suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_TIMEOUT)
            self._thread.join(CLOSE_TIMEOUT)

    def _write(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                self._write_one(*item)
            self._close_part()
        except Exception as error:  # whatever goes wrong here must not reach the control loop
            self.error = f"{type(error).__name__}: {error}"
            log.error("recording ended: %s", self.error)
            self._lost += self._pending
            with suppress(OSError):
                self._stream.close()
            while self._queue.get() is not None:
                self._lost += 1

    def _write_one(self, topic: str, record: Any, time_ns: int) -> None:
        self._pending += 1
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._open_channel(topic, type(record))
        data = flight.encode(record) if isinstance(record, flight.Cycle) else serialize_message(record)
        before = self._stream.position
        self._writer.add_message(channel, log_time=time_ns, data=data, publish_time=time_ns)
        if self._stream.position > before:  # the chunk is full and in the file
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
            self._shelve()
            self._open_part()

    def _open_part(self) -> None:
        self._channels: dict[str, int] = {}
        self._stream = _Stream(self._path)
        self._writer = Writer(self._stream, chunk_size=CHUNK_SIZE, compression=CompressionType.ZSTD)  # type: ignore[arg-type]
        self._writer.start(profile="ros2", library="spillguard")
        self._writer.add_metadata("spillguard", self._metadata)

    def _close_part(self) -> None:
        before = self._stream.position
        try:
            self._writer.finish()
        finally:
            if self._stream.position > before:  # the last chunk comes first, the index after it
                self._pending = 0
        self._stream.close()

    def _shelve(self) -> None:
        """Give a FILE that is there the next number."""
        if self._path.is_file() and self._path.stat().st_size:
            last = max((part_number(self._path, part) for part in parts(self._path)), default=0)
            name = f"{self._path.stem}-{last + 1:04d}{self._path.suffix}"
            self._path.rename(self._path.with_name(name))

    def _make_room(self, newest: int) -> None:
        """Delete the oldest parts while they are too many beside the newest of so many bytes."""
        older = [part for part in parts(self._path) if part != self._path]
        total = newest + sum(part.stat().st_size for part in older)
        free = shutil.disk_usage(self._path.parent).free
        while older and not (total <= self._limit and free >= self._reserve):
            oldest = older.pop(0)
            size = oldest.stat().st_size
            oldest.unlink()
            total, free = total - size, free + size
        if not free >= self._reserve:
            raise OSError(
                f"{1e-6 * free:.0f} MB are free on the disk of {self._path}, {1e-6 * self._reserve:.0f} MB "
                "have to stay free: free some, lower record_reserve or record elsewhere"
            )

    def _open_channel(self, topic: str, kind: type) -> int:
        if issubclass(kind, flight.Cycle):
            schema = self._writer.register_schema("spillguard/Cycle", "jsonschema", self._schema.encode())
            return self._writer.register_channel(topic, "json", schema)
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        schema = self._writer.register_schema(name, "ros2msg", definition(kind).encode())
        return self._writer.register_channel(topic, "cdr", schema)
