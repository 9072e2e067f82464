"""Disks as a power loss may leave them under the real ledger, and what must hold of each."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.sql import SqlLedger
from protocol.errors import InputError
from protocol.labels import LabelEvent
from tests.support.labels import make_event, make_query
from tests.support.ledger_history import check_history, check_retries, digest
from tests.support.recorded_disk import Operation, RecordedDisk, crash_after, recorded_disk

LEDGER = "ledger.sqlite"
NUM_WRITERS = 4
LONG_COMMENT = "π" * 20_000
"""So that a few hundred labels fill the write-ahead log, and SQLite moves it into the database."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What one life of a ledger asked of the disk."""

    operations: Sequence[Operation]
    attempted: dict[str, LabelEvent]
    """All that was written, by its id."""
    history: Sequence[LabelEvent]
    """As it was read in the end."""

    @property
    def num_sessions(self) -> int:
        """How often the log was taken into the database and removed."""
        return sum(each.kind == "delete" and each.name.endswith("-wal") for each in self.operations)


def record(
    folder: Path,
    num_labels: int,
    *,
    comment: str | None = None,
    weaken: Callable[[SqlLedger], None] = lambda _: None,
) -> Recording:
    """Write labels in two sessions through a group commit, on a recorded disk.

    `weaken` may take promises away from the ledger.
    """
    events = [
        make_event(make_query(number), f"labeler-{number % NUM_WRITERS}", comment=comment)
        for number in range(num_labels)
    ]
    path = folder / LEDGER
    half = num_labels // 2
    with recorded_disk() as disk:
        for part in (events[:half], events[half:]):
            ledger = SqlLedger.open(path, "run-1")
            weaken(ledger)
            asyncio.run(_write_all(ledger, part, disk))
    ledger = SqlLedger.open(path, "run-1")
    history = ledger.events()
    ledger.close()
    return Recording(disk.operations, {event.event_id: event for event in events}, history)


async def _write_all(ledger: SqlLedger, events: Sequence[LabelEvent], disk: RecordedDisk) -> None:
    commits = GroupCommit(ledger, lambda record: None)

    async def write(writer: int) -> None:
        for event in events[writer::NUM_WRITERS]:
            [stored] = await commits.write([event])
            assert isinstance(stored, LabelEvent)
            disk.say(stored.event_id, stored.seq)

    await asyncio.gather(*(write(writer) for writer in range(NUM_WRITERS)))
    await commits.close()


def check_clone(recording: Recording, rng: random.Random) -> int:
    """Crash at a random moment, open what is left, and check it; return how many were promised.

    Raises Lost, Doubled or Broken.
    """
    moment = rng.randrange(len(recording.operations) + 1)
    crash = crash_after(recording.operations[:moment], rng)
    with tempfile.TemporaryDirectory() as name:
        crash.write_into(Path(name))
        try:
            ledger = SqlLedger.open(Path(name) / LEDGER, "run-1")
        except InputError:
            # Its making was cut short so early that nobody can have been promised anything.
            if crash.acknowledged:
                raise
            return 0
        try:
            found = ledger.events()
            check_history(found, crash.acknowledged, recording.attempted)
            # Not only what was promised: all that is there is the history, up to some point.
            assert digest(found) == digest(recording.history[: len(found)])
            check_retries(ledger, recording.attempted)
        finally:
            ledger.close()
    return len(crash.acknowledged)
