"""Which gold is asked, and judges: a fold over what the owner decides about gold.

A gold query judges from the event that makes it on, until the one that retires it: an answer, a
revision or a retraction counts if its own sequence number lies between the two. The boundaries are
sequence numbers, given in the ledger's own transaction, so they are the same live and after a
restart, whatever came at the same moment.

Gold of a file has no such event: it is there from its `labels_before` on, as all gold is of ledgers
older than these events. The owner may retire it like any other.
"""

from __future__ import annotations

from collections.abc import Mapping

from label_queue.kept import kept
from label_queue.quality.gold_tasks import BY_OWNER, gold_id
from label_queue.quality.purposes import purpose_of
from label_queue.shelf import each_of, names_since
from protocol.labels import ComparisonQuery, GoldEvent, GoldMade


@kept("_num_queries_seen", "_made", "_retired", "_from_label")
class AskedGold:
    """The gold that is asked, kept up to date event by event."""

    def __init__(self, queries: Mapping[str, ComparisonQuery]) -> None:
        """Take the queries by id; those added to the mapping later are seen."""
        self._queries = queries
        self._num_queries_seen = 0
        self._made: set[str] = set()
        """What an event made, and is asked."""
        self._retired: set[str] = set()
        self._from_label: dict[str, int] = {}
        """What no event made: the labels that came before it."""

    def apply(self, event: GoldEvent) -> None:
        """Take the next event."""
        if isinstance(event, GoldMade):
            self._made.add(event.query_id)
            self._retired.discard(event.query_id)
        else:
            self._made.discard(event.query_id)
            self._retired.add(event.query_id)

    def retired(self) -> frozenset[str]:
        """Return the gold that the owner has taken back, of an edit what it was before."""
        return frozenset(self._retired)

    def judges(self, query: ComparisonQuery) -> bool:
        """Say whether answers to a query judge whoever gives them."""
        return query.purpose == "gold" and gold_id(query) not in self._retired

    def is_there(self, num_labels: int) -> bool:
        """Say whether gold is asked, so many labels having come."""
        self._look_for_gold()
        if self._made:
            return True
        starts = (start for name, start in self._from_label.items() if name not in self._retired)
        return any(start <= num_labels for start in starts)

    def _look_for_gold(self) -> None:
        """Take up the gold without an event among the queries written since the last look."""
        if self._num_queries_seen == len(self._queries):
            return
        new = names_since(self._queries, self._num_queries_seen)
        gold = [name for name in new if purpose_of(self._queries, name) == "gold"]
        for query in each_of(self._queries, gold):
            if query.selector != BY_OWNER:
                known = self._from_label.setdefault(gold_id(query), query.labels_before)
                self._from_label[gold_id(query)] = min(known, query.labels_before)
        self._num_queries_seen += len(new)
