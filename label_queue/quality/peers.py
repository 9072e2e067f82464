"""Peers: how far a labeler agrees with the others who were asked the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from label_queue.quality.preference import TRAINING, stated_best
from protocol.labels import AnswerEvent, ComparisonQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAgreement:
    """A labeler beside all others on shared queries. People agree in 63 to 77 % as a rule."""

    share: float
    """Mean over the queries of the share of the others who gave the labeler's answer."""
    num_queries: int
    """Queries that somebody else answered too."""


def peer_agreement(
    queries: Mapping[str, ComparisonQuery], labels: Iterable[AnswerEvent]
) -> dict[str, PeerAgreement]:
    """Return each labeler's agreement with the others, leave-one-out, where a query is shared.

    Ties agree with ties, rankings by their first place. Gold is left out: agreeing on what is
    meant to be plain says little.

    Args:
        queries: All, by id.
        labels: Everybody's latest revisions.
    """
    answers: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for label in labels:
        query = queries[label.query_id]
        best = stated_best(query, label) if query.purpose in TRAINING else None
        if best is not None:
            answers[label.query_id].append((label.labeler_id, best))
    totals: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for given in answers.values():
        if len(given) < 2:
            continue
        tally = Counter(best for _, best in given)
        for labeler, best in given:
            totals[labeler] += (tally[best] - 1) / (len(given) - 1)
            counts[labeler] += 1
    return {
        labeler: PeerAgreement(share=totals[labeler] / count, num_queries=count)
        for labeler, count in counts.items()
    }
