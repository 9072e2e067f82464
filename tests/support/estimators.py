"""The estimators of one labeler over all their labels at once, by the counts that are kept live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress

from label_queue.quality.given import GivenLabels, LabelT
from label_queue.quality.position import FirstPlaces, PositionBias
from label_queue.quality.reliability import judges
from label_queue.quality.self_agreement import RepeatCounts, SelfAgreement, is_alike
from label_queue.quality.speed import Speed, is_fast
from protocol.fits import Comparison
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


def judged_by(labels: Sequence[LabelT]) -> list[LabelT]:
    """Return the labels that say how reliable their labelers are, in their order."""
    return list(compress(labels, judges(GivenLabels.of(labels))))


def weight_shares(
    comparisons: Iterable[Comparison], reliability: Mapping[str, float]
) -> dict[str, float]:
    """Return each labeler's share of the weight of these comparisons, n·a/Σ n·a."""
    counts = Counter(each.labeler_id for each in comparisons)
    weights = {name: n * reliability.get(name, 1.0) for name, n in sorted(counts.items())}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


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
