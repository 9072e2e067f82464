"""The steps between the versions of a ledger's tables, one module each, as Alembic reads them."""
