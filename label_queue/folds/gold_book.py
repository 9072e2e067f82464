"""The gold of a run, version by version: what it asks, who decided what, how it is answered.

Counts are kept as label events come. A gold query is answered rightly or wrongly by what its labels
said while it was asked; what came after it was retired changes no count, as it judges nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from label_queue.kept import kept
from label_queue.quality.asked_gold import AskedGold
from label_queue.quality.gold import is_right
from label_queue.quality.gold_tasks import BY_OWNER, gold_id, is_template
from label_queue.quality.purposes import purpose_of
from protocol.labels import (
    AnswerEvent,
    ComparisonQuery,
    GoldEvent,
    GoldMade,
    LabelChange,
    LabelEvent,
)


@kept()
@dataclass(slots=True, kw_only=True)
class Gold:
    """One gold query."""

    template: ComparisonQuery
    is_asked: bool
    made_by: str | None = None
    """Which owner made it; None: it is of a file, or of a ledger that does not say."""
    decided: GoldEvent | None = None
    """The newest decision about it, if there was one."""
    replaces: str | None = None
    """The version whose place it took last."""
    replaced_by: str | None = None
    """The version that took its place last."""
    num_shown: int = 0
    """How often it was asked."""
    right: int = 0
    wrong: int = 0


@kept("_all", "_made_of", "_counted")
class GoldBook:
    """All gold queries, oldest first."""

    def __init__(self, queries: Mapping[str, ComparisonQuery], asked: AskedGold) -> None:
        """Take the queries by id and which gold is asked; both are brought up to date elsewhere."""
        self._queries = queries
        self._asked = asked
        self._all: dict[str, Gold] = {}
        self._made_of: dict[str, list[str]] = {}
        """Their ids, by the past query that they were made of."""
        self._counted: dict[str, bool] = {}
        """What is counted of each label: whether it is right."""

    @property
    def num_asked(self) -> int:
        """How many gold queries are asked now."""
        return sum(each.is_asked for each in self._all.values())

    def get(self, name: str) -> Gold | None:
        """Return a gold query by its template's id."""
        return self._all.get(name)

    def newest_first(self) -> list[Gold]:
        """Return all gold queries, the one made last first."""
        return list(reversed(self._all.values()))

    def is_asked_of(self, past_query_id: str) -> bool:
        """Say whether a past query is asked as gold."""
        return any(self._all[name].is_asked for name in self._made_of.get(past_query_id, ()))

    def take_query(self, query: ComparisonQuery) -> None:
        """Take the next query, once each."""
        if query.purpose != "gold":
            return
        known = self._all.get(gold_id(query))
        if known is not None:
            known.num_shown += 1
        elif is_template(query):
            gold = Gold(template=query, is_asked=query.selector != BY_OWNER)
            self._all[query.query_id] = gold
            if query.repeat_of is not None:
                self._made_of.setdefault(query.repeat_of, []).append(query.query_id)

    def apply(self, event: LabelEvent) -> None:
        """Take the next event that took effect, and that `asked` has taken."""
        if isinstance(event, GoldEvent):
            self._decide(event)
        elif isinstance(event, LabelChange):
            if purpose_of(self._queries, event.query_id) != "gold":
                return
            query = self._queries[event.query_id]
            gold = self._all.get(gold_id(query)) if self._asked.judges(query) else None
            if gold is not None:
                self._count(gold, query, event)

    def _decide(self, event: GoldEvent) -> None:
        gold = self._all[event.query_id]
        gold.decided = event
        gold.is_asked = isinstance(event, GoldMade)
        if not isinstance(event, GoldMade):
            return
        gold.made_by = gold.made_by or event.actor
        gold.replaced_by = None
        gold.replaces = event.replaces
        if event.replaces is not None:
            self._all[event.replaces].replaced_by = event.query_id

    def _count(self, gold: Gold, query: ComparisonQuery, event: LabelChange) -> None:
        before = self._counted.pop(event.label_id, None)
        if before is not None:
            gold.right -= before
            gold.wrong -= not before
        now = is_right(query, event) if isinstance(event, AnswerEvent) else None
        if now is not None:
            self._counted[event.label_id] = now
            gold.right += now
            gold.wrong += not now
