"""The ledger's tables, and how each stream of records is laid out in its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from label_queue.ledger.event_lines import CORD_EVENT, LABEL_EVENT, cord_line, label_line
from label_queue.ledger.records import (
    ConnectorOffset,
    DeadLetter,
    LabelerToken,
    Record,
    RoleChange,
    TokenRevocation,
)
from protocol.cord import CordEvent
from protocol.fits import RewardVersion
from protocol.labels import Assignment, ComparisonQuery, LabelEvent, PolicyProvenance

WHOLE = Integer().with_variant(BigInteger(), "postgresql")
"""Whole numbers of 64 bits, which SQLite's INTEGER has."""

NAME = String()

metadata = MetaData()
run_table = Table(
    "run",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("schema_version", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """How the records of one stream are laid out in their table."""

    table: Table
    order: str
    """Name of the column that rises with every append."""
    key: str | None
    """Name of the column that makes an append idempotent; None where every append counts."""
    adapter: TypeAdapter[Any]
    line: Callable[[Any], object]
    """Returns a record as it is written, whose fields the columns are."""

    @classmethod
    def of(
        cls,
        adapter: TypeAdapter[Any],
        name: str,
        *columns: Column[Any],
        key: str | None = None,
        key_type: TypeEngine[Any] = NAME,
        order: str = "position",
        line: Callable[[Any], object] = lambda record: record,
    ) -> Self:
        """Lay a stream out, its `columns` beside the key, the order and the body."""
        keys = [] if key is None else [Column(key, key_type, nullable=False, unique=True)]
        table = Table(
            name,
            metadata,
            Column(order, WHOLE, primary_key=True, autoincrement=False),
            *keys,
            *columns,
            Column("body", Text, nullable=False),
        )
        return cls(table=table, order=order, key=key, adapter=adapter, line=line)

    def row(self, record: Record, position: int) -> dict[str, object]:
        """Return a record as a row."""
        names = (column.name for column in self.table.columns)
        fields = (name for name in names if name not in (self.order, "body"))
        line = self.line(record)
        row: dict[str, object] = {name: getattr(line, name) for name in fields}
        row[self.order] = position
        row["body"] = self.adapter.dump_json(record).decode()
        return row


def _text(name: str, *, index: bool = False) -> Column[Any]:
    return Column(name, String, nullable=False, index=index)


def _number(name: str) -> Column[Any]:
    return Column(name, WHOLE, nullable=False)


def _time(name: str) -> Column[Any]:
    return Column(name, Float, nullable=False)


STREAMS: Mapping[Any, Stream] = {
    ComparisonQuery: Stream.of(
        TypeAdapter(ComparisonQuery),
        "queries",
        _text("purpose"),
        _time("created_at"),
        key="query_id",
    ),
    Assignment: Stream.of(
        TypeAdapter(Assignment),
        "assignments",
        _text("query_id", index=True),
        _text("labeler_id", index=True),
        _time("created_at"),
        key="assignment_id",
    ),
    LabelEvent: Stream.of(
        LABEL_EVENT,
        "label_events",
        _text("type"),
        _text("query_id", index=True),
        _text("labeler_id", index=True),
        _time("received_at"),
        key="event_id",
        order="seq",
        line=label_line,
    ),
    LabelerToken: Stream.of(
        TypeAdapter(LabelerToken),
        "tokens",
        _text("labeler_id"),
        _text("role"),
        _text("kind"),
        key="token_sha256",
    ),
    TokenRevocation: Stream.of(
        TypeAdapter(TokenRevocation), "token_revocations", _time("at"), key="token_sha256"
    ),
    RoleChange: Stream.of(
        TypeAdapter(RoleChange),
        "role_changes",
        _text("labeler_id"),
        _text("role"),
        _text("actor"),
        _time("at"),
        key="change_id",
    ),
    CordEvent: Stream.of(
        CORD_EVENT,
        "cord_events",
        _text("action"),
        _text("actor"),
        _time("at"),
        key="event_id",
        line=cord_line,
    ),
    RewardVersion: Stream.of(
        TypeAdapter(RewardVersion),
        "reward_versions",
        _text("kind"),
        _number("ledger_seq"),
        key="version",
        key_type=WHOLE,
    ),
    PolicyProvenance: Stream.of(
        TypeAdapter(PolicyProvenance),
        "policy_versions",
        _number("reward_version"),
        _number("learned_through"),
        _time("created_at"),
        key="version",
        key_type=WHOLE,
    ),
    ConnectorOffset: Stream.of(
        TypeAdapter(ConnectorOffset),
        "connector_offsets",
        _text("connector", index=True),
        _time("at"),
    ),
    DeadLetter: Stream.of(
        TypeAdapter(DeadLetter), "dead_letters", _text("labeler_id"), _time("received_at")
    ),
}
