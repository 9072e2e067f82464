from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.folds.dataset import (
    build_dataset,
    current_labels,
    exclusions,
    exclusions_sha256,
)
from protocol.fits import DatasetRules
from protocol.labels import LabelEvent
from tests.support.canonical_json import dataset_bytes
from tests.support.labels import (
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
    make_retraction,
)
from tests.support.ledger_contract import LedgerContract
from tests.support.memory_ledger import MemoryLedger

QUERIES = {f"q{i}": make_query(i) for i in range(4)}
RULES = DatasetRules()


def numbered(*events: LabelEvent) -> list[LabelEvent]:
    return [replace(event, seq=i + 1) for i, event in enumerate(events)]


class TestMemoryLedger(LedgerContract, of=MemoryLedger):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()


def test_latest_revision_stands_until_it_is_retracted() -> None:
    query = make_query()
    events = numbered(
        make_event(query, choice=0),
        make_event(query, revision=1, choice=2),
        make_retraction(query, revision=2),
    )
    assert current_labels(events[:1])["q0/ann"].choice == "q0-a"
    assert current_labels(events[:2])["q0/ann"].choice == "q0-c"
    assert current_labels(events) == {}


def test_dataset_at_an_earlier_sequence_number_does_not_change_later() -> None:
    query = make_query()
    events = numbered(
        make_event(query, choice=0),
        make_event(make_query(1), choice=1),
        make_event(query, revision=1, choice=3),
    )
    early = build_dataset(QUERIES, events[:2], 2, RULES)
    assert build_dataset(QUERIES, events, 2, RULES) == early
    assert [(c.seq, c.choice) for c in early] == [(1, 0), (2, 1)]
    late = build_dataset(QUERIES, events, 3, RULES)
    assert [(c.seq, c.query_id, c.choice) for c in late] == [(2, "q1", 1), (3, "q0", 3)]


@pytest.mark.parametrize("outcome", ["skip", "both_bad", "flag"])
def test_answers_without_a_preference_train_nothing(outcome: str) -> None:
    events = numbered(make_event(make_query(), outcome=outcome))  # type: ignore[arg-type]
    assert build_dataset(QUERIES, events, 1, RULES) == ()


def test_ties_and_rankings_train_by_index() -> None:
    ranking = ("q1-c", "q1-a", "q1-d", "q1-b")
    events = numbered(
        make_event(make_query(), outcome="tie"),
        make_event(make_query(1), outcome="ranking", ranking=ranking),
    )
    tie, ranked = build_dataset(QUERIES, events, 2, RULES)
    assert (tie.outcome, tie.choice, tie.ranking) == ("tie", None, None)
    assert (ranked.outcome, ranked.ranking) == ("ranking", (2, 0, 3, 1))
    assert ranked.candidate_token_ids == tuple((4, 5, 6 + i) for i in range(4))


def test_exclusion_holds_from_a_sequence_number_on_and_can_be_undone() -> None:
    events = numbered(
        make_event(make_query(0), "bob"),
        make_event(make_query(1), "ann"),
        make_event(make_query(2), "bob"),
        make_exclusion("bob", number=0, from_seq=2),
        make_reinstatement("bob", number=1),
    )
    assert [c.seq for c in build_dataset(QUERIES, events, 3, RULES)] == [1, 2, 3]
    assert [c.seq for c in build_dataset(QUERIES, events, 4, RULES)] == [1, 2]
    assert [c.seq for c in build_dataset(QUERIES, events, 5, RULES)] == [1, 2, 3]
    assert exclusions(events[:4], RULES) == {"bob": 2}
    assert exclusions_sha256({}) != exclusions_sha256({"bob": 2})


def test_dataset_without_a_labeler_is_that_of_a_ledger_they_never_wrote_in() -> None:
    ann = make_event(make_query(0), "ann", seq=1)
    bob = make_event(make_query(1), "bob", seq=2)
    rules = DatasetRules(excluded_labelers=("bob",))
    without = build_dataset(QUERIES, [ann], 2, RULES)
    assert dataset_bytes(build_dataset(QUERIES, [ann, bob], 2, rules)) == dataset_bytes(without)


def test_purposes_outside_the_rules_are_left_out() -> None:
    queries = {"q0": make_query(0, purpose="repeat"), "q1": make_query(1, purpose="validation")}
    events = numbered(make_event(make_query(0)), make_event(make_query(1)))
    assert [c.query_id for c in build_dataset(queries, events, 2, RULES)] == ["q1"]
    only_repeats = DatasetRules(purposes=("repeat",))
    assert [c.query_id for c in build_dataset(queries, events, 2, only_repeats)] == ["q0"]


def test_dataset_bytes_are_canonical() -> None:
    [comparison] = build_dataset(QUERIES, [make_event(make_query(), seq=1)], 1, RULES)
    text = dataset_bytes([comparison]).decode()
    assert text.startswith('[{"candidate_token_ids":[[4,5,6],[4,5,7],[4,5,8],[4,5,9]],"choice":0,')
    assert " " not in text
