"""The ledger in memory: the model that the real one is compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from label_queue.ledger.records import (
    ConnectorOffset,
    DeadLetter,
    LabelerToken,
    R,
    Record,
    RoleChange,
    Row,
    TokenRevocation,
    stream_of,
)
from label_queue.ledger.tables import STREAMS
from protocol.cord import CordEvent
from protocol.errors import DiskFull
from protocol.fits import RewardVersion
from protocol.labels import Assignment, ComparisonQuery, LabelEvent, PolicyProvenance

KEYS: dict[Any, str | None] = {
    ComparisonQuery: "query_id",
    Assignment: "assignment_id",
    LabelEvent: "event_id",
    LabelerToken: "token_sha256",
    TokenRevocation: "token_sha256",
    RoleChange: "change_id",
    CordEvent: "event_id",
    RewardVersion: "version",
    PolicyProvenance: "version",
    ConnectorOffset: None,
    DeadLetter: None,
}


class MemoryLedger:
    """Passes the same contract tests as `SqlLedger`; can be told to run out of disk."""

    def __init__(self) -> None:
        self.is_full = False
        self._streams: dict[Any, dict[object, Any]] = {kind: {} for kind in KEYS}

    def write(self, records: Sequence[Record]) -> list[Record]:
        if self.is_full:
            raise DiskFull("memory: labels cannot be stored (full); free space on its disk")
        return [self._write(record) for record in records]

    def settle(self) -> list[Record]:
        return []

    def _write(self, record: Record) -> Record:
        kind = stream_of(type(record))
        key, stream = KEYS[kind], self._streams[kind]
        if isinstance(record, LabelEvent):
            record = replace(record, seq=len(stream) + 1)
        stored: Record = stream.setdefault(getattr(record, key) if key else len(stream), record)
        return stored

    def queries(self) -> list[ComparisonQuery]:
        return self.read(ComparisonQuery)

    def assignments(self) -> list[Assignment]:
        return self.read(Assignment)

    def events(self) -> list[LabelEvent]:
        return list(self._streams[LabelEvent].values())

    def cord_events(self) -> list[CordEvent]:
        return list(self._streams[CordEvent].values())

    def read(self, kind: type[R]) -> list[R]:
        return [each for each in self._streams[stream_of(kind)].values() if isinstance(each, kind)]

    def each(self, kind: type[R], after: int = 0, through: int | None = None) -> Iterator[R]:
        stream = list(self._streams[stream_of(kind)].values())[after:through]
        return (each for each in stream if isinstance(each, kind))

    def rows(self, kind: Any, through: int) -> Iterator[Row]:
        stream = STREAMS[kind]
        for record in list(self._streams[kind].values())[:through]:
            row = stream.row(record, 0)
            yield Row(str(row[stream.key or stream.order]), str(row["body"]))

    def find(self, kind: Any, keys: Collection[str]) -> dict[str, Any]:
        stream = self._streams[kind]
        return {key: stream[key] for key in keys if key in stream}

    def at(self, kind: Any, places: Sequence[int]) -> list[Any]:
        stream = list(self._streams[kind].values())
        return [stream[place - 1] for place in places]

    def beside(self) -> MemoryLedger:
        return self

    def newest(self, kind: Any) -> int:
        return len(self._streams[kind])

    def free_bytes(self) -> float:
        return 0.0 if self.is_full else 1e12

    @property
    def where(self) -> str:
        return "memory"

    def close(self) -> None:
        return None
