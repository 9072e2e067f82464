"""Reading single records of a ledger, beside whoever writes to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from label_queue.ledger.records import Ledger
from protocol.errors import ResourceError


class Lookup:
    """Finds records, from whatever thread. Nobody waits for another's question.

    Each asks over a connection of its own, made when there is no idle one: as many as ever asked at
    once. One that is lost is made anew, once for each question.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Read a ledger that somebody else writes to."""
        self._ledger = ledger
        self._idle: list[Ledger] = []
        self._times_closed = 0
        self._idling = threading.Lock()

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
        with self._idling:
            times_closed = self._times_closed
            reader = self._idle.pop() if self._idle else self._ledger.beside()
        try:
            try:
                return question(reader)
            except ResourceError:
                return question(reader)
        finally:
            with self._idling:
                is_open = times_closed == self._times_closed
                if is_open:
                    self._idle.append(reader)
            if not is_open:
                self._let_go(reader)

    def close(self) -> None:
        """Let go of the connections; a question makes another. Idempotent."""
        with self._idling:
            readers, self._idle = self._idle, []
            self._times_closed += 1
        for reader in readers:
            self._let_go(reader)

    def _let_go(self, reader: Ledger) -> None:
        if reader is not self._ledger:
            reader.close()
