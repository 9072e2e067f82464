"""A process that writes labels and acknowledges each on its standard output, until it is killed.

Run as `python -m tests.faults.ledger_writer PATH POINT COUNT`: at the COUNT-th time it reaches
POINT ("before_commit", "after_commit" or "after_acknowledge") it kills itself with SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, event

from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from protocol.labels import LabelEvent
from tests.support.labels import make_event, make_query

NUM_WRITERS = 4
LABELS_PER_WRITER = 200


class Fuse:
    """Ends the process at a named point, at the count-th time it comes by."""

    def __init__(self, point: str, count: int) -> None:
        self._point = point
        self._left = count

    def passing(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class FusedLedger(SqlLedger):
    """The real ledger with a fuse at both ends of its commit."""

    fuse: Fuse

    def write(self, records: Sequence[Record]) -> list[Record]:
        written = super().write(records)
        self.fuse.passing("after_commit")
        return written


async def write_labels(commits: GroupCommit, fuse: Fuse, writer: int) -> None:
    for number in range(LABELS_PER_WRITER):
        label = make_event(make_query(number), f"labeler-{writer}")
        [stored] = await commits.write([label])
        assert isinstance(stored, LabelEvent)
        os.write(1, f"{stored.event_id} {stored.seq}\n".encode())
        fuse.passing("after_acknowledge")


async def main(path: Path, fuse: Fuse) -> None:
    ledger = FusedLedger.open(path, "run-1")
    ledger.fuse = fuse

    @event.listens_for(ledger._connection, "commit")
    def before_commit(_: Connection) -> None:
        fuse.passing("before_commit")

    commits = GroupCommit(ledger, lambda record: None)
    await asyncio.gather(*(write_labels(commits, fuse, i) for i in range(NUM_WRITERS)))
    await commits.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Fuse(sys.argv[2], int(sys.argv[3]))))
