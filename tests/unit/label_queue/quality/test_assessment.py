"""The whole picture of a labeler."""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.quality.assessment import Assessment
from label_queue.quality.gold_tasks import AskMoment, repetition
from label_queue.quality_config import DEFAULT_QUALITY, QualityConfig
from protocol.labels import Assignment, ComparisonQuery, LabelEvent
from tests.support.assessed import assess
from tests.support.labels import (
    make_assignment,
    make_event,
    make_exclusion,
    make_query,
    make_retraction,
)

MOMENT = AskMoment(now=2_000.0, labels=20)


class Record:
    """A ledger in lists."""

    def __init__(self) -> None:
        self.queries: dict[str, ComparisonQuery] = {}
        self.assignments: dict[str, Assignment] = {}
        self.events: list[LabelEvent] = []

    def ask(self, query: ComparisonQuery, labeler: str = "ann", **answer: object) -> None:
        self.queries[query.query_id] = query
        assignment = make_assignment(query, labeler, lease_until=query.created_at + 600.0)
        self.assignments[assignment.assignment_id] = assignment
        answer.setdefault("received_at", assignment.created_at + 10.0)
        self.add(make_event(query, labeler, **answer))  # type: ignore[arg-type]

    def add(self, event: LabelEvent) -> None:
        self.events.append(replace(event, seq=len(self.events) + 1))


def test_every_estimator_is_in_the_picture() -> None:
    record = Record()
    record.ask(make_query(0), choice=0, active_ms=5_000)
    record.ask(make_query(0), "bob", choice=0)
    record.ask(make_query(1), choice=1, active_ms=100)
    record.ask(make_query(2), outcome="skip")
    record.ask(repetition(make_query(0), "q3", MOMENT), choice=0, active_ms=5_000)
    record.ask(make_query(4, purpose="gold", gold_answer="q4-a", labels_before=9), choice=0)
    record.ask(make_query(5, purpose="gold", gold_answer="q5-b", labels_before=9), choice=0)
    found = assess(
        record.queries,
        record.assignments,
        record.events,
        DEFAULT_QUALITY,
        reliability={"ann": 0.9},
    )
    assert list(found) == ["ann", "bob"]
    ann = found["ann"]
    assert (ann.state, ann.labels, ann.labels_held, ann.excluded_from) == ("active", 6, 0, None)
    assert (ann.gold_right, ann.gold_wrong) == (1, 1)
    assert ann.gold_accuracy == pytest.approx(9 / 12)
    assert ann.gold_low < ann.gold_accuracy < ann.gold_high
    assert (ann.self_agreement, ann.self_repeats) == (1.0, 1)
    assert (ann.peer_agreement, ann.peer_labels) == (1.0, 1)
    # first shown chosen in 4 of 5 of four candidates: (4 − 1.25)/√(5·3/16)
    assert ann.position_z == pytest.approx(2.840188, abs=1e-6)
    assert ann.fast_share == pytest.approx(1 / 5)  # 100 ms for 15 tokens; the skip is left out
    assert ann.reliability == 0.9
    assert ann.flags == ()
    assert ann.last_label_at == 1_010.0
    assert found["bob"].reliability is None


def test_flags_come_with_enough_labels() -> None:
    record = Record()
    for number in range(200):
        record.ask(make_query(number, versions=(1, 1)), choice=0, active_ms=10)
    for number in range(200, 220):
        original = make_query(number - 200, versions=(1, 1))
        record.ask(repetition(original, f"q{number}", MOMENT), choice=number % 2, active_ms=10)
    [ann] = assess(record.queries, record.assignments, record.events, DEFAULT_QUALITY).values()
    assert ann.self_agreement == 0.5
    assert ann.flags == ("self", "position", "speed")


@pytest.mark.parametrize(
    ("num_candidates", "agreed", "flags"),
    [
        # Pairs: 0.65 of 20 repeats is p̂ = (1 + √0.3)/2 = 0.774, where flags begin.
        (2, 13, ()),
        (2, 12, ("self",)),
        # Four: p̂ = (1 + √(1 − 4·(1 − 3·0.6)))/4 = 0.762 below it, and 0.802 at 0.65 above.
        (4, 13, ()),
        (4, 12, ("self",)),
    ],
)
def test_who_answers_repeats_unlike_is_flagged(
    num_candidates: int, agreed: int, flags: tuple[str, ...]
) -> None:
    found = repeated(num_candidates, agreed, 20)
    assert found.self_agreement == agreed / 20
    assert found.flags == flags


def test_of_four_who_is_as_sure_agrees_less_often_than_of_two() -> None:
    # 16 of 25: p̂ = (1 + √(2·0.64 − 1))/2 = 0.765 of pairs, (1 + √4.68)/4 = 0.791 of four.
    assert repeated(2, 16, 25).flags == ("self",)
    assert repeated(4, 16, 25).flags == ()


def test_a_floor_at_chance_flags_nobody() -> None:
    config = DEFAULT_QUALITY.model_copy(update={"self_agreement_floor": 0.0})
    assert repeated(4, 0, 20, config).flags == ()


def repeated(
    num_candidates: int, agreed: int, total: int, config: QualityConfig = DEFAULT_QUALITY
) -> Assessment:
    """Somebody who gave the same answer again to `agreed` of `total` repeats."""
    record = Record()
    for number in range(total):
        query = make_query(number, versions=(1,) * num_candidates)
        first = number % 2
        record.ask(query, choice=first, active_ms=5_000)
        again = first if number < agreed else 1 - first
        record.ask(repetition(query, f"again-{number}", MOMENT), choice=again, active_ms=5_000)
    return assess(record.queries, record.assignments, record.events, config)["ann"]


def test_labels_on_probation_are_held() -> None:
    record = Record()
    for number in range(3):
        answer = f"q{100 + number}-a"
        gold = make_query(100 + number, versions=(1, 1), purpose="gold", gold_answer=answer)
        record.ask(gold, choice=1)
        record.ask(make_query(number), outcome="choice")
    record.ask(make_query(3), outcome="skip")
    ann = assess(record.queries, record.assignments, record.events, DEFAULT_QUALITY)["ann"]
    assert (ann.state, ann.labels, ann.labels_held) == ("probation", 7, 3)
    record.ask(make_query(103, purpose="gold", gold_answer="q103-a"), choice=1)
    ann = assess(record.queries, record.assignments, record.events, DEFAULT_QUALITY)["ann"]
    assert (ann.state, ann.flags) == ("suspended", ("gold",))


def test_a_retracted_label_is_gone_and_an_exclusion_shown() -> None:
    record = Record()
    record.ask(make_query(0))
    record.ask(make_query(1))
    record.add(make_retraction(make_query(1), revision=1))
    record.add(make_exclusion("ann", from_seq=2))
    ann = assess(record.queries, record.assignments, record.events, DEFAULT_QUALITY)["ann"]
    assert (ann.state, ann.labels, ann.excluded_from) == ("excluded", 1, 2)
