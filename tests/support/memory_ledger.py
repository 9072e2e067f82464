"""The ledger in memory: the model that the real one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from label_queue.ledger import DeadLetter, LabelerToken, Record
from protocol.errors import ResourceError
from protocol.labels import Assignment, ComparisonQuery, LabelEvent


class MemoryLedger:
    """Passes the same contract tests as `SqlLedger`; can be told to run out of disk."""

    def __init__(self) -> None:
        self.is_full = False
        self._queries: dict[str, ComparisonQuery] = {}
        self._assignments: dict[str, Assignment] = {}
        self._events: dict[str, LabelEvent] = {}
        self._tokens: dict[str, LabelerToken] = {}
        self._dead_letters: list[DeadLetter] = []

    def write(self, records: Sequence[Record]) -> list[Record]:
        if self.is_full:
            raise ResourceError("memory: labels cannot be stored (full); free space on its disk")
        return [self._write(record) for record in records]

    def _write(self, record: Record) -> Record:
        if isinstance(record, ComparisonQuery):
            return self._queries.setdefault(record.query_id, record)
        if isinstance(record, Assignment):
            return self._assignments.setdefault(record.assignment_id, record)
        if isinstance(record, LabelEvent):
            seq = len(self._events) + 1
            return self._events.setdefault(record.event_id, replace(record, seq=seq))
        if isinstance(record, LabelerToken):
            return self._tokens.setdefault(record.token_sha256, record)
        self._dead_letters.append(record)
        return record

    def queries(self) -> list[ComparisonQuery]:
        return list(self._queries.values())

    def assignments(self) -> list[Assignment]:
        return list(self._assignments.values())

    def events(self) -> list[LabelEvent]:
        return list(self._events.values())

    def tokens(self) -> list[LabelerToken]:
        return list(self._tokens.values())

    def dead_letters(self) -> list[DeadLetter]:
        return list(self._dead_letters)

    def close(self) -> None:
        return None
