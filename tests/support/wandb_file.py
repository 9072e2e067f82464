"""Read back what wandb wrote offline: its `.wandb` file is a LevelDB log of protobuf records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

FILE_HEADER_BYTES = 7
RECORD_HEADER_BYTES = 7
BLOCK_BYTES = 32 * 1024
FULL, LAST = 1, 4


def read_records(path: Path) -> list[Any]:
    """Return every record of the file, parsed."""
    return [
        wandb_internal_pb2.Record.FromString(payload) for payload in _payloads(path.read_bytes())
    ]


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the rows given to `run.log`, without wandb's own columns."""
    rows = []
    for record in read_records(path):
        if record.WhichOneof("record_type") == "history":
            row = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            rows.append({key: value for key, value in row.items() if not key.startswith("_")})
    return rows


def _payloads(content: bytes) -> Iterator[bytes]:
    at, payload = FILE_HEADER_BYTES, b""
    while at + RECORD_HEADER_BYTES <= len(content):
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < RECORD_HEADER_BYTES:
            at += left
            continue
        length = int.from_bytes(content[at + 4 : at + 6], "little")
        kind = content[at + 6]
        at += RECORD_HEADER_BYTES
        payload += content[at : at + length]
        at += length
        if kind in (FULL, LAST):
            yield payload
            payload = b""
