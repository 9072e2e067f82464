"""What is exported and imported in tests: a ledger with one record of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from label_queue.exchange.record_lines import record_lines
from label_queue.ledger.records import (
    ConnectorOffset,
    DeadLetter,
    LabelerToken,
    Record,
    TokenRevocation,
)
from protocol.cord import Pulled
from protocol.labels import LabelChange, LabelEvent, PolicyProvenance
from tests.support.labels import (
    NODE,
    make_assignment,
    make_event,
    make_exclusion,
    make_query,
    make_retraction,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger

RUN = "run-1"
PAIR, FOUR = make_query(0, versions=(1, 1), kind="pair"), make_query(1, prompt_node=NODE)
RANKED = make_query(2, versions=(1, 1, 1), kind="ranking")
SECRET = "0123456789abcdef" * 4
Edit = Callable[[list[dict[str, Any]]], object]
"""Changes the lines of an export."""


def labelled(*events: LabelEvent) -> list[Record]:
    """Queries and the assignments of their events, then the events."""
    queries = (PAIR, FOUR, RANKED)
    by_id = {query.query_id: query for query in queries}
    pairs = {
        (event.query_id, event.labeler_id) for event in events if isinstance(event, LabelChange)
    }
    assignments = [make_assignment(by_id[query_id], name) for query_id, name in sorted(pairs)]
    return [*queries, *assignments, *events]


def everything() -> list[Record]:
    """One of every kind of record, and of every kind of label."""
    return [
        *labelled(
            make_event(PAIR, "ann", strength=2, comment="ünïcode \u2028 text"),
            make_event(PAIR, "ann", revision=1, choice=1, strength=4),
            make_event(FOUR, "ann", choice=2, spans=(("q1-a", 0, 4, "bad"),)),
            make_event(FOUR, "bob", outcome="tie"),
            make_event(RANKED, "bob", outcome="ranking", ranking=("q2-c", "q2-a", "q2-b")),
            make_event(PAIR, "bob"),
            make_retraction(PAIR, "bob", revision=1),
            make_exclusion("bob", from_seq=5),
        ),
        LabelerToken(token_sha256=SECRET, labeler_id="ann", created_at=1.0, expires_at=None),
        TokenRevocation(token_sha256=SECRET, at=2.0, reason="used"),
        Pulled(event_id="c1", actor="ann", reason="odd", at=3.0),
        make_reward(1, ledger_seq=5),
        PolicyProvenance(
            version=1,
            episodes=4,
            reward_version=1,
            learned_through=5,
            restored_from=None,
            created_at=4.0,
            moved_kl=0.75,
        ),
        ConnectorOffset(connector="jsonl", offset='{"position": 3}', at=5.0),
        DeadLetter(
            received_at=6.0, labeler_id="ann", field="", message="", payload=f"Bearer {SECRET}"
        ),
    ]


def memory(records: Sequence[Record]) -> MemoryLedger:
    ledger = MemoryLedger()
    ledger.write(records)
    return ledger


def ours(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the lines of our own form that records are exported as."""
    return [json.loads(line) for line in record_lines(memory(records))]


def first(lines: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the record of the first line of a kind, to be changed in its place."""
    record: dict[str, Any] = next(line for line in lines if line["type"] == kind)["record"]
    return record


def edited(folder: Path, edit: Edit) -> Path:
    """Write the export of everything with something changed in it, and return where."""
    lines = ours(everything())
    edit(lines)
    path = folder / "bad.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
