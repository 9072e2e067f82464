"""Opening a ledger by its place: whether one is there, and one whose last owner was just killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from label_queue.ledger.patience import when_possible
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.errors import ResourceError
from protocol.files import reading

LET_GO_S = 30.0
"""What a killed process may take to end, on a busy machine."""


def open_when_free(
    place: LedgerPlace,
    run_id: str,
    timeout_s: float = LET_GO_S,
    tell: Callable[[ResourceError], None] | None = None,
) -> SqlLedger:
    """Open a ledger as `SqlLedger.open` does; wait for who has it, or for a disk that refuses.

    Args:
        place: Of the ledger.
        run_id: Whose it is.
        timeout_s: How long is waited.
        tell: Hears once, as the waiting begins, what is waited for; None: nobody does.

    Raises:
        ResourceError: As `SqlLedger.open`, for longer than `timeout_s`.
    """
    return when_possible(lambda: SqlLedger.open(place, run_id), timeout_s, tell)


def is_there(place: LedgerPlace, mend: str) -> bool:
    """Return whether there is a file, or a ledger's tables on the server.

    Args:
        place: Of the ledger.
        mend: What to do where a file's path is none.

    Raises:
        InputError: It is no path, or the database holds something else.
        ResourceError: It may not be looked at, or the server not be reached.
    """
    if isinstance(place, Path):
        with reading(place, "ledger", mend):
            return place.exists()
    return SqlLedger.is_made(place)
