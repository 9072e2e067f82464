"""Version 1: queries, assignments, label events, tokens and dead letters."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Make the first tables: what a ledger is migrated from, in tests of the steps that follow."""
    op.create_table(
        "run",
        sa.Column("run_id", sa.String(), primary_key=True),
        sa.Column("schema_version", sa.Integer(), nullable=False),
    )
    _make_stream("queries", _text("purpose"), _time("created_at"), key="query_id")
    _make_stream(
        "assignments",
        _text("query_id", index=True),
        _text("labeler_id", index=True),
        _time("created_at"),
        key="assignment_id",
    )
    _make_stream(
        "label_events",
        _text("type"),
        _text("query_id", index=True),
        _text("labeler_id", index=True),
        _time("received_at"),
        key="event_id",
        order="seq",
    )
    _make_stream("tokens", _text("labeler_id"), key="token_sha256")
    _make_stream("dead_letters", _text("labeler_id"), _time("received_at"))


def _make_stream(
    name: str, *columns: sa.Column[Any], key: str | None = None, order: str = "position"
) -> None:
    keys = [] if key is None else [sa.Column(key, sa.String(), nullable=False, unique=True)]
    op.create_table(
        name,
        sa.Column(order, WHOLE, primary_key=True, autoincrement=False),
        *keys,
        *columns,
        sa.Column("body", sa.Text(), nullable=False),
    )


def _text(name: str, *, index: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=False, index=index)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Float(), nullable=False)
