"""The ledger of a run with so many labels, made as its parts would have written it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.labels import ComparisonQuery, PolicyProvenance
from tests.support.labels import make_assignment, make_event, make_query, make_reward

RUN_ID = "scale"
LABELERS = tuple(f"labeler-{number:02d}" for number in range(50))
NUM_TOKENS = 75
LABELS_PER_VERSION = 16
REFITS = 20
SECONDS_PER_LABEL = 2.0
VALIDATION_EVERY = 10
BEGAN_AT = 1_000_000.0
WRITTEN_AT_ONCE = 4_000


def question(number: int) -> ComparisonQuery:
    """Return the n-th query: of ρ and π where it is for validation."""
    version = 1 + number // LABELS_PER_VERSION
    is_validation = number % VALIDATION_EVERY == 0
    versions = (0, 0, version, version) if is_validation else (version,) * 4
    made = make_query(
        number,
        versions=versions,
        run_id=RUN_ID,
        purpose="validation" if is_validation else "train",
        labels_before=number,
        ledger_seq=number,
        created_at=BEGAN_AT + number * SECONDS_PER_LABEL - 1.0,
        expires_at=BEGAN_AT + number * SECONDS_PER_LABEL + 3_600.0,
    )
    tokens = random.Random(number)
    text = "what was said of the place, at some length, as reviews go; " * 5
    candidates = tuple(
        replace(each, text=text, token_ids=tuple(tokens.choices(range(30_000), k=NUM_TOKENS)))
        for each in made.candidates
    )
    return replace(made, candidates=candidates)


def records(num_labels: int) -> Iterator[Record]:
    """Yield what the ledger of a run with so many labels holds, in order."""
    last = num_labels // LABELS_PER_VERSION
    refits = {1 + last * number // REFITS for number in range(REFITS)}
    for number in range(num_labels):
        query, at = question(number), BEGAN_AT + number * SECONDS_PER_LABEL
        labeler_id = LABELERS[number % len(LABELERS)]
        yield query
        yield replace(make_assignment(query, labeler_id, lease_until=at + 600.0), created_at=at)
        given = make_event(query, labeler_id, choice=random.Random(-number).randrange(4))
        yield replace(given, received_at=at, active_ms=2_000)
        version, rest = divmod(number + 1, LABELS_PER_VERSION)
        if rest == 0:
            is_refit = version in refits
            first = 1 if is_refit else number + 2 - LABELS_PER_VERSION
            made = make_reward(
                version,
                kind="refit" if is_refit else "warm",
                ledger_seq=number + 1,
                learned=range(first, number + 2),
            )
            weights = tuple((name, 0.9) for name in LABELERS)
            yield replace(made, labeler_weights=weights, announced_at=at)
            yield PolicyProvenance(
                version=version,
                episodes=number * 8,
                reward_version=version,
                learned_through=number + 1,
                restored_from=None,
                created_at=at,
            )


def make_ledger(place: LedgerPlace, num_labels: int) -> None:
    """Write the ledger of a run with so many labels."""
    ledger, some = SqlLedger.open(place, RUN_ID), []
    for record in records(num_labels):
        some.append(record)
        if len(some) == WRITTEN_AT_ONCE:
            ledger.write(some)
            some.clear()
    ledger.write(some)
    ledger.close()


def kept_ledger(folder: Path, num_labels: int) -> Path:
    """Return a ledger of so many labels that nobody writes to; it is made where it is not there."""
    path = folder / f"{num_labels}.sqlite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(".part")
        make_ledger(made, num_labels)
        made.rename(path)
    return path
