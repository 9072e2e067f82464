"""A ledger of ten answered queries, its snapshot, and starts with and without that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from structlog.testing import capture_logs

from label_queue.config import LabelsConfig
from label_queue.ledger.lookup import Lookup
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from label_queue.schedule import LabelSchedule
from label_queue.snapshot.file import Places
from label_queue.snapshot.folding import NOWHERE, load
from label_queue.snapshot.writer import Order
from label_queue.state import LabelState
from tests.support.held_folds import held_by
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_query,
)

CONFIG = make_config()
SCHEDULE = LabelSchedule.of(CONFIG, num_episodes=100, mode="online")
PEOPLE = ("ann", "bob")
LOOKUPS: list[Lookup] = []
"""What the states that were folded read by; closed with their ledger."""


def labelled(first: int, count: int) -> Iterator[Record]:
    """Queries from a number on, each answered by one of two people, and one left open."""
    for number in range(first, first + count):
        query = make_query(number, purpose="overlap" if number % 3 else "train", num_wanted=2)
        name = PEOPLE[number % 2]
        yield query
        yield make_assignment(query, name)
        yield make_event(query, name, choice=number % 4)
        if number % 4 == 0:
            yield make_assignment(query, PEOPLE[1 - number % 2])


def order(place: LedgerPlace, path: Path, config: LabelsConfig = CONFIG) -> Order:
    return Order.of(place, config, episodes=100, mode="online", snapshot=path)


def folded(
    ledger: SqlLedger, path: Path | None, config: LabelsConfig = CONFIG
) -> tuple[LabelState, Places, list[str]]:
    """A start: the state, how far the snapshot helped, and what the log says of it."""
    LOOKUPS.append(Lookup(ledger))
    state = LabelState(config, SCHEDULE, ManualClock(), lookup=LOOKUPS[-1])
    with capture_logs() as logs:
        places = load(state, ledger, path, config.quality)
    return state, places, [line["why"] for line in logs]


def assert_passed_over(ledger: SqlLedger, path: Path, why: str) -> None:
    """A start does without, says so in one line, and holds what the ledger says."""
    state, places, said = folded(ledger, path)
    assert places == NOWHERE
    assert [why in each for each in said] == [True], said
    assert held_by(state) == held_by(folded(ledger, None)[0])
