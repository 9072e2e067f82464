"""Whatever is done in whatever order: what trains is as if judges had said nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from label_queue.folds.dataset import build_dataset
from label_queue.folds.history import LabelHistory
from label_queue.quality_config import DEFAULT_QUALITY
from protocol.fits import DatasetRules
from protocol.labels import Appointed, LabelChange, LabelEvent
from tests.support.labels import (
    make_appointment,
    make_event,
    make_exclusion,
    make_query,
    make_reinstatement,
    make_retraction,
)

QUERIES = {
    query.query_id: query
    for query in (
        make_query(0),
        make_query(1, purpose="validation", versions=(0, 0, 1, 1)),
        make_query(2, purpose="overlap", num_wanted=5),
        make_query(3, purpose="repeat", repeat_of="q0"),
    )
}
ACTS = st.tuples(
    st.sampled_from(["label", "label", "retract", "exclude", "reinstate", "appoint"]),
    st.sampled_from(["ann", "dot", "eve"]),
    st.sampled_from(sorted(QUERIES)),
    st.integers(0, 3),
)


def events_of(acts: Iterable[tuple[str, str, str, int]]) -> list[LabelEvent]:
    """The acts as a ledger would have them: a label is given before it is changed or retracted."""
    events: list[LabelEvent] = []
    revisions: dict[tuple[str, str], int] = {}
    for number, (act, who, query_id, choice) in enumerate(acts):
        query, revision = QUERIES[query_id], revisions.get((who, query_id), 0)
        event: LabelEvent
        if act == "label":
            event = make_event(query, who, revision=revision, choice=choice)
        elif act == "retract" and revision:
            event = make_retraction(query, who, revision=revision)
        elif act == "exclude":
            event = make_exclusion(who, number=number, from_seq=choice * 3)
        elif act == "reinstate":
            event = make_reinstatement(who, number=number)
        elif act == "appoint":
            event = make_appointment(who, number=number)
        else:
            continue
        if isinstance(event, LabelChange):
            revisions[who, query_id] = revision + 1
        events.append(replace(event, seq=len(events) + 1))
    return events


def judges_of(events: Iterable[LabelEvent]) -> set[str]:
    """Who was appointed before they gave any label."""
    labelled: set[str] = set()
    judges: set[str] = set()
    for event in events:
        if isinstance(event, LabelChange):
            labelled.add(event.labeler_id)
        elif isinstance(event, Appointed) and event.labeler_id not in labelled:
            judges.add(event.labeler_id)
    return judges


@given(st.lists(ACTS, max_size=40))
def test_what_trains_is_as_if_judges_had_said_nothing(
    acts: list[tuple[str, str, str, int]],
) -> None:
    events = events_of(acts)
    judges = judges_of(events)
    kept = [e for e in events if getattr(e, "labeler_id", None) not in judges]
    rules, last = DatasetRules(purposes=("train", "validation", "overlap", "repeat")), len(events)
    dataset = build_dataset(QUERIES, events, last, rules)
    assert dataset == build_dataset(QUERIES, kept, last, rules)
    # And as they come: what counts toward l(n), and what votes and anchors are read from.
    history = LabelHistory(QUERIES, DEFAULT_QUALITY)
    for event in events:
        history.apply(event)
    assert history.standings.judges() == judges
    table = history.table()
    for rows in (table.training_set(), table.counting()):
        assert not judges & table.counts(rows).keys()
    for row in history.training_rows():
        assert not any(history.columns.is_by(row, judge) for judge in judges)
