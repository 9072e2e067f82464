"""The estimators of one labeler over all their labels at once, by the counts that are kept live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from label_queue.quality.position import FirstPlaces, PositionBias
from label_queue.quality.self_agreement import RepeatCounts, SelfAgreement, is_alike
from label_queue.quality.speed import Speed, is_fast
from protocol.labels import AnswerEvent, Assignment, ComparisonQuery


def self_agreement(
    queries: Mapping[str, ComparisonQuery], labels: Mapping[str, AnswerEvent]
) -> SelfAgreement:
    """Compare one labeler's repeats with their first answers; `labels` are the latest, by query."""
    counts = RepeatCounts()
    for query_id, again in labels.items():
        repeat = queries[query_id]
        first = labels.get(repeat.repeat_of or "")
        if repeat.purpose == "repeat" and first is not None:
            counts.take(is_alike(repeat, again, queries[first.query_id], first), repeat, 1)
    return counts.agreement()


def position_bias(
    assignments: Mapping[str, Assignment], labels: Iterable[AnswerEvent]
) -> PositionBias:
    """Return the bias of one labeler's labels, by `FirstPlaces`."""
    places = FirstPlaces()
    for label in labels:
        places.take(assignments[label.assignment_id], label, 1)
    return places.bias()


def speed(
    queries: Mapping[str, ComparisonQuery],
    assignments: Mapping[str, Assignment],
    submits: Iterable[AnswerEvent],
    tokens_per_s: float,
) -> Speed:
    """Count one labeler's first answers that came faster than `tokens_per_s` of displayed text."""
    timed = [
        is_fast(queries[event.query_id], assignments[event.assignment_id], event, tokens_per_s)
        for event in submits
    ]
    return Speed(fast=timed.count(True), num_labels=len(timed) - timed.count(None))
