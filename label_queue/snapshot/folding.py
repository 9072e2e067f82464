"""Folding a ledger with the help of a snapshot, and taking the next one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from label_queue.ledger.records import Ledger
from label_queue.quality_config import QualityConfig
from label_queue.snapshot.columns import ColumnReader, ColumnWriter, put_back
from label_queue.snapshot.file import (
    Header,
    Places,
    Unusable,
    code_digest,
    read,
    settings_digest,
    write,
)
from label_queue.snapshot.prefix import by_stream, digest_of
from label_queue.state import LabelState
from protocol.logs import logger_of

NOWHERE = Places(queries=0, assignments=0, label_events=0)


def load(
    state: LabelState,
    ledger: Ledger,
    path: Path | None,
    quality: QualityConfig,
    through: Places | None = None,
) -> Places:
    """Take all that a ledger holds into a new state; return how far a snapshot helped.

    Args:
        state: New; the same afterwards, whether or not there was a snapshot.
        ledger: Asked nothing else until this returns.
        path: Where a snapshot may be; None: there is none.
        quality: How labelers are judged.
        through: Places up to which it is taken in; None: all is.
    """
    places = NOWHERE
    if path is not None:
        try:
            places = restore(state, ledger, path, quality)
        except Unusable as error:
            logger_of("label_queue").info(
                "the ledger is folded anew", snapshot=str(path), why=str(error)
            )
    state.load(ledger, by_stream(places), None if through is None else by_stream(through))
    return places


def restore(state: LabelState, ledger: Ledger, path: Path, quality: QualityConfig) -> Places:
    """Put a snapshot's folds into a new state; return the places they are of.

    Raises Unusable, and has changed nothing, unless it is one of this ledger, by this code.
    """
    header, said = read(path, code=code_digest(), settings=settings_digest(quality))
    if digest_of(ledger, header.places) != header.ledger:
        raise Unusable("the ledger is another")
    folds = state.folds()
    if said.keys() != folds.keys():
        raise Unusable("it is of other folds")
    reader = ColumnReader(ledger)
    values = {name: reader.fold(said[name], fold) for name, fold in folds.items()}
    for name, fold in folds.items():
        put_back(fold, values[name])
    return header.places


def take(state: LabelState, ledger: Ledger, path: Path, quality: QualityConfig) -> Places:
    """Write a snapshot of a state that holds nothing but what it loaded; return its places.

    Raises DiskFull or ResourceError where the disk refuses.
    """
    state.figures.catch_up()
    writer = ColumnWriter()
    folds = msgspec.msgpack.encode({name: writer.fold(f) for name, f in state.folds().items()})
    places = places_of(state)
    assert places.label_events == len(state.history.events), "no number is left out in a ledger"
    header = Header(
        code=code_digest(),
        settings=settings_digest(quality),
        places=places,
        ledger=digest_of(ledger, places),
        folds=hashlib.sha256(folds).hexdigest(),
    )
    write(path, header, folds)
    return places


def places_of(state: LabelState) -> Places:
    """Return how far a state has folded its ledger."""
    return Places(
        queries=len(state.board.queries),
        assignments=len(state.board.assignments),
        label_events=state.history.last_seq,
    )
