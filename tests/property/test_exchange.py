"""Whatever a ledger holds, our own form gives it back: byte for byte, and with the same labels."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.prompts.text_tree import tree_over
from label_queue.exchange.line_file import read_lines, write_lines
from label_queue.exchange.record_lines import read_records, record_lines
from label_queue.folds.dataset import build_dataset
from label_queue.ledger.records import Ledger
from protocol.fits import DatasetRules
from protocol.labels import LabelEvent, Outcome
from protocol.messages import ChatMessage
from tests.support.canonical_json import dataset_bytes
from tests.support.labels import (
    make_assignment,
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
    make_retraction,
)
from tests.support.memory_ledger import MemoryLedger

LABELERS = ("ann", "bob")
TEXTS = st.text(max_size=20)
TURNS = st.builds(
    ChatMessage, role=st.sampled_from(["system", "user", "assistant", "tool"]), content=TEXTS
)
NODES = st.sampled_from(tree_over("abcdefg", 3, "book").nodes).map(lambda node: node.place)
OUTCOMES: tuple[Outcome, ...] = ("choice", "tie", "skip", "both_bad", "flag")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SURE = st.just(1.0000000000000002)
"""As it was added up once."""
PROBABILITIES = st.floats(min_value=0, max_value=1, exclude_min=True) | SURE


@st.composite
def ledgers(draw: st.DrawFn) -> MemoryLedger:
    """Two queries, both given to both labelers, and up to eight events about them."""
    queries = [
        make_query(
            number,
            prompt_text=draw(TEXTS),
            prompt_messages=tuple(draw(st.lists(TURNS, max_size=3))),
            selection_probability=draw(PROBABILITIES),
            prompt_node=draw(st.none() | NODES),
        )
        for number in range(2)
    ]
    ledger = MemoryLedger()
    ledger.write(queries)
    ledger.write([make_assignment(query, name) for query in queries for name in LABELERS])
    revisions: dict[str, int] = {}
    for number in range(draw(st.integers(0, 8))):
        ledger.write([draw(events(revisions, number))])
    return ledger


@st.composite
def events(draw: st.DrawFn, revisions: dict[str, int], number: int) -> LabelEvent:
    labeler = draw(st.sampled_from(LABELERS))
    if draw(st.integers(0, 4)) == 0:
        if draw(st.booleans()):
            return make_reinstatement(labeler, number=number)
        from_seq = draw(st.none() | st.integers(0, 9))
        return make_exclusion(labeler, number=number, from_seq=from_seq)
    query = make_query(draw(st.integers(0, 1)))
    key = f"{query.query_id}/{labeler}"
    revision = revisions.get(key, -1) + 1
    revisions[key] = revision
    if revision and draw(st.booleans()):
        return make_retraction(query, labeler, revision=revision)
    return make_event(
        query,
        labeler,
        revision=revision,
        outcome=draw(st.sampled_from(OUTCOMES)),
        choice=draw(st.integers(0, 3)),
        comment=draw(st.none() | TEXTS),
        submitted_at=draw(st.none() | NUMBERS),
        strength=draw(st.none() | st.integers(1, 4)),
    )


def datasets(ledger: Ledger) -> list[bytes]:
    queries = {query.query_id: query for query in ledger.queries()}
    events = ledger.events()
    return [
        dataset_bytes(build_dataset(queries, events, seq, DatasetRules()))
        for seq in range(len(events) + 1)
    ]


@settings(max_examples=100, deadline=None)
@given(ledger=ledgers())
def test_a_ledger_comes_back_as_it_was(ledger: MemoryLedger) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.jsonl"
        write_lines(path, record_lines(ledger))
        run_id, records = read_records(path, read_lines(path))
        copy = MemoryLedger()
        copy.write(records)
        assert run_id == "run-1"
        assert list(record_lines(copy)) == list(record_lines(ledger))
        assert datasets(copy) == datasets(ledger)
