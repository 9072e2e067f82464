"""Version 3: changes of people's roles are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"

WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Add the table, unless a ledger whose making was cut short has it already."""
    op.create_table(
        "role_changes",
        sa.Column("position", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("change_id", sa.String(), nullable=False, unique=True),
        sa.Column("labeler_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        if_not_exists=True,
    )
