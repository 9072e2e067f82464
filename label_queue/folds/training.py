"""Which labels would train now, as label events come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from label_queue.config import QualityConfig
from label_queue.kept import kept
from label_queue.quality.preference import TRAINING
from label_queue.quality.purposes import purpose_of
from label_queue.quality.standing import Standing, Standings
from protocol.labels import (
    AnswerEvent,
    ComparisonQuery,
    GoldEvent,
    LabelChange,
    LabelerEvent,
    LabelEvent,
)

PREFERENCES = ("choice", "ranking", "tie")
"""Outcomes that train; the others are stored and asked for anew."""


@kept("standings", "training", "num_held", "num_moves", "_trainable", "_settled")
class TrainingLabels:
    """The training set, event by event, and why others are not in it. Keeps no event."""

    def __init__(self, queries: Mapping[str, ComparisonQuery], config: QualityConfig) -> None:
        """Take the queries by id; those added to the mapping later are seen."""
        self.standings = Standings(queries, config)
        self.training: set[str] = set()
        """Ids of the labels that would train now: the training set. Not to be changed."""
        self.num_held = 0
        """Labels that would train now, were their labeler not on probation or suspended."""
        self.num_moves = 0
        """How often somebody's standing changed what their labels do, which may be many at once."""
        self._queries = queries
        self._trainable: dict[str, dict[str, int]] = defaultdict(dict)
        self._settled: dict[str, tuple[Standing, int]] = {}
        """Each labeler's standing when last looked at, and how many of their labels were held."""

    def take(self, event: LabelEvent) -> bool:
        """Take the next event that took effect; say whether it states a preference to train on."""
        self.standings.apply(event)
        is_training = (
            isinstance(event, LabelChange)
            and states_preference(event)
            and purpose_of(self._queries, event.query_id) in TRAINING
        )
        if isinstance(event, LabelChange):
            trainable = self._trainable[event.labeler_id]
            if is_training:
                trainable[event.label_id] = event.seq
            else:
                trainable.pop(event.label_id, None)
                self.training.discard(event.label_id)
        if not isinstance(event, GoldEvent):
            self._settle(event)
        return is_training

    def _settle(self, event: LabelerEvent) -> None:
        """Bring the training set up to date with an event, and with what it does to a standing."""
        name = event.labeler_id
        standing, own = self.standings[name], self._trainable[name]
        before, held_before = self._settled.get(name, (None, 0))
        has_moved = before is None or not standing.trains_like(before)
        if has_moved:
            self.num_moves += 1
            touched = set(own)
        else:
            touched = own.keys() & {event.label_id} if isinstance(event, LabelChange) else set()
        for label_id in touched:
            if standing.trains(own[label_id]):
                self.training.add(label_id)
            else:
                self.training.discard(label_id)
        held = len(own.keys() - self.training) if standing.is_held else 0
        self._settled[name] = standing, held
        self.num_held += held - held_before


def states_preference(event: LabelEvent | None) -> bool:
    """Say whether a label's newest event is one the reward model can learn from."""
    return isinstance(event, AnswerEvent) and event.outcome in PREFERENCES
