"""A small ledger whose contamination can be followed by hand.

seq      1 … 6 ann   7, 8 bob   9 ann   10 bob   11 ann
reward   1: refit at 8          2: warm at 10
policy   0 ρ    1, 2 on reward 1    3 on reward 2
"""

from __future__ import annotations

from dataclasses import replace

from label_queue.folds.view import LedgerView
from label_queue.ledger.records import Ledger, Record
from tests.support.labels import (
    make_assignment,
    make_event,
    make_provenance,
    make_query,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger

LABELERS = ("ann",) * 6 + ("bob",) * 2 + ("ann", "bob", "ann")
"""Who gave label "q0/ann" and so on: each query is answered once, in the order of its number."""


def label_ids(*numbers: int) -> frozenset[str]:
    """The ids of the labels with these sequence numbers."""
    return frozenset(f"q{number - 1}/{LABELERS[number - 1]}" for number in numbers)


def fill(ledger: Ledger) -> None:
    records: list[Record] = []
    for i, labeler in enumerate(LABELERS):
        query = make_query(i, versions=(i // 4,) * 4)
        records += [query, make_assignment(query, labeler), make_event(query, labeler)]
    records.append(replace(make_reward(1, ledger_seq=8), labels_used=8))
    records.append(replace(make_reward(2, ledger_seq=10, kind="warm"), labels_used=10))
    records += [make_provenance(0), make_provenance(1, 1), make_provenance(2, 1)]
    ledger.write([*records, make_provenance(3, 2)])


def hand_made_ledger() -> MemoryLedger:
    ledger = MemoryLedger()
    fill(ledger)
    return ledger


def hand_made_view(*more: Record) -> LedgerView:
    """The ledger's view after some more records."""
    ledger = hand_made_ledger()
    ledger.write(list(more))
    return LedgerView.of(ledger)
