from __future__ import annotations

from collections.abc import Iterator

import pytest

from label_queue.ledger.sql import SqlLedger
from tests.support.postgres_server import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_schema()


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    ledger = SqlLedger.open(url, "run-1")
    yield ledger
    ledger.close()
