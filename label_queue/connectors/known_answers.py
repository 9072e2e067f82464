"""Which labels the answers of outside tools are, and how these labels stand.

A tool is read whole now and then, and every answer it holds is looked up: those labels stay in
memory, as what the tool tells of them does. What people label here does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from label_queue.folds.history import LabelHistory
from protocol.labels import LabelChange, LabelEvent

READ_AT_ONCE = 500


class KnownAnswers:
    """A fold over the label events that came from some tools."""

    def __init__(self, history: LabelHistory, connectors: Iterable[str]) -> None:
        """Follow the events of some connectors, by their names."""
        self._history = history
        self._num_seen = dict.fromkeys(connectors, 0)
        self._label_of: dict[str, dict[str, str]] = {name: {} for name in self._num_seen}
        """The label_id that an answer spoke for last, by connector and by external id."""
        self._labels_of: dict[str, dict[str, set[str]]] = {name: {} for name in self._num_seen}
        """The label_ids that a connector's answers spoke for, by connector and by query."""
        self._latest: dict[str, LabelChange] = {}
        """The newest event of each of these labels, as of the last look."""

    async def catch_up(self) -> None:
        """Take in what the ledger has gained since the last call, by whomever.

        Old events are read in a thread: after a restart those of all the tools' answers are.
        """
        for name, count in self._num_seen.items():
            while some := self._history.seqs_of(name)[count : count + READ_AT_ONCE]:
                events = await asyncio.to_thread(list, self._history.events.each(some))
                for event in events:
                    self._take(name, event)
                count += len(some)
            self._num_seen[name] = count

    def label_of(self, connector: str, external_id: str) -> str | None:
        """Return the label_id that an answer spoke for last; None: it spoke for none."""
        return self._label_of[connector].get(external_id)

    def labels_of(self, connector: str) -> Mapping[str, Collection[str]]:
        """Return the label_ids that a connector's answers spoke for, by query."""
        return self._labels_of[connector]

    def latest(self, label_id: str) -> LabelChange | None:
        """Return a label's newest event, whoever sent it, or None where there is none."""
        row, known = self._history.row_of(label_id), self._latest.get(label_id)
        if row is None:
            return None
        if known is not None and known.seq == self._history.columns.newest(row):
            return known
        found = self._history.latest_of(row)
        if known is not None:
            self._latest[label_id] = found
        return found

    def _take(self, connector: str, event: LabelEvent) -> None:
        if isinstance(event, LabelChange):
            self._label_of[connector][event.source.external_id] = event.label_id
            self._labels_of[connector].setdefault(event.query_id, set()).add(event.label_id)
            self._latest[event.label_id] = event
