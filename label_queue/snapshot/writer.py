"""Writes a snapshot in a process of its own, of what the ledger holds by now, and ends.

    python -m label_queue.snapshot.writer < order.json

It reads the ledger beside whoever writes to it, goes on from the snapshot before, and stands back
for all else, but not so far that it never ends on a busy machine. To kill it loses nothing: the
snapshot before stays. Where another is at it, as one may be that has outlived its queue, it leaves
that to it.
"""

from __future__ import annotations

import fcntl
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from label_queue.config import LabelsConfig, Mode
from label_queue.ledger.lookup import Lookup
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from label_queue.schedule import LabelSchedule
from label_queue.snapshot.file import Places
from label_queue.snapshot.folding import load, take
from label_queue.snapshot.prefix import newest_places
from label_queue.state import LabelState
from protocol.errors import AndonError
from protocol.files import writing
from protocol.niceness import SNAPSHOT, stand_back

LOCK = ".lock"
"""Ending of the file that whoever writes a snapshot has locked: a lock goes with its process."""


class Order(BaseModel):
    """What is folded, and where the snapshot is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path | None
    """The ledger's, or None: it is on a server."""
    url: str
    """The ledger's, without a password; "": it is a file."""
    config: LabelsConfig
    episodes: int
    mode: Mode
    snapshot: Path

    @classmethod
    def of(
        cls,
        ledger: LedgerPlace,
        config: LabelsConfig,
        *,
        episodes: int,
        mode: Mode,
        snapshot: Path,
    ) -> Self:
        """Order a snapshot of a ledger, by the run's own settings."""
        return cls(
            file=ledger if isinstance(ledger, Path) else None,
            url="" if isinstance(ledger, Path) else ledger,
            config=config,
            episodes=episodes,
            mode=mode,
            snapshot=snapshot,
        )

    @property
    def place(self) -> LedgerPlace:
        """Where the ledger lies."""
        return self.url if self.file is None else self.file


def fill(order: Order) -> Places | None:
    """Write the snapshot; return how far it goes, None where another process is writing it.

    Raises as `SqlLedger.open_to_read`, and DiskFull or ResourceError where the disk refuses.
    """
    lock = order.snapshot.with_name(order.snapshot.name + LOCK)
    with writing(lock), lock.open("wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return _filled(order)


def _filled(order: Order) -> Places:
    with ExitStack() as open_ledgers:
        ledger = SqlLedger.open_to_read(order.place)
        open_ledgers.callback(ledger.close)
        lookup = Lookup(ledger)
        open_ledgers.callback(lookup.close)
        through = newest_places(ledger)
        schedule = LabelSchedule.of(order.config, num_episodes=order.episodes, mode=order.mode)
        state = LabelState(order.config, schedule, time.time, lookup=lookup)
        quality = order.config.quality
        load(state, ledger, order.snapshot, quality, through)
        return take(state, ledger, order.snapshot, quality)


def main() -> int:
    """Do what the order on standard input says; return the exit status."""
    stand_back(SNAPSHOT)
    order = Order.model_validate_json(sys.stdin.buffer.read())
    try:
        fill(order)
    except AndonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
