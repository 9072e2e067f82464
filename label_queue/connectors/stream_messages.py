"""One message of a stream: what a line of a file may say, or why it says nothing to us."""

from __future__ import annotations

import hashlib

from label_queue.connector_config import StreamSection
from label_queue.connectors.jsonl_lines import read_line, unreadable_line
from label_queue.connectors.port import Annotation, Deletion, Unreadable
from protocol.errors import MissingError
from protocol.files import is_file

MAX_MESSAGE_BYTES = 64 * 1024
"""Bytes of a message, at most: as of a label that comes over HTTP."""
WHOLE = ""
"""The one part of a stream that has no partitions."""


def read_message(
    raw: bytes | None, place: str, part: str = WHOLE
) -> Annotation | Deletion | Unreadable:
    """Return what a message says. Of one that cannot be read, the fault is named.

    Args:
        raw: Its content; None for a message that has none.
        place: Where it stands, e.g. "labels/0@17"; told with what is at fault.
        part: As `Annotation.part`.
    """
    if raw is None:
        return refused(b"", "", f"the message at {place} is empty: want a JSON object", part)
    if len(raw) > MAX_MESSAGE_BYTES:
        message = f"the message at {place} is over {MAX_MESSAGE_BYTES} bytes: shorten it"
        return refused(raw, "", message, part)
    return read_line(raw, part)


def refused(raw: bytes, field: str, message: str, part: str = WHOLE) -> Unreadable:
    """Return a message that is not read any further, known by its digest."""
    digest = hashlib.sha256(raw).hexdigest()
    return unreadable_line(raw[:MAX_MESSAGE_BYTES], digest, field, message, part)


def gap(place: str, count: int) -> Unreadable:
    """Return what stands for messages that were deleted before they were read.

    Args:
        place: The place after which they stood.
        count: How many they were, at most.
    """
    message = (
        f"up to {count} messages after {place} were deleted before they were read: have the broker "
        "keep messages for longer"
    )
    return unreadable_line(b"", hashlib.sha256(message.encode()).hexdigest(), "", message)


def check_tls_files(config: StreamSection) -> None:
    """Raise MissingError for the first file of TLS's that is not there.

    InputError and ResourceError are raised as by `protocol.files.reading`.
    """
    for setting, path in config.tls_paths.items():
        key = f"labels.connectors ({config.name}): {setting}"
        if not is_file(path, key, "name the file that the broker's keeper gave you"):
            raise MissingError(f"{key}: no file {path}")
