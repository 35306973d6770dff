"""MCAP files of flights: which files belong together, and recovery of intact records from damaged files."""

import json
import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import zstandard
from mcap import records as mcap_records
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Footer, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import breakup_chunk
from mcap_ros2.decoder import DecoderFactory

METADATA = "spillguard"  # name of the metadata record that identifies the flight
FLIGHT, CHECKSUM = "flight", "checksum"  # its entries written by the recorder itself
LOST = "(lost)"  # used instead of a topic
MAGIC = b"\x89MCAP0\r\n"
LARGEST_CHUNK = 1 << 28  # [B] unpacked; ours are a thousand times smaller
MOST_DIGITS = 6  # of a part's number; eight digits are a date
# Start of our chunks and our metadata: opcode, lengths and times, name of the compression or of the record.
BEGINNINGS = re.compile(rb"\x06.{36}\x04\0\0\0zstd|\x0c.{8}\x0a\0\0\0spillguard", re.DOTALL)
LONGEST_BEGINNING, BLOCK = 64, 1 << 20  # [B]
READ: dict[int, Callable[[ReadDataStream], McapRecord]] = {
    Opcode[re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).upper()]: kind.read
    for kind in (
        mcap_records.Header, Footer, mcap_records.Schema, Channel, Chunk, mcap_records.MessageIndex,
        mcap_records.ChunkIndex, mcap_records.Statistics, Metadata, mcap_records.MetadataIndex,
        mcap_records.SummaryOffset, mcap_records.DataEnd,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Loss:
    """A stretch of a recording that could not be read."""

    file: Path
    offset: int  # [B] of its start
    size: int  # [B] without a readable record
    why: str
    cycles_before: int = 0  # cycles of the flight read before it


def part_number(path: Path, part: Path) -> int:
    """The number of a file as an older part of `path`, by its name: FILE-0001 is 1, FILE-1 and others 0.

    The name alone is no proof: see `parts`.
    """
    match = re.fullmatch(
        rf"{re.escape(path.stem)}-([0-9]{{4,{MOST_DIGITS}}}){re.escape(path.suffix)}", part.name
    )
    return int(match[1]) if match and match[1] == f"{int(match[1]):04d}" else 0


def numbered(path: Path) -> list[Path]:
    """Files named as older parts of `path`, of any flight, in order."""
    found = [part for part in path.parent.iterdir() if part_number(path, part)]
    return sorted(found, key=lambda part: part_number(path, part))


def parts(path: Path) -> list[Path]:
    """Files of the flight whose newest part is `path`, oldest first.

    Each names its flight in its metadata; files of older versions name none and count as one flight. While a
    recorder goes on to its next part there is no newest one for a moment, and no part is found.
    """
    if not path.exists():
        return []
    mine = flight_of(path)
    older = [part for part in numbered(path) if mine is not None and flight_of(part) == mine]
    return [*older, path] if path.exists() else []


def flight_of(path: Path) -> str | None:
    """The flight named in a file; "" for an older version, None if nothing readable names it or it's gone."""
    found = (record.metadata for _, record in records(path) if isinstance(record, Metadata))
    try:
        said = next(found, None)
    except FileNotFoundError:  # a recorder renames and deletes its parts meanwhile
        return None
    return None if said is None else said.get(FLIGHT, "")


def checksum(metadata: Mapping[str, str]) -> str:
    """Checksum of all entries but itself: outside a chunk the format has none."""
    rest = {name: value for name, value in metadata.items() if name != CHECKSUM}
    return f"{zlib.crc32(json.dumps(rest, sort_keys=True).encode()):08x}"


def _checked(record: McapRecord) -> list[McapRecord]:
    """The content of a record. Raises if it is not what was written."""
    if isinstance(record, Chunk):
        return _unpacked(record)
    if isinstance(record, Metadata) and record.name == METADATA:
        wanted = checksum(record.metadata)
        if record.metadata.get(CHECKSUM, wanted) != wanted:  # older versions wrote none
            raise ValueError("metadata differs from its checksum")
    return [record]


def _unpacked(chunk: Chunk) -> list[McapRecord]:
    size = chunk.uncompressed_size
    if not 0 < size <= LARGEST_CHUNK or not chunk.uncompressed_crc:
        raise ValueError(f"a chunk of {size} bytes with checksum {chunk.uncompressed_crc}")
    if chunk.compression == "zstd" and zstandard.get_frame_parameters(chunk.data).content_size != size:
        raise ValueError("a chunk says two sizes")
    return breakup_chunk(chunk, validate_crc=True)


def _read_at(file: IO[bytes], at: int, size: int) -> tuple[list[McapRecord], int]:
    """The record at `at`, unpacked if it is a chunk, and the offset of the next one.

    Damaged bytes make the decoders below raise all kinds of exceptions. A corrupted length is detected
    because every record must fill its length exactly.
    """
    file.seek(at)
    opcode, length = struct.unpack("<BQ", file.read(9))
    if length > size - at - 9:
        raise EOFError("a record longer than the file")
    stream = ReadDataStream(BytesIO(file.read(length)))
    record = READ[opcode](stream)
    if stream.count != length:
        raise ValueError("a record that does not fill its length")
    return _checked(record), at + 9 + length


def _next_beginning(file: IO[bytes], at: int) -> int | None:
    """Offset after `at` of the next bytes that look like a chunk or like our metadata."""
    while True:
        file.seek(at)
        block = file.read(BLOCK + LONGEST_BEGINNING)
        if found := BEGINNINGS.search(block):
            return at + found.start()
        if len(block) <= LONGEST_BEGINNING:
            return None
        at += len(block) - LONGEST_BEGINNING


def _scan(path: Path, file: IO[bytes], size: int) -> Iterator[McapRecord | Loss]:
    """All intact records in file order, with losses in between.

    Only records with a checksum are trusted: after damage the search restarts at the end of the last of
    these, because a record without one may have swallowed a whole chunk.
    """
    at, trusted, tried, lost, why, complete = 0, 0, -1, None, "", False
    while at < size:
        file.seek(at)
        if file.read(len(MAGIC)) == MAGIC:
            at += len(MAGIC)
            continue
        try:
            found, after = _read_at(file, at, size)
        except Exception as error:  # see `_read_at`
            if lost is None:
                lost, why, tried = at, str(error) or type(error).__name__, trusted - 1
            beginning = _next_beginning(file, tried + 1)
            at = tried = size if beginning is None else beginning
            continue
        if lost is not None:
            start = lost if at >= lost else trusted
            yield Loss(path, start, at - start, f"damaged ({why})")
        verified = lost is not None or len(found) > 1 or isinstance(found[0], Metadata)
        lost, complete, at = None, isinstance(found[-1], Footer), after
        trusted = after if verified else trusted
        yield from found
    if lost is not None or not complete:
        start = size if lost is None else lost
        why = "breaks off: cut, damaged, or its writer was killed or still writes"
        yield Loss(path, start, size - start, why)


def records(path: Path) -> Iterator[tuple[str, Message | Metadata | Loss]]:
    """Topic and record, in file order; our metadata has the topic "", a loss the topic `LOST`.

    Damaged data is skipped and reading continues behind it: every chunk has a checksum. The topic names are
    in the first chunk and at the end of a complete file: without the first, records whose topic name is not
    yet known come last. OSError only if the file cannot be opened.
    """
    topics: dict[int, str] = {}
    nameless: list[Message] = []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        for record in _scan(path, file, size):
            if isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Message) and record.channel_id in topics:
                yield topics[record.channel_id], record
            elif isinstance(record, Message):
                nameless.append(record)
            elif isinstance(record, Metadata) and record.name == METADATA:
                yield "", record
            elif isinstance(record, Loss):
                yield LOST, record
    yield from ((topics[record.channel_id], record) for record in nameless if record.channel_id in topics)
    lost = sum(record.channel_id not in topics for record in nameless)
    if lost:
        yield LOST, Loss(path, size, 0, f"{lost} records whose topic is lost")


def messages(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Topic, and log time [ns] with the ROS message, of these topics, in file order; losses as in `records`.

    Messages are read by the definitions in the file: no ROS is needed.
    """
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    factory = DecoderFactory()
    with path.open("rb") as file:
        for record in _scan(path, file, file.seek(0, 2)):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Loss):
                yield LOST, record
            elif isinstance(record, Message) and record.channel_id in channels:
                channel = channels[record.channel_id]
                if channel.topic not in wanted:
                    continue
                try:
                    decode = factory.decoder_for(channel.message_encoding, schemas.get(channel.schema_id))
                    found = None if decode is None else decode(record.data)
                except Exception as error:  # of a definition that does not fit its messages, all kinds
                    why = f"a message on {channel.topic} does not fit its definition ({type(error).__name__})"
                    yield LOST, Loss(path, 0, 0, why)
                    continue
                if found is not None:
                    yield channel.topic, (record.log_time, found)
