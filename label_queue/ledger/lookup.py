"""Reading single records of a ledger, beside whoever writes to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from label_queue.ledger.records import Ledger
from protocol.errors import ResourceError


class Lookup:
    """Finds records, from whatever thread: one at a time asks.

    It has a connection of its own from the first question on. One that is lost is made anew, once
    for each question.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Read a ledger that somebody else writes to."""
        self._ledger = ledger
        self._reader: Ledger | None = None
        self._asking = threading.Lock()

    def find(self, kind: Any, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return a stream's records by their keys. Raises ResourceError where they cannot be read.

        Args:
            kind: What names the stream.
            keys: Of records that are there.
        """
        found: Mapping[str, Any] = self._ask(lambda reader: reader.find(kind, keys))
        return found

    def at(self, kind: Any, places: Sequence[int]) -> Sequence[Any]:
        """Return a stream's records at some places, which rise and are there; raises as `find`."""
        found: Sequence[Any] = self._ask(lambda reader: reader.at(kind, places))
        return found

    def _ask(self, question: Callable[[Ledger], Any]) -> Any:
        with self._asking:
            self._reader = self._reader or self._ledger.beside()
            try:
                return question(self._reader)
            except ResourceError:
                return question(self._reader)

    def close(self) -> None:
        """Let go of the connection; a question makes another. Idempotent."""
        with self._asking:
            if self._reader is not None and self._reader is not self._ledger:
                self._reader.close()
            self._reader = None
