"""Flight recorder: an MCAP file written by a thread of its own behind a bounded queue.

The control loop never waits for the disk. What does not fit into the queue is dropped and counted.
"""

import importlib
import logging
import queue
import threading
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer
from rclpy.serialization import serialize_message

from spillguard_ros import flight

QUEUE_LENGTH = 4000  # records; about five seconds of flight
CHUNK_SIZE = 1 << 18  # [B]; what a sudden death may cost
CLOSE_TIMEOUT = 0.5  # [s]

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


class FlightRecorder:
    """Writes ROS messages and control cycles until it is closed."""

    def __init__(self, path: Path, metadata: dict[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.dropped = 0
        self.error = ""
        self._queue: queue.Queue[tuple[str, Any, int] | None] = queue.Queue(QUEUE_LENGTH)
        self._channels: dict[str, int] = {}
        self._stream = path.open("wb")
        self._writer = Writer(self._stream, chunk_size=CHUNK_SIZE, compression=CompressionType.ZSTD)
        self._writer.start(profile="ros2", library="spillguard")
        self._writer.add_metadata("spillguard", metadata)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def add(self, topic: str, record: Any, time_ns: int) -> None:
        """Queue a ROS message or a `flight.Cycle`. Never waits."""
        try:
            self._queue.put_nowait((topic, record, time_ns))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, as far as a short time allows."""
        try:
            self._queue.put(None, timeout=CLOSE_TIMEOUT)
        except queue.Full:
            return
        self._thread.join(CLOSE_TIMEOUT)

    def _write(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                self._write_one(*item)
            self._writer.finish()
            self._stream.close()
        except Exception as error:  # whatever goes wrong here must not reach the control loop
            self.error = f"{type(error).__name__}: {error}"
            log.error("recording ended: %s", self.error)
            while self._queue.get() is not None:
                self.dropped += 1

    def _write_one(self, topic: str, record: Any, time_ns: int) -> None:
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._open_channel(topic, type(record))
        data = flight.encode(record) if isinstance(record, flight.Cycle) else serialize_message(record)
        self._writer.add_message(channel, log_time=time_ns, data=data, publish_time=time_ns)

    def _open_channel(self, topic: str, kind: type) -> int:
        if issubclass(kind, flight.Cycle):
            schema = self._writer.register_schema("spillguard/Cycle", "jsonschema", flight.SCHEMA.encode())
            return self._writer.register_channel(topic, "json", schema)
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        schema = self._writer.register_schema(name, "ros2msg", definition(kind).encode())
        return self._writer.register_channel(topic, "cdr", schema)
