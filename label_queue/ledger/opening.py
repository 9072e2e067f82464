"""Opening a ledger whose last owner was just killed and has not quite let go of it."""

from __future__ import annotations

import time
from pathlib import Path

from label_queue.ledger.sql import SqlLedger
from protocol.errors import ResourceError

LET_GO_S = 30.0
"""What a killed process may take to end, on a busy machine."""
POLL_S = 0.2


def open_when_free(path: Path, run_id: str, timeout_s: float = LET_GO_S) -> SqlLedger:
    """Open a ledger as `SqlLedger.open` does; wait for who has it, or for a disk that refuses.

    Raises:
        ResourceError: As `SqlLedger.open`, for longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return SqlLedger.open(path, run_id)
        except ResourceError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_S)
