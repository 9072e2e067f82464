"""What counts toward the schedule, as labelers come and go."""

from __future__ import annotations

from dataclasses import replace

from label_queue.folds.dataset import build_dataset
from label_queue.folds.history import LabelHistory
from label_queue.folds.label_table import LabelTable
from label_queue.quality_config import DEFAULT_QUALITY
from protocol.fits import DatasetRules
from protocol.labels import LabelEvent
from tests.support.labels import (
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
    make_retraction,
)

QUERIES = {f"q{n}": make_query(n) for n in range(20)}
GOLD = {
    f"q{n}": make_query(n, versions=(1, 1), purpose="gold", gold_answer=f"q{n}-a", labels_before=5)
    for n in range(20, 60)
}
REPEAT = {"q60": make_query(60, purpose="repeat", repeat_of="q0")}


class Told:
    """A history, and the training set that a fit would take now."""

    def __init__(self) -> None:
        self.queries = QUERIES | GOLD | REPEAT
        self.history = LabelHistory(self.queries, DEFAULT_QUALITY)

    def add(self, *events: LabelEvent) -> None:
        for event in events:
            self.history.apply(replace(event, seq=self.history.last_seq + 1))

    @property
    def counts(self) -> tuple[int, int]:
        """Labels that count, which must be those that train, and labels held."""
        history = self.history
        dataset = build_dataset(self.queries, history.events, history.last_seq, DatasetRules())
        assert len(dataset) == history.num_preferences
        return history.num_preferences, history.num_held


def test_who_labelled_since_a_moment_and_how_often() -> None:
    told = Told()
    told.add(*(make_event(QUERIES[f"q{n}"], received_at=10.0 + n) for n in range(3)))
    told.add(make_event(QUERIES["q3"], "bob", received_at=20.0))
    for time, names, count in ((9.0, {"ann", "bob"}, 4), (12.0, {"bob"}, 1), (20.0, set(), 0)):
        assert told.history.labelers_since(time, 30.0) == names
        assert told.history.num_received_since(time, 30.0) == count
        assert told.history.num_asked_since(time, 30.0) == count
    assert told.history.num_received_since(9.0, 30.0, "ann") == 3


def test_what_came_while_the_clock_was_ahead_is_not_of_the_last_minute() -> None:
    told = Told()
    told.add(make_event(QUERIES["q0"], received_at=90.0))
    told.add(*(make_event(QUERIES[f"q{n}"], received_at=3_700.0) for n in range(1, 4)))
    told.add(make_event(QUERIES["q4"], "bob", received_at=110.0))
    assert told.history.num_received_since(60.0, 120.0) == 2
    assert told.history.num_received_since(100.0, 120.0) == 1
    assert told.history.labelers_since(60.0, 120.0) == {"bob"}
    told.add(make_event(REPEAT["q60"], received_at=110.0))
    assert told.history.num_received_since(60.0, 120.0) == 3
    assert told.history.num_asked_since(60.0, 120.0) == 2


def test_what_counts_of_columns_is_what_stands_and_may_train() -> None:
    told = Told()
    told.add(*(make_event(QUERIES[f"q{n}"]) for n in range(5)))
    told.add(make_retraction(QUERIES["q1"]), make_event(QUERIES["q2"], revision=1, outcome="skip"))
    told.add(make_event(REPEAT["q60"]), make_exclusion("ann", from_seq=5))
    table = told.history.table()
    assert table.stands[table.counting()].tolist() == [1, 4]
    assert told.history.standings.exclusions() == {"ann": 5}


def test_gold_and_repeats_do_not_count() -> None:
    told = Told()
    told.add(make_event(QUERIES["q0"]), make_event(REPEAT["q60"]), make_event(GOLD["q20"]))
    assert told.counts == (1, 0)
    assert told.history.num_submitted == 3


def test_a_suspended_labelers_labels_are_held_until_they_are_reinstated() -> None:
    told = Told()
    told.add(*(make_event(QUERIES[f"q{n}"]) for n in range(5)))
    told.add(*(make_event(GOLD[f"q{n}"], choice=1) for n in range(20, 23)))
    assert told.counts == (5, 0)
    told.add(make_event(GOLD["q23"], choice=1))
    assert told.counts == (0, 5)
    told.add(make_event(QUERIES["q5"]))  # a task they still had on lease
    assert told.counts == (0, 6)
    told.add(make_reinstatement("ann"))
    assert told.counts == (6, 0)


def test_an_excluded_labelers_later_labels_do_not_count() -> None:
    told = Told()
    told.add(*(make_event(QUERIES[f"q{n}"]) for n in range(5)))
    told.add(make_exclusion("ann", from_seq=4))
    assert told.counts == (3, 0)
    told.add(make_exclusion("ann", number=1, from_seq=0))
    assert told.counts == (0, 0)
    told.add(make_reinstatement("ann", number=2))
    assert told.counts == (5, 0)


def test_probation_ends_with_all_labels_counting() -> None:
    told = Told()
    told.add(*(make_event(QUERIES[f"q{n}"], "bob") for n in range(5)))
    told.add(*(make_event(QUERIES[f"q{n}"]) for n in range(3)))
    assert told.counts == (5, 3)
    told.add(*(make_event(GOLD[f"q{n}"]) for n in range(20, 28)))
    assert told.counts == (8, 0)


def test_a_revision_to_no_preference_and_back() -> None:
    told = Told()
    told.add(make_event(QUERIES["q0"]))
    told.add(make_event(QUERIES["q0"], revision=1, outcome="skip"))
    assert told.counts == (0, 0)
    told.add(make_event(QUERIES["q0"], revision=2, outcome="tie"))
    assert told.counts == (1, 0)
    told.add(make_retraction(QUERIES["q0"], revision=3))
    assert told.counts == (0, 0)


def test_answers_by_labeler() -> None:
    told = Told()
    told.add(make_event(QUERIES["q0"]), make_event(QUERIES["q0"], "bob"))
    told.add(make_event(QUERIES["q1"]))
    assert [event.query_id for event in told.history.submits_of("ann")] == ["q0", "q1"]
    assert list(told.history.submits_of("cid")) == []


def test_a_table_stays_as_it_was_while_labels_come() -> None:
    told, then = Told(), list[LabelTable]()
    for number in range(40):
        told.add(make_event(QUERIES[f"q{number % 3}"], f"labeler {number}"))
        then.append(told.history.table())
    told.add(make_retraction(QUERIES["q0"], "labeler 0", revision=1))
    newest = told.history.table()
    for count, table in enumerate(then, start=1):
        assert len(table.label) == len(table.label_digest) == count + 1
        assert table.label.tolist() == newest.label[: count + 1].tolist() == [*range(count + 1)]
        assert table.label_digest.tolist() == newest.label_digest[: count + 1].tolist()
        assert table.stands.tolist() == [*range(count + 1)]
    assert newest.stands[1] == 0
