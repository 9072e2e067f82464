"""Segments: the files that hold what crossed a process, in the MCAP format (https://mcap.dev).

A message is a chunk of its own, compressed, with a checksum of its bytes. The file that is being
written ends in `.live`: whoever is killed leaves at most a torn tail, and a machine that loses its
power a tail of zeros, which its disk had not filled yet; reading stops before either. A sealed file
has MCAP's closing records, with a checksum over all before them; no tail of it may be missing. Any
tool that reads MCAP reads both, `mcap recover` included.
"""

from __future__ import annotations

import itertools
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, DataEnd, McapRecord, Message, Schema
from mcap.stream_reader import MAGIC_SIZE, breakup_chunk
from mcap.writer import MCAP0_MAGIC, IndexType, Writer
from zstandard import ZstdError

from protocol.errors import BundleCorrupt
from protocol.files import flush, reading

SEALED = ".mcap"
LIVE = ".live"
"""Added to the name of a segment that is still being written."""
PROFILE = "andon"
NANOSECONDS = 1_000_000_000

_HEAD = struct.Struct("<BQ")
"""Before each record of MCAP: what it is, and how many bytes follow."""
_CHUNK_HEAD = struct.Struct("<QQQII")
"""A chunk's times, size and checksum, and the length of its compression's name."""
_LONGEST_NAME = 16
"""Letters that the name of a compression has at most; those of MCAP have four."""
_CHECKSUM_BYTES = 4
_LONGEST_OTHER = 256
"""Bytes of a record that is no chunk: the file's header, and the end of its data."""
_UNREADABLE = (McapError, ValueError, struct.error, ZstdError, IndexError, MemoryError)
"""What the library raises of bytes that are not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One message as it lies in a segment."""

    topic: str
    version: int
    """Version of the message's schema."""
    schema: bytes
    """JSON schema of the content."""
    sequence: int
    """Number of the call it belongs to."""
    at: float
    """When it was recorded, Unix seconds."""
    content: bytes
    """JSON."""
    place: str
    """File, frame and byte, for errors."""


class SegmentWriter:
    """Writes one segment, each message handed to the system before the next is taken.

    Args:
        path: Of the sealed segment; its live file must not be there yet.

    Raises:
        OSError: The disk refuses; so does every method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._live = path.with_name(path.name + LIVE)
        self._file: BinaryIO = self._live.open("xb")
        self._writer = Writer(self._file, index_types=IndexType.CHUNK, enable_data_crcs=True)
        self._writer.start(profile=PROFILE)
        self._channels: dict[str, int] = {}

    @property
    def num_bytes(self) -> int:
        """How many bytes were written so far."""
        return self._file.tell()

    def add(
        self, topic: str, version: int, schema: bytes, *, sequence: int, at: float, content: bytes
    ) -> None:
        """Append one message, JSON by the JSON schema of its topic."""
        if topic not in self._channels:
            schema_id = self._writer.register_schema(topic, "jsonschema", schema)
            metadata = {"version": str(version)}
            channel = self._writer.register_channel(topic, "json", schema_id, metadata)
            self._channels[topic] = channel
        moment = round(at * NANOSECONDS)
        self._writer.add_message(self._channels[topic], moment, content, moment, sequence)
        self._writer.flush()

    def seal(self) -> None:
        """Write the closing records and take the mark of a live file off."""
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._live.rename(self._path)
        flush(self._path.parent)


def read_segment(path: Path) -> Iterator[StoredMessage]:
    """Give the messages of a segment, as they were written.

    Of a live segment a torn tail is left.

    Raises:
        BundleCorrupt: A frame is not what was written; it is named.
        MissingError: There is no such file.
        ResourceError: It may not be read.
    """
    is_live = path.name.endswith(LIVE)
    topics: dict[int, tuple[Channel, Schema]] = {}
    schemas: dict[int, Schema] = {}
    with reading(path, "recording", "name a recorded run"), path.open("rb") as file:
        for place, records in _frames(path, file, is_live=is_live):
            for record in records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    topics[record.id] = record, schemas[record.schema_id]
                elif isinstance(record, Message):
                    yield _stored(*topics[record.channel_id], record, place)


def _stored(channel: Channel, schema: Schema, message: Message, place: str) -> StoredMessage:
    return StoredMessage(
        topic=channel.topic,
        version=int(channel.metadata["version"]),
        schema=schema.data,
        sequence=message.sequence,
        at=message.log_time / NANOSECONDS,
        content=message.data,
        place=place,
    )


def _frames(path: Path, file: BinaryIO, *, is_live: bool) -> Iterator[tuple[str, list[McapRecord]]]:
    """Give where each chunk lies and what it holds, up to the data's end or a tail, see above."""
    try:
        yield from _whole_frames(path, file, is_live=is_live)
    except BundleCorrupt:
        if not (is_live and _ends_in_zeros(file)):
            raise


