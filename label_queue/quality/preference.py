"""What a label says is best, whatever form it has."""

from __future__ import annotations

from protocol.labels import AnswerEvent, ComparisonQuery, QueryPurpose

TRAINING: tuple[QueryPurpose, ...] = ("train", "validation", "overlap")
"""Purposes whose labels train and count; gold and repeats only judge the labeler."""
TIE = -1


def stated_best(query: ComparisonQuery, label: AnswerEvent) -> int | None:
    """Return the index in the query of the candidate put first, TIE, or None for no preference."""
    if label.outcome == "tie":
        return TIE
    best = best_id(label)
    if best is None:
        return None
    return next(i for i, each in enumerate(query.candidates) if each.candidate_id == best)


def best_id(label: AnswerEvent) -> str | None:
    """Return the id of the candidate that a choice names or a ranking puts first."""
    return label.ranking[0] if label.ranking else label.choice
