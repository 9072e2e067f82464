"""A label queue that is started again waits for the ledger of the one that was killed."""

from __future__ import annotations

import threading

import pytest

from label_queue.ledger.opening import is_there, open_when_free
from label_queue.ledger.sql import SqlLedger
from protocol.errors import InputError, ResourceError
from tests.support.ledger_stores import LedgerStore


def test_a_ledger_that_is_let_go_is_opened(ledger_store: LedgerStore) -> None:
    held = SqlLedger.open(ledger_store.place, "run-1")
    opened = threading.Event()

    def open_and_close() -> None:
        open_when_free(ledger_store.place, "run-1", 60.0).close()
        opened.set()

    waiting = threading.Thread(target=open_and_close)
    waiting.start()
    assert not opened.wait(0.5)
    held.close()
    waiting.join(60.0)
    assert opened.is_set()


def test_one_that_is_held_is_an_error_and_so_at_once_is_another_runs(
    ledger_store: LedgerStore,
) -> None:
    held = SqlLedger.open(ledger_store.place, "run-1")
    with pytest.raises(ResourceError):
        open_when_free(ledger_store.place, "run-1", 0.0)
    held.close()
    with pytest.raises(InputError):
        open_when_free(ledger_store.place, "run-2", 3600.0)


def test_a_ledger_is_there_once_it_was_made(ledger_store: LedgerStore) -> None:
    assert not is_there(ledger_store.place, "name another")
    SqlLedger.open(ledger_store.place, "run-1").close()
    assert is_there(ledger_store.place, "name another")
