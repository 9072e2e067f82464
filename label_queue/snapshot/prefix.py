"""The beginning of a ledger as it is written, digested: is it what a snapshot was made of?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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
    """Return the digest of a ledger up to some places."""
    hashed = Digest()
    for stream in STREAMS:
        for _ in hashed.rows(ledger, stream, places):
            pass
    return hashed.hexdigest()


class Digest:
    """SHA-256 of some streams, one after another, record by record."""

    def __init__(self) -> None:
        self._hashed = hashlib.sha256()

    def rows(self, ledger: Ledger, stream: str, places: Places) -> Iterator[tuple[str, str]]:
        """Yield key and text of a stream's records up to its place, and take them in.

        Raises Unusable where there are not so many.
        """
        wanted, count = getattr(places, stream), 0
        self._hashed.update(f"{stream} {wanted}\n".encode())
        for key, body in ledger.rows(STREAMS[stream], wanted):
            count += 1
            self._hashed.update(body.encode())
            self._hashed.update(b"\n")
            yield key, body
        if count != wanted:
            raise Unusable(f"the ledger is another: it has fewer {stream}")

    def hexdigest(self) -> str:
        """Return the digest of what was taken in."""
        return self._hashed.hexdigest()
