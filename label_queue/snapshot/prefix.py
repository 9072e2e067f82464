"""The beginning of a ledger as it is written, digested: is it what a snapshot was made of?"""

from __future__ import annotations

import hashlib
from typing import Any

from label_queue.ledger.records import Ledger
from label_queue.snapshot.file import Places, Unusable
from protocol.labels import Assignment, ComparisonQuery, LabelEvent

STREAMS: dict[str, Any] = {
    "queries": ComparisonQuery,
    "assignments": Assignment,
    "label_events": LabelEvent,
}
"""The streams that snapshots are of, by their names in `Places`."""


def by_stream(places: Places) -> dict[Any, int]:
    """Return places by the streams they are of."""
    return {kind: getattr(places, name) for name, kind in STREAMS.items()}


def newest_places(ledger: Ledger) -> Places:
    """Return how far a ledger goes that somebody else may write to meanwhile.

    What an event is of was written before it or with it, so events are asked for first.
    """
    events = ledger.newest(LabelEvent)
    assignments = ledger.newest(Assignment)
    return Places(
        queries=ledger.newest(ComparisonQuery), assignments=assignments, label_events=events
    )


def digest_of(ledger: Ledger, places: Places) -> str:
    """Return SHA-256 of a ledger up to some places, stream by stream and record by record.

    Raises Unusable where it has not so many records.
    """
    hashed = hashlib.sha256()
    for stream, kind in STREAMS.items():
        wanted, count = getattr(places, stream), 0
        hashed.update(f"{stream} {wanted}\n".encode())
        for row in ledger.rows(kind, wanted):
            count += 1
            hashed.update(row.body.encode())
            hashed.update(b"\n")
        if count != wanted:
            raise Unusable(f"the ledger is another: it has fewer {stream}")
    return hashed.hexdigest()
