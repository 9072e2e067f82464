"""Marks are part of their label: they train when it does, and leave the training set with it."""

from __future__ import annotations

from dataclasses import replace

from label_queue.fitting.from_ledger import read_fit
from label_queue.ledger.records import Record
from label_queue.quality_config import DEFAULT_QUALITY
from protocol.fits import Comparison
from tests.support.hand_made_ledger import hand_made_view
from tests.support.labels import (
    make_assignment,
    make_event,
    make_exclusion,
    make_query,
    make_retraction,
)

QUERY = make_query(20)
A, B = (candidate.candidate_id for candidate in QUERY.candidates[:2])
SPANS = ((B, 0, 4, "bad"), (A, 5, 7, "good"))


def marked(*more: Record, labeler_id: str = "cat") -> dict[str, Comparison]:
    """Return the comparisons with marks that a refit learns, by labeler."""
    first = make_event(QUERY, labeler_id, spans=SPANS)
    view = hand_made_view(QUERY, make_assignment(QUERY, labeler_id), first, *more)
    fit = read_fit(
        view, DEFAULT_QUALITY, until_seq=None, validation_share=0.0, num_reference=4, seed=1
    )
    return {each.labeler_id: each for each in fit.request.comparisons if each.marks}


def test_marks_name_candidates_by_their_place_in_the_query() -> None:
    assert marked()["cat"].marks == ((1, 0, 4, "bad"), (0, 5, 7, "good"))


def test_a_revision_takes_the_place_of_the_marks_before() -> None:
    other = make_event(QUERY, "cat", revision=1, spans=((A, 0, 2, "good"),))
    assert marked(other)["cat"].marks == ((0, 0, 2, "good"),)
    assert marked(replace(other, spans=None)) == {}


def test_a_label_taken_back_takes_its_marks_with_it() -> None:
    assert marked(make_retraction(QUERY, "cat")) == {}


def test_the_labels_of_somebody_excluded_take_their_marks_with_them() -> None:
    assert marked(make_exclusion("cat")) == {}


def test_marks_of_a_label_without_a_preference_train_nothing() -> None:
    both_bad = make_event(QUERY, "cat", revision=1, outcome="both_bad", spans=SPANS)
    assert marked(both_bad) == {}
