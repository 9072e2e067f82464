"""Version 2: tokens say role and kind; the cord, versions, revocations and offsets are kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Add columns and tables; each is there already where a ledger's making was cut short."""
    if sa.inspect(op.get_bind()).has_table("tokens"):
        # What either column says of older tokens is what their records say by default.
        for column, default in (("role", "labeler"), ("kind", "token")):
            op.add_column(
                "tokens",
                sa.Column(column, sa.String(), nullable=False, server_default=default),
            )
    _make_stream("token_revocations", _time("at"), key=_key("token_sha256"))
    _make_stream("cord_events", _text("action"), _text("actor"), _time("at"), key=_key("event_id"))
    _make_stream("reward_versions", _text("kind"), _number("ledger_seq"), key=_version())
    _make_stream(
        "policy_versions",
        _number("reward_version"),
        _number("learned_through"),
        _time("created_at"),
        key=_version(),
    )
    _make_stream("connector_offsets", _text("connector", index=True), _time("at"))


def _make_stream(name: str, *columns: sa.Column[Any], key: sa.Column[Any] | None = None) -> None:
    op.create_table(
        name,
        sa.Column("position", WHOLE, primary_key=True, autoincrement=False),
        *([] if key is None else [key]),
        *columns,
        sa.Column("body", sa.Text(), nullable=False),
        if_not_exists=True,
    )


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=False, unique=True)


def _version() -> sa.Column[Any]:
    return sa.Column("version", WHOLE, nullable=False, unique=True)


def _text(name: str, *, index: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=False, index=index)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, WHOLE, nullable=False)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Float(), nullable=False)
