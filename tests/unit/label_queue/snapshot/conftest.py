"""A ledger of either store, and where its snapshot lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from label_queue.ledger.sql import SqlLedger
from tests.support.ledger_stores import LedgerStore
from tests.support.snapshots import LOOKUPS, labelled


@pytest.fixture
def ledger(ledger_store: LedgerStore) -> Iterator[SqlLedger]:
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    ledger.write(list(labelled(0, 10)))
    yield ledger
    while LOOKUPS:
        LOOKUPS.pop().close()
    ledger.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.folds"
