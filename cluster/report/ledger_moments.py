"""What a ledger held at some sequence number, as artifacts say it: without texts, or with them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from pydantic import JsonValue

from cluster.metrics.lineage_folder import Texts
from label_queue.folds.dataset import (
    TrainingFold,
    as_comparison,
    exclusions,
    exclusions_sha256,
    take_revision,
)
from label_queue.folds.view import LedgerView
from label_queue.ledger.event_lines import label_line
from label_queue.quality_config import QualityConfig
from protocol.chat import as_mappings
from protocol.fits import DatasetRules
from protocol.labels import AnswerEvent, ComparisonQuery

LABELS_A_FILE = 1_000
"""Sequence numbers of one file of texts: those before stay the same bytes from moment to
moment, and wandb takes a file once."""

WriteTexts = Callable[[str, bytes], Texts]
"""Keeps a file of an artifact's, by its place in that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMoment:
    """A ledger up to a sequence number."""

    seq: int
    facts: dict[str, JsonValue]
    details: dict[str, JsonValue]
    texts: tuple[Texts, ...]


def moments(
    view: LedgerView,
    seqs: Collection[int],
    quality: QualityConfig,
    write_texts: WriteTexts | None = None,
) -> Iterator[LedgerMoment]:
    """Yield the ledger as it was at some sequence numbers, rising; one pass over its events.

    Args:
        view: The ledger.
        seqs: Where to stop.
        quality: The run's, by which its labelers are judged.
        write_texts: Keeps files of the labels with their texts and labelers' names. None: neither
            is in what is returned.
    """
    fold = TrainingFold(view.queries, DatasetRules(), quality)
    current: dict[str, AnswerEvent] = {}
    digests = _Digests()
    files = None if write_texts is None else _TextFiles(view.queries, write_texts)
    at = 0
    for seq in sorted(set(seqs)):
        while at < len(view.events) and view.events[at].seq <= seq:
            fold.apply(view.events[at])
            take_revision(current, view.events[at])
            at += 1
        trained_on = sorted(fold.labels(), key=lambda label: label.seq)
        excluded = exclusions(view.events[:at], DatasetRules())
        given = Counter(label.labeler_id for label in current.values())
        yield LedgerMoment(
            seq=seq,
            facts={
                "ledger_seq": seq,
                "exclusions_sha256": exclusions_sha256(excluded),
                "labelers_excluded": len(excluded),
                "events": at,
                "labels": len(current),
                "labels_to_learn_from": len(trained_on),
                "labels_sha256": digests.of(trained_on),
                "labelers": len(given),
            },
            details={
                "labels_per_labeler": (
                    list[JsonValue](sorted(given.values(), reverse=True))
                    if files is None
                    else dict(sorted(given.items()))
                )
            },
            texts=() if files is None else files.of(trained_on),
        )


class _Digests:
    """The digest of some labels, by the ledger's own lines; each label is digested once."""

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}

    def of(self, labels: Sequence[AnswerEvent]) -> str:
        """Return SHA-256 of the labels' SHA-256s, by `seq`, in hex."""
        whole = hashlib.sha256()
        for label in labels:
            if label.seq not in self._known:
                line = json.dumps(asdict(label_line(label)), sort_keys=True)
                self._known[label.seq] = hashlib.sha256(line.encode()).digest()
            whole.update(self._known[label.seq])
        return whole.hexdigest()


class _TextFiles:
    """Files of labels with their texts, `LABELS_A_FILE` numbers each; written when they change."""

    def __init__(self, queries: Mapping[str, ComparisonQuery], write: WriteTexts) -> None:
        self._queries = queries
        self._write = write
        self._written: dict[int, tuple[tuple[int, ...], Texts]] = {}

    def of(self, labels: Sequence[AnswerEvent]) -> tuple[Texts, ...]:
        """Return the files of some labels, which come by `seq`."""
        found = []
        for number, part in groupby(labels, key=lambda label: label.seq // LABELS_A_FILE):
            block = tuple(part)
            seqs = tuple(label.seq for label in block)
            if number not in self._written or self._written[number][0] != seqs:
                content = "".join(f"{self._line(label)}\n" for label in block).encode()
                path = f"labels/{number * LABELS_A_FILE:09d}.jsonl"
                self._written[number] = (seqs, self._write(path, content))
            found.append(self._written[number][1])
        return tuple(found)

    def _line(self, label: AnswerEvent) -> str:
        query = self._queries[label.query_id]
        comparison = as_comparison(query, label)
        assert comparison is not None, "what is learned from states a preference"
        line = {
            "seq": label.seq,
            "label_id": label.label_id,
            "labeler": label.labeler_id,
            "prompt": as_mappings(query.prompt_messages) or query.prompt_text,
            "candidates": [candidate.text for candidate in query.candidates],
            "outcome": comparison.outcome,
            "choice": comparison.choice,
            "ranking": comparison.ranking,
        }
        return json.dumps(line, ensure_ascii=False)
