"""The training set: a pure function of the ledger up to a sequence number, and the rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import assert_never

from label_queue.folds.training import states_preference
from label_queue.quality.purposes import purpose_of
from label_queue.quality.standings import Standings
from label_queue.quality_config import DEFAULT_QUALITY, QualityConfig
from label_queue.shelf import each_of
from protocol.fits import Comparison, DatasetRules
from protocol.labels import (
    ActUndone,
    AnswerEvent,
    Appointed,
    ComparisonQuery,
    Excluded,
    GoldMade,
    GoldRetired,
    LabelEvent,
    OwnerEvent,
    Reinstated,
    Retracted,
    Revised,
    Submitted,
)


def current_labels(events: Iterable[LabelEvent]) -> dict[str, AnswerEvent]:
    """Fold events, in order, to the latest revision of every label not retracted."""
    labels: dict[str, AnswerEvent] = {}
    for event in events:
        take_revision(labels, event)
    return labels


def take_revision(labels: dict[str, AnswerEvent], event: LabelEvent) -> None:
    """Bring labels by id up to date with the next event: one step of `current_labels`."""
    match event:
        case Submitted() | Revised():
            labels[event.label_id] = event
        case Retracted():
            labels.pop(event.label_id, None)
        case Excluded() | Reinstated() | ActUndone() | Appointed() | GoldMade() | GoldRetired():
            pass
        case _:
            assert_never(event)


def exclusions(events: Iterable[LabelEvent], rules: DatasetRules) -> dict[str, int]:
    """Return the labelers left out, each with the `seq` from which on, sorted by labeler."""
    decided = Standings({}, DEFAULT_QUALITY)
    for event in events:
        if isinstance(event, OwnerEvent):
            decided.apply(event)
    excluded = decided.exclusions()
    excluded.update(dict.fromkeys(rules.excluded_labelers, 0))
    return dict(sorted(excluded.items()))


def exclusions_sha256(excluded: Mapping[str, int]) -> str:
    """Return the digest under which a reward version names the exclusions it was fitted under."""
    return hashlib.sha256(_canonical(dict(excluded))).hexdigest()


def build_dataset(
    queries: Mapping[str, ComparisonQuery],
    events: Iterable[LabelEvent],
    seq: int,
    rules: DatasetRules,
    quality: QualityConfig = DEFAULT_QUALITY,
) -> tuple[Comparison, ...]:
    """Return the training set: a pure function of the ledger up to `seq` and the rules.

    A label enters by its latest revision at `seq`, unless it was retracted, it states no preference
    (both bad, skip, flag), its labeler is a judge, is excluded from an earlier `seq` on, or is on
    probation or suspended as of `seq`. Sorted by `seq`. One pass over the events.
    """
    fold = TrainingFold(queries, rules, quality)
    for event in events:
        if event.seq <= seq:
            fold.apply(event)
    labels = sorted(fold.labels(), key=lambda label: label.seq)
    return as_comparisons(queries, labels)


class TrainingFold:
    """The labels that a refit would learn, event by event: what `build_dataset` is made of."""

    def __init__(
        self, queries: Mapping[str, ComparisonQuery], rules: DatasetRules, quality: QualityConfig
    ) -> None:
        self._queries = queries
        self._rules = rules
        self._standings = Standings(queries, quality)
        self._current: dict[str, AnswerEvent] = {}

    def apply(self, event: LabelEvent) -> None:
        """Take the next event."""
        self._standings.apply(event)
        take_revision(self._current, event)

    def labels(self) -> list[AnswerEvent]:
        """Return the labels, as they stand, that enter the training set now."""
        return [label for label in self._current.values() if self._enters(label)]

    def _enters(self, label: AnswerEvent) -> bool:
        return (
            states_preference(label)
            and purpose_of(self._queries, label.query_id) in self._rules.purposes
            and label.labeler_id not in self._rules.excluded_labelers
            and self._standings[label.labeler_id].trains(label.seq)
        )


def as_comparisons(
    queries: Mapping[str, ComparisonQuery], labels: Iterable[AnswerEvent]
) -> tuple[Comparison, ...]:
    """Return labels as the reward model trains on them; those without a preference are left out."""
    labels = list(labels)
    asked = each_of(queries, (label.query_id for label in labels))
    comparisons = (as_comparison(query, label) for query, label in zip(asked, labels, strict=True))
    return tuple(comparison for comparison in comparisons if comparison is not None)


def as_comparison(query: ComparisonQuery, event: AnswerEvent) -> Comparison | None:
    """Return a label as the reward model trains on it, or None if it states no preference."""
    if event.outcome not in ("choice", "ranking", "tie"):
        return None
    index = {candidate.candidate_id: i for i, candidate in enumerate(query.candidates)}
    return Comparison(
        seq=event.seq,
        query_id=query.query_id,
        labeler_id=event.labeler_id,
        purpose=query.purpose,
        prompt_token_ids=query.prompt_token_ids,
        candidate_token_ids=tuple(candidate.token_ids for candidate in query.candidates),
        policy_versions=tuple(candidate.policy_version for candidate in query.candidates),
        outcome=event.outcome,
        choice=None if event.choice is None else index[event.choice],
        ranking=None if event.ranking is None else tuple(index[name] for name in event.ranking),
        marks=tuple((index[name], start, end, m) for name, start, end, m in event.spans or ()),
    )


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()
