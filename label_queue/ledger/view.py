"""A ledger held still, so that questions about it are pure functions, in whatever thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from label_queue.config import QualityConfig
from label_queue.ledger.dataset import TrainingFold, build_dataset, current_labels
from label_queue.ledger.records import Ledger
from label_queue.oversight.lineage import learned_labels
from protocol.labels import (
    Assignment,
    Comparison,
    ComparisonQuery,
    DatasetRules,
    LabelEvent,
    PolicyProvenance,
    RewardVersion,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """What a ledger held at one moment."""

    queries: Mapping[str, ComparisonQuery]
    assignments: Mapping[str, Assignment]
    events: tuple[LabelEvent, ...]
    """By `seq`."""
    rewards: tuple[RewardVersion, ...]
    policies: tuple[PolicyProvenance, ...]

    @classmethod
    def of(cls, ledger: Ledger) -> Self:
        """Read a whole ledger."""
        return cls(
            queries={query.query_id: query for query in ledger.queries()},
            assignments={each.assignment_id: each for each in ledger.assignments()},
            events=tuple(ledger.events()),
            rewards=tuple(ledger.read(RewardVersion)),
            policies=tuple(ledger.read(PolicyProvenance)),
        )

    @property
    def last_seq(self) -> int:
        """The newest event's place; 0 before the first."""
        return self.events[-1].seq if self.events else 0

    @property
    def live_reward(self) -> RewardVersion | None:
        """The newest reward version; None before the first."""
        return max(self.rewards, key=lambda each: each.version, default=None)

    @property
    def newest_policy(self) -> int:
        """The newest policy version; 0 is ρ."""
        return max((policy.version for policy in self.policies), default=0)

    def with_event(self, event: LabelEvent) -> Self:
        """Return the view after one more event."""
        return replace(self, events=(*self.events, replace(event, seq=self.last_seq + 1)))

    def dataset(self, seq: int, config: QualityConfig) -> tuple[Comparison, ...]:
        """Return the training set at a sequence number."""
        return build_dataset(self.queries, self.events, seq, DatasetRules(), config)

    def labels(self) -> dict[str, LabelEvent]:
        """Return all labels by id, as they stand."""
        return current_labels(self.events)


class LearnedLabels:
    """Which labels each reward version learned. Past training sets never change: they are kept."""

    def __init__(self, config: QualityConfig) -> None:
        self._config = config
        self._at: dict[int, frozenset[str]] = {}

    def training_set(self, view: LedgerView) -> frozenset[str]:
        """Return the ids of the labels that a refit of the view's present would learn."""
        return self._find(view, [view.last_seq])[view.last_seq]

    def by_reward(self, view: LedgerView) -> dict[int, frozenset[str]]:
        """Return, for each reward version, the ids of the labels it learned."""
        seqs = {reward.ledger_seq for reward in view.rewards}
        self._at |= self._find(view, sorted(seqs - self._at.keys()))
        return learned_labels(view.rewards, self._at.__getitem__)

    def _find(self, view: LedgerView, seqs: Sequence[int]) -> dict[int, frozenset[str]]:
        """Return the training sets at some sequence numbers, rising, in one pass."""
        fold = TrainingFold(view.queries, DatasetRules(), self._config)
        events, found = iter(view.events), {}
        event = next(events, None)
        for seq in seqs:
            while event is not None and event.seq <= seq:
                fold.apply(event)
                event = next(events, None)
            found[seq] = frozenset(label.label_id for label in fold.labels())
        return found
