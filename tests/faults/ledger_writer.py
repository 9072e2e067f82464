"""A process that writes labels and acknowledges each on its standard output, until it is killed.

Run as `python -m tests.faults.ledger_writer PLACE`, a path or a URL, with a plan of faults in its
environment: beside the ledger's points it passes "written" after each acknowledgement.
"""

from __future__ import annotations

import asyncio
import os
import sys

from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace, place_of
from protocol.fault_points import reach
from protocol.labels import LabelEvent
from tests.support.labels import make_event, make_query

NUM_WRITERS = 4
LABELS_PER_WRITER = 200


async def write_labels(commits: GroupCommit, writer: int) -> None:
    for number in range(LABELS_PER_WRITER):
        label = make_event(make_query(number), f"labeler-{writer}")
        [stored] = await commits.write([label])
        assert isinstance(stored, LabelEvent)
        os.write(1, f"{stored.event_id} {stored.seq}\n".encode())
        reach("written")


async def main(place: LedgerPlace) -> None:
    commits = GroupCommit(SqlLedger.open(place, "run-1"), lambda record: None)
    await asyncio.gather(*(write_labels(commits, i) for i in range(NUM_WRITERS)))
    await commits.close()


if __name__ == "__main__":
    asyncio.run(main(place_of(sys.argv[1], "PLACE")))