def _ends_in_zeros(file: BinaryIO) -> bool:
    """Whether there is nothing else from the last byte on that was read."""
    file.seek(-1, os.SEEK_CUR)
    return not file.read().strip(b"\0")


def _whole_frames(
    path: Path, file: BinaryIO, *, is_live: bool
) -> Iterator[tuple[str, list[McapRecord]]]:
    """Give the same, up to the data's end or a torn tail."""
    magic = file.read(MAGIC_SIZE)
    if is_live and len(magic) < MAGIC_SIZE and MCAP0_MAGIC.startswith(magic):
        return
    if magic != MCAP0_MAGIC:
        raise BundleCorrupt(f"{path} is no MCAP file: it begins with {magic!r}")
    digest = zlib.crc32(magic)
    for number in itertools.count():
        place = f"{path}, frame {number} at byte {file.tell()}"
        head = file.read(_HEAD.size)
        opcode, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (None, 0)
        content = b"" if opcode is None else _read(file, length)
        if opcode is None or len(content) < length:
            if is_live and _is_torn(opcode, length, content):
                return
            raise BundleCorrupt(f"{place} is corrupt: it is cut off, or its length was changed")
        if opcode == Opcode.DATA_END:
            _check_seal(content, digest, place)
            return
        digest = zlib.crc32(content, zlib.crc32(head, digest))
        if opcode == Opcode.CHUNK:
            yield place, _records(content, place)
        elif opcode != Opcode.HEADER or number:
            raise BundleCorrupt(f"{place} is corrupt: nothing of kind {opcode} belongs there")


def _read(file: BinaryIO, length: int) -> bytes:
    """Return so many bytes, or those that are left: of a damaged length there may be few."""
    left = os.fstat(file.fileno()).st_size - file.tell()
    return file.read(min(length, left))


def _is_torn(opcode: int | None, length: int, content: bytes) -> bool:
    """Whether the last bytes of a live file are the beginning of a record that was written.

    A chunk says its length twice; where the two differ it was damaged, not torn.
    """
    if opcode is None or opcode in (Opcode.HEADER, Opcode.DATA_END):
        return length <= _LONGEST_OTHER
    if opcode != Opcode.CHUNK:
        return False
    if len(content) < _CHUNK_HEAD.size:
        return True
    *_, named = _CHUNK_HEAD.unpack(content[: _CHUNK_HEAD.size])
    if named > _LONGEST_NAME:
        return False
    start = _CHUNK_HEAD.size + named
    size = content[start : start + 8]
    return len(size) < 8 or length == start + 8 + int.from_bytes(size, "little")


def _records(content: bytes, place: str) -> list[McapRecord]:
    try:
        chunk = Chunk.read(ReadDataStream(BytesIO(content)))
        return breakup_chunk(chunk, validate_crc=True)
    except _UNREADABLE as error:
        raise BundleCorrupt(f"{place} is corrupt: {error}") from error


def _check_seal(content: bytes, digest: int, place: str) -> None:
    """Compare the checksum of all that came before with the one that closes the data."""
    try:
        end = DataEnd.read(ReadDataStream(BytesIO(content)))
    except _UNREADABLE as error:
        raise BundleCorrupt(f"{place} is corrupt: {error}") from error
    if end.data_section_crc != digest or len(content) != _CHECKSUM_BYTES:
        raise BundleCorrupt(f"{place}: a byte before it was changed, as its checksum says")
