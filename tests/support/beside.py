"""What a ledger holds, read beside the process or thread that writes it.

A ledger's own connection belongs to its queue, whose thread may be writing at any moment.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from label_queue.ledger.records import R
from label_queue.ledger.sql import SqlLedger
from protocol.labels import LabelEvent


def written(path: Path, kind: type[R]) -> list[R]:
    """Return all records of one type, as appended."""
    with closing(SqlLedger.open_to_read(path)) as reader:
        return reader.read(kind)


def events_written(path: Path) -> list[LabelEvent]:
    """Return all label events by `seq`."""
    with closing(SqlLedger.open_to_read(path)) as reader:
        return reader.events()
