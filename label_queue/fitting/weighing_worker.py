"""The process that finds labelers' reliabilities; see `weighing_process`. It ends with its input.

python -m label_queue.fitting.weighing_worker < lines
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from label_queue.fitting.weighing_process import Change, Place
from label_queue.folds.dataset import as_comparison
from label_queue.ledger.records import Ledger
from label_queue.ledger.sql import SqlLedger
from label_queue.quality.reliability import Judgement, judgement
from protocol.fits import Comparison
from protocol.labels import ComparisonQuery, LabelEvent
from protocol.niceness import WEIGHING, stand_back


class Judged:
    """The labels that somebody is judged by, as they come and go."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._labels: dict[int, Comparison] = {}
        """By their events' numbers."""

    def take(self, change: Change) -> None:
        """Take what has come and gone; what has come is read from the ledger, and nothing else."""
        for seq in change.gone:
            del self._labels[seq]
        events = self._ledger.at(LabelEvent, change.come)
        queries = self._ledger.find(ComparisonQuery, [event.query_id for event in events])
        for event in events:
            comparison = as_comparison(queries[event.query_id], event)
            assert comparison is not None, "only what states a preference trains"
            self._labels[event.seq] = comparison

    def judgement(self, gold: dict[str, tuple[int, int]]) -> Judgement:
        """Return what they say of everybody who gave one."""
        return judgement(list(self._labels.values()), gold)


def serve(ledger: Ledger, lines: Iterable[bytes], answers: BinaryIO) -> None:
    """Take messages until there are no more, and answer the questions among them."""
    judged = Judged(ledger)
    for line in lines:
        change = msgspec.json.decode(line, type=Change)
        judged.take(change)
        if change.gold is not None:
            answers.write(msgspec.json.encode(judged.judgement(change.gold)) + b"\n")
            answers.flush()


def main() -> None:
    """Serve whoever started this."""
    stand_back(WEIGHING)
    lines = iter(sys.stdin.buffer)
    place = msgspec.json.decode(next(lines), type=Place)
    ledger = SqlLedger.open_to_read(place.url if place.file is None else Path(place.file))
    try:
        serve(ledger, lines, sys.stdout.buffer)
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
